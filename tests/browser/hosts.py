"""Two hosts with names and certificates, as in production, on one loopback port.

    https://privacy.bank.example:PORT    where customers sign in
    https://consent.bank.example:PORT    where they sign what they consent to

The browser is told where the names lead and which key the certificate has; nothing else differs.
"""

import socket
import threading
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import NameOID
from fastapi import FastAPI
from playwright.sync_api import Browser, CDPSession, Page, Playwright, sync_playwright

from portal.app import create_app
from portal.operations.settings import Settings
from portal.operations.wiring import Product
from tests.browser import find, patience
from tests.portal.conftest import Clock, copy

NAMES = ("privacy.bank.example", "consent.bank.example", "evil.example")


@dataclass
class Site:
    """Both hosts, served; and what the tests may look into."""

    product: Product
    clock: Clock
    login: str
    consent: str
    evil: str
    letters: Path
    app: FastAPI


@dataclass
class Certificate:
    key: Path
    chain: Path
    pin: str  # SHA-256 of the public key, base64


def certificate(folder: Path) -> Certificate:
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAMES[0])])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=2))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(each) for each in NAMES]), False)
        .sign(private, SHA256())
    )
    key, chain = folder / "site.key", folder / "site.pem"
    key.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    chain.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    spki = private.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return Certificate(key, chain, b64encode(sha256(spki).digest()).decode())


def launched(playwright: Playwright, pin: str) -> Browser:
    rules = ", ".join(f"MAP {name} 127.0.0.1" for name in NAMES)
    arguments = [
        *find.arguments(),
        f"--host-resolver-rules={rules}",
        f"--ignore-certificate-errors-spki-list={pin}",
    ]
    return playwright.chromium.launch(executable_path=find.find_or_install(), args=arguments)


@contextmanager
def serving(seeded: Path, folder: Path, made: Certificate | None) -> Iterator[Site]:
    """Serve the portal under both names on a free port while the context lasts; without a
    certificate under those of a demonstration."""
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    login, consent, evil = (f"https://{name}:{port}" for name in NAMES)
    if made is None:
        home = Settings(demo=True, port=port).at_home()
        login, consent = home.login_origin, home.consent_origin
    letters = folder / "letters"
    product = copy(
        seeded,
        folder / "home",
        consent_origin=consent,
        login_origin=login,
        mail=f"folder:{letters}",
    )
    clock = Clock(datetime.now(UTC).replace(microsecond=0))
    app = create_app(product, clock)
    config = uvicorn.Config(
        app,
        log_level="warning",
        ssl_keyfile=str(made.key) if made else None,
        ssl_certfile=str(made.chain) if made else None,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
    thread.start()
    while not server.started:
        thread.join(0.02)
        assert thread.is_alive(), "the server did not start"
    yield Site(product, clock, login, consent, evil, letters, app)
    server.should_exit = True
    thread.join()


@pytest.fixture(scope="module")
def two(seeded: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Browser, Site]]:
    """A browser that knows both hosts, and the portal served on them."""
    folder = tmp_path_factory.mktemp("two")
    made = certificate(folder)
    try:
        find.find_or_install()
    except find.NoBrowserError as error:
        pytest.skip(str(error))
    with sync_playwright() as playwright, serving(seeded, folder, made) as site:
        browser = launched(playwright, made.pin)
        yield browser, site
        browser.close()


def arrive(
    browser: Browser, site: Site, subject: str, *, javascript: bool = True, **options: Any
) -> Page:
    """Signed in at the login host and come over to the centre on the consent host."""
    context = patience.context(browser, java_script_enabled=javascript, **options)
    page = context.new_page()
    sign_in(page, site, subject)
    come_over(page, site, javascript=javascript)
    return page


def come_over(page: Page, site: Site, *, javascript: bool = True) -> None:
    page.goto(f"{site.login}/customer/keys")
    page.click("main .button")
    if not javascript:
        page.click("#crossing button")
    page.wait_for_url(f"{site.consent}/customer/keys")
    page.goto(f"{site.consent}/customer")


def sign_in(page: Page, site: Site, subject: str) -> None:
    page.goto(f"{site.login}/")
    page.fill("#customer", subject)
    page.click("form.inline button")


def authenticator(page: Page) -> tuple[CDPSession, str]:
    """A device that keeps passkeys and knows its owner; its name, to take it away by."""
    device = page.context.new_cdp_session(page)
    device.send("WebAuthn.enable")
    options = {
        "protocol": "ctap2",
        "transport": "internal",
        "hasResidentKey": True,
        "hasUserVerification": True,
        "isUserVerified": True,
        "automaticPresenceSimulation": True,
    }
    made = device.send("WebAuthn.addVirtualAuthenticator", {"options": options})
    return device, str(made["authenticatorId"])


def make(page: Page, site: Site, purpose: str = "enrol", kind: str = "passkey") -> None:
    """Press the button on the page of keys that makes one."""
    page.goto(f"{site.consent}/customer/keys")
    if purpose == "replace":
        page.click("text=Replace or remove")
    with page.expect_navigation():
        page.click(f"button[data-purpose={purpose}][data-make={kind}]")

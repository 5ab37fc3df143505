"""specs/portal.md, section 8, in a real browser: a virtual authenticator, a foreign provider."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest
from playwright.sync_api import Browser, CDPSession, Page

from portal.operations.wiring import Product
from tests.browser.conftest import Open, opened, serving
from tests.features.loopback import free_port
from tests.portal.conftest import copy

SUBJECT = "c00031"


def authenticator(page: Page, *, verified: bool = True) -> CDPSession:
    """A device that keeps passkeys and, if `verified`, knows its owner."""
    device = page.context.new_cdp_session(page)
    device.send("WebAuthn.enable")
    options = {
        "protocol": "ctap2",
        "transport": "internal",
        "hasResidentKey": True,
        "hasUserVerification": True,
        "isUserVerified": verified,
        "automaticPresenceSimulation": True,
    }
    device.send("WebAuthn.addVirtualAuthenticator", {"options": options})
    return device


def test_a_customer_adds_a_passkey_signs_in_with_it_and_removes_it(
    visit: Open, house: Product
) -> None:
    page = visit("/customer/passkeys", subject=SUBJECT)
    authenticator(page)
    page.click("#passkey button")
    page.wait_for_selector("ul.items li")
    page.click("text=Sign out")
    page.wait_for_url("**/")
    page.click("#passkey button")
    page.wait_for_url("**/customer")
    row = house.gate.source.row(SUBJECT, ["name"]) or {}
    assert page.locator("h1").inner_text() == f"Hello, {row['name']}"
    page.goto("/customer/passkeys")
    page.click("ul.items button")
    page.wait_for_selector("text=You have no passkey yet.")
    page.click("text=Sign out")
    page.click("#passkey button")
    page.wait_for_selector("#passkey [role=alert]:visible")
    assert page.url.endswith("/")


def test_a_device_that_does_not_know_its_owner_adds_nothing(visit: Open) -> None:
    page = visit("/customer/passkeys", subject="c00032")
    authenticator(page, verified=False)
    page.click("#passkey button")
    page.wait_for_selector("#passkey [role=alert]:visible")
    page.reload()
    assert page.locator("ul.items li").count() == 0


def test_without_a_script_no_passkey_is_offered(visit: Open) -> None:
    page = visit("/customer/passkeys", subject=SUBJECT, javascript=False)
    assert not page.locator("#passkey").is_visible()


@pytest.fixture(scope="module")
def provider() -> Iterator[str]:
    """A foreign OpenID Connect provider, in a process of its own; it asks for the name alone."""
    port = free_port()
    issuer = f"http://localhost:{port}"
    command = [sys.executable, "-W", "ignore", "-m", "oidc_provider_mock", "--port", str(port)]
    roles = '{"sub": "a.steward", "roles": ["data-protection-officer"]}'
    command += ["--user-claims", '{"sub": "c00033"}', "--user-claims", roles]
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _await(f"{issuer}/.well-known/openid-configuration", running)
        yield issuer
    finally:
        running.kill()
        running.wait()


def _await(address: str, running: "subprocess.Popen[bytes]") -> None:
    while running.poll() is None:
        try:
            with urlopen(address, timeout=1):
                return
        except OSError:
            continue
    raise AssertionError("the provider did not start")


@pytest.fixture(scope="module")
def outside(seeded: Path, tmp_path_factory: pytest.TempPathFactory, provider: str) -> Iterator[str]:
    """The portal outside the demonstration, with that provider."""
    product = copy(
        seeded,
        tmp_path_factory.mktemp("outside") / "home",
        demo=False,
        oidc_issuer=provider,
        oidc_client_id="portal",
        oidc_client_secret="secret",
    )
    with serving(product) as address:
        yield address


def authorize(page: Page, who: str) -> None:
    """Go to the provider, say who one is, and come back."""
    page.click("text=Sign in with your account")
    page.fill("input[name=sub]", who)
    page.click("button:has-text('Authorize')")


@pytest.mark.parametrize("javascript", [True, False])
def test_a_customer_signs_in_at_the_provider(
    chromium: Browser, outside: str, javascript: bool
) -> None:
    page = opened(chromium, outside, "/", javascript=javascript)
    authorize(page, "c00033")
    page.wait_for_url(f"{outside}/customer")
    assert page.locator(".scenes").is_visible()
    page.context.close()


def test_who_is_no_customer_is_refused(chromium: Browser, outside: str) -> None:
    page = opened(chromium, outside, "/")
    authorize(page, "nobody")
    page.wait_for_selector("text=We cannot sign you in with this")
    page.goto("/customer")
    assert page.url == f"{outside}/"
    page.context.close()


def test_a_steward_signs_in_at_the_provider_in_their_role(chromium: Browser, outside: str) -> None:
    page = opened(chromium, outside, "/desk")
    authorize(page, "a.steward")
    page.wait_for_url(f"{outside}/desk")
    assert page.locator("form.who").is_visible()
    page.context.close()


def test_a_customer_is_no_steward(chromium: Browser, outside: str) -> None:
    page = opened(chromium, outside, "/desk")
    authorize(page, "c00033")
    page.wait_for_selector("text=We cannot sign you in with this")
    page.goto("/desk/cases")
    assert page.url == f"{outside}/"
    assert page.locator("form.who").count() == 0
    page.context.close()

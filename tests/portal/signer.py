"""A customer with a key of their own: both hosts, and what the page's script would send."""

import json
import re
import secrets
from base64 import b64encode
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ed25519
from fastapi import FastAPI
from httpx2 import Response
from starlette.testclient import TestClient

from ledger.events import envelope, instruction_signature
from ledger.events.envelope import Instruction
from ledger.events.instruction_signature import Signature
from portal.app import create_app
from portal.auth import consent_keys
from portal.consent import wording
from portal.operations.wiring import Product
from portal.web import i18n
from portal.web.i18n import load
from tests.ledger.hands import UP, UV, Passkey, spki
from tests.portal.authenticator import Key, _plain
from tests.portal.conftest import Clock

LOGIN, CONSENT = "https://privacy.bank.example", "https://consent.bank.example"
PARTY = "consent.bank.example"
ME = "c00007"
SCRIPT = {"Accept": "application/json"}
ENGLISH = load()["en"]


@dataclass
class Person:
    """Somebody signed in at the login host, who may have come over to the consent host."""

    product: Product
    app: FastAPI
    subject: str = ME
    login: TestClient = field(init=False)
    consent: TestClient = field(init=False)

    def __post_init__(self) -> None:
        self.login, self.consent = _client(self.app, LOGIN), _client(self.app, CONSENT)
        answer = self.login.post("/login", data={"customer": self.subject}, follow_redirects=False)
        assert answer.status_code == 303, answer.text

    def code(self) -> str:
        page = self.login.post("/customer/continue").text
        found = re.search(r'name="code" value="([^"]+)"', page)
        assert found, page
        return found[1]

    def enter(self, code: str, origin: str | None = LOGIN, site: str = "cross-site") -> Response:
        headers = {"Sec-Fetch-Site": site} | ({"Origin": origin} if origin else {})
        return self.consent.post(
            "/enter", data={"code": code}, headers=headers, follow_redirects=False
        )

    def cross(self) -> "Person":
        answer = self.enter(self.code())
        assert answer.status_code == 303, answer.text
        return self

    @property
    def version(self) -> str:
        return str(self.product.ledger.version(self.subject))

    def form(self, scene: str) -> dict[str, str]:
        words = wording.token(self.product.scenes[scene], i18n.load()["en"])
        return {"version": self.version, "words": words, "back": "centre"}

    def press(self, scene: str, wish: str, host: str = CONSENT) -> Response:
        """A plain form, as without a script."""
        client = self.consent if host == CONSENT else self.login
        path = f"/customer/scenes/{scene}/{wish}"
        return client.post(path, data=self.form(scene), follow_redirects=False)

    def draft(self, scene: str, wish: str, evidence: str = "A") -> Instruction:
        headers = SCRIPT | {"Sovereign-Evidence": evidence}
        path = f"/customer/scenes/{scene}/{wish}"
        answer = self.consent.post(path, data=self.form(scene), headers=headers)
        assert answer.status_code == 200, answer.text
        found = envelope.decode(answer.content)
        assert isinstance(found, Instruction)
        return found

    def signed(self, signature: Signature | dict[str, Any]) -> Response:
        parts = (
            signature if isinstance(signature, dict) else instruction_signature.members(signature)
        )
        return self.consent.post("/customer/signed", content=json.dumps(parts), headers=SCRIPT)

    def made(self, key: Key | None, purpose: str, *, old: str = "", evidence: str = "") -> Response:
        """Make a passkey and hand it in. None: a browser key."""
        act = {"enrol": "key-enrolled", "replace": "key-replaced"}.get(
            purpose, "recovery-requested"
        )
        options = self.consent.post("/customer/keys/options", headers=SCRIPT).json()
        sent = (
            {"kind": "passkey", "made": json.loads(key.made(options))}
            if key
            else self._browser(options)
        )
        body = sent | {
            "purpose": purpose,
            "old": old,
            "words": wording.act_token(act, ENGLISH),
            "version": self.version,
        }
        headers = SCRIPT | ({"Sovereign-Evidence": evidence} if evidence else {})
        return self.consent.post("/customer/keys", content=json.dumps(body), headers=headers)

    def enrol(self) -> Passkey:
        """The first key, enrolled in the session."""
        key = passkey()
        answer = self.made(key, "enrol")
        assert answer.status_code == 204, answer.text
        return hand(key)

    def on_keys(self, path: str, act: str, *, evidence: str = "", **more: str) -> Response:
        """A form of the page of keys."""
        form = {"words": wording.act_token(act, ENGLISH), "version": self.version} | more
        headers = SCRIPT | ({"Sovereign-Evidence": evidence} if evidence else {})
        return self.consent.post(path, data=form, headers=headers)

    def _browser(self, options: dict[str, Any]) -> dict[str, str]:
        private = ed25519.Ed25519PrivateKey.generate()
        proof = private.sign(consent_keys.PROOF + _plain(options["challenge"]))
        public = b64encode(spki(private)).decode()
        return {"kind": "browser", "public": public, "proof": b64encode(proof).decode()}


def person(product: Product, clock: Clock, subject: str = ME) -> Person:
    return Person(product, create_app(product, clock), subject)


def passkey() -> Key:
    return Key(host=PARTY, origin=CONSENT, id=secrets.token_bytes(16))


def hand(key: Key) -> Passkey:
    """The same key, as it signs instructions."""
    return Passkey(key.private, rp=PARTY, page=CONSENT, flags=UP | UV)


def _client(app: FastAPI, origin: str) -> TestClient:
    headers = {"Sec-Fetch-Site": "same-origin", "Accept": "text/html", "Accept-Language": "en"}
    return TestClient(app, base_url=origin, headers=headers, raise_server_exceptions=False)

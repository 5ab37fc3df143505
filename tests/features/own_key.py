"""A customer whose browser has a key of its own: what the page's scripts send, over HTTP."""

import json
import re
from base64 import b64encode, urlsafe_b64decode
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import httpx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from portal.consent import wording
from portal.web.i18n import load
from tests.features.page import Page
from tests.features.served import Person, Site

LOGIN, CONSENT = "https://privacy.bank.example", "https://consent.bank.example"
SETTINGS = {"SOVEREIGN_LOGIN_ORIGIN": LOGIN, "SOVEREIGN_CONSENT_ORIGIN": CONSENT}
SCRIPT = {"Accept": "application/json"}
SIGNED = {**SCRIPT, "Sovereign-Evidence": "B"}
CODE = re.compile(r'name="code" value="([^"]+)"')
VERSION = re.compile(r'name="version" value="(\d+)"|id="version" value="(\d+)"')
ENGLISH = load()["en"]
LEAVE = "/customer/leave/everything"


@dataclass
class KeyHolder:
    """A customer at both hosts, with a key that only their browser has."""

    login: Person
    consent: Person
    private: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)

    @property
    def public(self) -> bytes:
        key = self.private.public_key()
        return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    def enrol(self) -> None:
        options = self.consent.client.post("/customer/keys/options", headers=SCRIPT).json()
        challenge = urlsafe_b64decode(options["challenge"] + "==")
        proof = self.private.sign(b"sovereign/browser-key-made/v1\0" + challenge)
        body = {
            "kind": "browser",
            "public": b64encode(self.public).decode(),
            "proof": b64encode(proof).decode(),
            "purpose": "enrol",
            "old": "",
            "words": wording.act_token("key-enrolled", ENGLISH),
            "version": self.version(),
        }
        answer = self.consent.client.post(
            "/customer/keys", content=json.dumps(body), headers=SCRIPT
        )
        assert answer.status_code == 204, answer.text

    def version(self) -> str:
        found = VERSION.search(self.consent.page("/customer/keys").html)
        assert found
        return found[1] or found[2]

    def allow(self, scene: str) -> httpx.Response:
        """Press `allow`, and sign what the portal drafts."""
        address = f"/customer/scenes/{scene}/allow"
        fields = self.consent.page("/customer").button(address).fields
        drafted = self.consent.client.post(address, data=dict(fields), headers=SIGNED)
        assert drafted.status_code == 200, drafted.text
        return self.consent.client.post(
            "/customer/signed", content=self.signature(drafted.content), headers=SCRIPT
        )

    def leave(self, word: str = "erase") -> Page:
        """Ask to be erased, signed with the key."""
        said = self.consent.client.post(f"{LEAVE}/challenge", headers=SIGNED)
        assert said.status_code == 200, said.text
        typed = {"word": word, "proof": self.signature(said.content)}
        return self.consent.press(self.consent.page(LEAVE), LEAVE, **typed)

    def signature(self, said: bytes) -> str:
        """The key's signature of canonical JSON, as the script sends it."""
        challenge = sha256(b"sovereign/instruction/v1\0" + said).digest()
        made = self.private.sign(b"sovereign/browser-key/v1\0" + challenge)
        members: dict[str, Any] = {
            "key": b64encode(sha256(self.public).digest()).decode(),
            "signature": b64encode(made).decode(),
            "type": "browser",
        }
        return json.dumps(members)


def come_over(site: Site, subject: str) -> KeyHolder:
    """Sign in at the login host, and go on to the consent host."""
    login = site.customer(subject)
    page = login.client.post("/customer/continue").text
    code = CODE.search(page)
    assert code, page
    consent = site.visitor(Host="consent.bank.example")
    arrival = {"Sec-Fetch-Site": "cross-site", "Origin": LOGIN}
    answer = consent.client.post(
        "/enter", data={"code": code[1]}, headers=arrival, follow_redirects=False
    )
    assert answer.status_code == 303, answer.text
    consent.subject = subject
    return KeyHolder(login, consent)


def back(site: Site, before: KeyHolder, subject: str) -> KeyHolder:
    """The same customer, with the same browser, signed in again."""
    again = come_over(site, subject)
    again.private = before.private
    return again

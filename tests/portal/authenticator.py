"""A passkey in software: what a browser and its authenticator send, and what attackers would."""

import json
import struct
from base64 import urlsafe_b64encode
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import cbor2
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

PRESENT, VERIFIED, ATTESTED = 0x01, 0x04, 0x40


def b64(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


@dataclass
class Key:
    """One discoverable credential (ES256). Its parts may be changed to lie with."""

    host: str = "testserver"
    origin: str = "http://testserver"
    id: bytes = b"key-one-of-many!"
    flags: int = PRESENT | VERIFIED
    count: int = 0
    handle: bytes = b""
    client: dict[str, Any] = field(default_factory=dict)  # more members of the client's data
    private: ec.EllipticCurvePrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1())
    )

    def made(self, options: dict[str, Any]) -> bytes:
        """The answer to a request to make this key."""
        self.handle = _plain(options["user"]["id"])
        client = self._client("webauthn.create", options["challenge"])
        credential = bytes(16) + struct.pack(">H", len(self.id)) + self.id + self._public()
        data = self._data(self.flags | ATTESTED) + credential
        attestation = cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": data})
        return self._answer({"clientDataJSON": b64(client), "attestationObject": b64(attestation)})

    def used(self, options: dict[str, Any]) -> bytes:
        """The answer to a request to sign in."""
        client = self._client("webauthn.get", options["challenge"])
        data = self._data(self.flags)
        signature = self.private.sign(data + sha256(client).digest(), ec.ECDSA(SHA256()))
        return self._answer(
            {
                "clientDataJSON": b64(client),
                "authenticatorData": b64(data),
                "signature": b64(signature),
                "userHandle": b64(self.handle),
            }
        )

    def _answer(self, response: dict[str, str]) -> bytes:
        answer = {"id": b64(self.id), "rawId": b64(self.id), "type": "public-key"}
        return json.dumps({**answer, "response": response}).encode()

    def _client(self, kind: str, challenge: str) -> bytes:
        said = {"type": kind, "challenge": challenge, "origin": self.origin, "crossOrigin": False}
        return json.dumps(said | self.client).encode()

    def _data(self, flags: int) -> bytes:
        return sha256(self.host.encode()).digest() + struct.pack(">BI", flags, self.count)

    def _public(self) -> bytes:
        numbers = self.private.public_key().public_numbers()
        x, y = numbers.x.to_bytes(32), numbers.y.to_bytes(32)
        return cbor2.dumps({1: 2, 3: -7, -1: 1, -2: x, -3: y})


def _plain(text: str) -> bytes:
    from base64 import urlsafe_b64decode

    return urlsafe_b64decode(text + "=" * (-len(text) % 4))

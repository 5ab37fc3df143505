"""Customers' signing keys in software: an authenticator that can misbehave, and a browser key."""

import json
from base64 import urlsafe_b64encode
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ledger.events import envelope, instruction_signature
from ledger.events.envelope import Act, Algorithm, CustomerKey, EvidenceClass, Instruction, KeyKind
from ledger.events.instruction_signature import BrowserSignature, PasskeySignature, Signature
from ledger.events.reducer import ConsentState, apply, require_authorised
from ledger.reader import RecordedInstruction
from ledger.service import Ledger
from tests.ledger.events import NOON, ORIGIN, PAGE, RP, WORDING

UP, UV, BE, BS, AT, ED = 1, 4, 8, 16, 64, 128
Private = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey


@dataclass
class Passkey:
    """Signs as WebAuthn level 3 has it, with every part open to change."""

    private: Private = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    rp: str = RP
    page: str = PAGE
    flags: int = UP | UV | BE

    @property
    def key(self) -> CustomerKey:
        algorithm = {
            "EllipticCurvePrivateKey": Algorithm.ES256,
            "Ed25519PrivateKey": Algorithm.EDDSA,
            "RSAPrivateKey": Algorithm.RS256,
        }[_kind(self.private)]
        return CustomerKey(
            KeyKind.PASSKEY,
            algorithm,
            spki(self.private),
            self.rp,
            (self.page,),
            backup_eligible=bool(self.flags & BE),
            backed_up=bool(self.flags & BS),
            attestation="none",
        )

    def sign(
        self,
        said: Instruction,
        *,
        client: dict[str, Any] | bytes | None = None,
        data: bytes | None = None,
    ) -> PasskeySignature:
        """`client`: parts of the client data that differ, or all its bytes."""
        found = client if isinstance(client, bytes) else self.client_data(said, **(client or {}))
        data = self.data() if data is None else data
        signed = raw(self.private, data + sha256(found).digest())
        return PasskeySignature(self.key.id, data, found, signed)

    def client_data(self, said: Instruction, **changed: Any) -> bytes:
        parts = {
            "type": "webauthn.get",
            "challenge": urlsafe_b64encode(challenge(said)).decode().rstrip("="),
            "origin": self.page,
            "crossOrigin": False,
        }
        kept = {name: value for name, value in (parts | changed).items() if value is not None}
        return json.dumps(kept, separators=(",", ":"), ensure_ascii=False).encode()

    def data(self, rp: str | None = None, flags: int | None = None, more: bytes = b"") -> bytes:
        party = sha256((self.rp if rp is None else rp).encode()).digest()
        return party + bytes([self.flags if flags is None else flags]) + bytes(4) + more


@dataclass
class BrowserKey:
    private: ed25519.Ed25519PrivateKey = field(default_factory=ed25519.Ed25519PrivateKey.generate)

    @property
    def key(self) -> CustomerKey:
        return CustomerKey(
            KeyKind.BROWSER,
            Algorithm.EDDSA,
            spki(self.private),
            RP,
            (PAGE,),
            backup_eligible=False,
            backed_up=False,
            attestation="none",
        )

    def sign(self, said: Instruction) -> BrowserSignature:
        message = instruction_signature.browser_message(document(said))
        return BrowserSignature(self.key.id, self.private.sign(message))


Hand = Passkey | BrowserKey


def document(said: Instruction) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(envelope.encode(said))
    return found


def challenge(said: Instruction) -> bytes:
    return instruction_signature.challenge(document(said))


def spki(private: Private) -> bytes:
    return private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def raw(private: Private, message: bytes) -> bytes:
    match private:
        case ec.EllipticCurvePrivateKey():
            return private.sign(message, ec.ECDSA(SHA256()))
        case ed25519.Ed25519PrivateKey():
            return private.sign(message)
        case _:
            return private.sign(message, padding.PKCS1v15(), SHA256())


def verify(said: Instruction, signature: Signature, key: CustomerKey) -> None:
    instruction_signature.verify(document(said), signature, key.key)


def _kind(private: Private) -> str:
    return next(name for name in _KINDS if isinstance(private, _KINDS[name]))


_KINDS: dict[str, Any] = {
    "EllipticCurvePrivateKey": ec.EllipticCurvePrivateKey,
    "Ed25519PrivateKey": ed25519.Ed25519PrivateKey,
    "RSAPrivateKey": rsa.RSAPrivateKey,
}


class Customer:
    """One customer's instructions, checked against the rules; nothing is stored."""

    def __init__(self) -> None:
        self.state = ConsentState("c1")
        self.index = 0

    def draft(
        self,
        act: Act,
        hand: Hand | None = None,
        *,
        at: datetime = NOON,
        evidence: EvidenceClass | None = None,
        mandate: bytes | None = None,
    ) -> Instruction:
        state = self.state
        return envelope.instruction(
            ORIGIN,
            state.subject,
            state.seq,
            state.head,
            act,
            at,
            WORDING,
            evidence or class_of(hand),
            mandate,
        )

    def say(self, act: Act, hand: Hand | None = None, **how: Any) -> bytes:
        """Give an instruction; returns its digest. Raises InstructionError."""
        return self.hear(self.draft(act, hand, **how), hand)

    def hear(self, said: Instruction, hand: Hand | None) -> bytes:
        """The digest of an instruction that was drafted. Raises InstructionError."""
        require_authorised(self.state, said, hand.sign(said) if hand else None)
        self.state = apply(self.state, said, self.index)
        self.index += 1
        return self.state.head


def class_of(hand: Hand | None) -> EvidenceClass:
    match hand:
        case Passkey():
            return EvidenceClass.PASSKEY
        case BrowserKey():
            return EvidenceClass.BROWSER_KEY
        case None:
            return EvidenceClass.SESSION


def give(
    ledger: Ledger,
    act: Act,
    hand: Hand | None = None,
    *,
    subject: str = "c1",
    at: datetime = NOON,
    mandate: bytes | None = None,
) -> RecordedInstruction:
    """Say it to a ledger, signed or in a session."""
    said = ledger.draft(
        subject, act, at=at, wording=WORDING, evidence=class_of(hand), mandate=mandate
    )
    return ledger.record([said], signatures=[hand.sign(said) if hand else None])[0]

r"""A customer's signature of an instruction, and its verification.

    challenge = SHA-256("sovereign/instruction/v1" ‖ 00 ‖ JCS(instruction))

A passkey signs it as the challenge of a WebAuthn assertion: it is in `clientDataJSON`, whose hash
is signed together with the authenticator data. A browser key (Ed25519) signs

    "sovereign/browser-key/v1" ‖ 00 ‖ challenge

A signature accompanies an instruction and is not part of it: the leaf commits to the instruction
alone. As JSON, with bytes in base64:

    {"authenticator_data":"SZYN…","client_data":"eyJ0…","key":"nxA…=","signature":"MEUC…",
     "type":"passkey"}
    {"key":"nxA…=","signature":"…","type":"browser"}

`key` is the SHA-256 of the public key. From one valid ECDSA signature anyone can compute a second,
so duplicates are recognised by the instruction's hash, never by the signature. The verifier imports
this module, so it uses the standard library and `cryptography` only. Specification:
specs/instruction.md.
"""

from base64 import b64encode, urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

from ledger.events import canonical_json, customer_keys
from ledger.events.canonical_json import StrictJsonError
from ledger.events.customer_keys import (
    BROWSER,
    PASSKEY,
    Key,
    KeyFormError,
    require_origin,
    require_usable,
)
from ledger.tlog import signed_note
from ledger.vault.commitments import canonical

CLASSES = {"A": PASSKEY, "B": BROWSER}  # evidence class -> kind of the signing key
MAX_PART_BYTES = 16_384  # of one member of a signature, decoded
_CHALLENGE = b"sovereign/instruction/v1\0"
_BROWSER = b"sovereign/browser-key/v1\0"
_FIXED = 37  # bytes of authenticator data before extensions
_PRESENT, _VERIFIED, _ELIGIBLE, _BACKED, _ATTESTED, _EXTENDED = 1, 4, 8, 16, 64, 128


class InstructionError(ValueError):
    """The instruction cannot be recorded in this log; nothing was recorded.

    It is for another log, does not follow the customer's previous instruction, or its signer is
    not allowed to give it.
    """


class SignatureError(InstructionError):
    """The signature is malformed, or is not a signature of this instruction by this key."""


@dataclass(frozen=True, slots=True)
class PasskeySignature:
    """A Web Authentication assertion (level 3, section 6.3.3)."""

    key: bytes  # SHA-256 of the public key
    authenticator_data: bytes
    client_data: bytes  # clientDataJSON, byte for byte as it was hashed
    signature: bytes


@dataclass(frozen=True, slots=True)
class BrowserSignature:
    """A signature by an Ed25519 key that one browser stores without allowing its export."""

    key: bytes  # SHA-256 of the public key
    signature: bytes


Signature = PasskeySignature | BrowserSignature


@dataclass(frozen=True, slots=True)
class InstructionSigner:
    """The part of a key that a receipt carries: as JSON {"public": …, "rp": …}, or without "rp".

    The signature covers both, so that no byte of a receipt goes unchecked.
    """

    public: bytes  # SubjectPublicKeyInfo, DER
    rp: str | None  # the relying party of a passkey; None: a browser key

    @classmethod
    def of(cls, key: Key) -> "InstructionSigner":
        return cls(key.public, key.party.id if key.kind == PASSKEY else None)

    @property
    def id(self) -> bytes:
        return sha256(self.public).digest()

    @property
    def kind(self) -> str:
        return BROWSER if self.rp is None else PASSKEY

    def members(self) -> dict[str, Any]:
        public = {"public": _text(self.public)}
        return public if self.rp is None else public | {"rp": self.rp}


def challenge(instruction: Mapping[str, Any]) -> bytes:
    """The 32-byte challenge for an instruction that is given as its JSON."""
    return sha256(_CHALLENGE + canonical(instruction)).digest()


def browser_message(instruction: Mapping[str, Any]) -> bytes:
    """The message that a browser key signs for the instruction."""
    return _BROWSER + challenge(instruction)


def verify(instruction: Mapping[str, Any], signature: Signature, key: Key) -> None:
    """Raise SignatureError unless `key` signed the instruction for its relying party.

    `instruction`: JSON of the profile. `key`: as it was enrolled. The authenticator's signature
    counter is not checked, because an offline verifier has nothing to compare it with.
    """
    try:
        require_usable(key)
    except KeyFormError as error:
        raise SignatureError(f"the signer's key: {error}") from error
    verify_alone(instruction, signature, InstructionSigner.of(key))
    if isinstance(signature, PasskeySignature):
        origin = _client_data(signature.client_data)["origin"]
        wanted = list(key.party.origins)
        _want(origin in wanted, f"signed on {origin[:80]!r}, want one of {wanted}")
        eligible = bool(signature.authenticator_data[32] & _ELIGIBLE)
        _want(
            eligible == key.backup_eligible,
            f"backup eligibility is {eligible}, want {key.backup_eligible} as at enrolment",
        )


def verify_alone(
    instruction: Mapping[str, Any], signature: Signature, signer: InstructionSigner
) -> None:
    """As `verify`, with only the part of the key that a receipt carries. Raises SignatureError.

    Does not check that the key was enrolled, nor for which relying party and origins.
    """
    named = sha256(signer.public).digest()
    _want(
        signature.key == named,
        f"the signature names the key {signature.key.hex()[:16]}, want {named.hex()[:16]}",
    )
    expected_kind, wanted = CLASSES.get(str(instruction.get("evidence"))), signer.kind
    _want(
        expected_kind == wanted,
        f"an instruction of evidence class {instruction.get('evidence')!r}, signed by a {wanted} "
        "key: want class A for passkeys, B for browser keys",
    )
    match signature:
        case PasskeySignature():
            _want(signer.rp is not None, "an assertion, but the signer has no relying party")
            _require_assertion(signature, signer.rp or "", challenge(instruction))
            signed = signature.authenticator_data + sha256(signature.client_data).digest()
        case BrowserSignature():
            _want(signer.rp is None, "a bare signature, but the signer is a passkey")
            signed = browser_message(instruction)
    _require_signed(signer, signature.signature, signed)


def members(signature: Signature) -> dict[str, Any]:
    """The signature as JSON."""
    base = {"key": _text(signature.key), "signature": _text(signature.signature)}
    match signature:
        case PasskeySignature(_, authenticator, client):
            parts = {"authenticator_data": _text(authenticator), "client_data": _text(client)}
            return base | parts | {"type": PASSKEY}
        case BrowserSignature():
            return base | {"type": BROWSER}


def parse(value: Any) -> Signature:
    """The signature in JSON; it formats back to the same. Raises SignatureError."""
    _want(isinstance(value, dict), f"the signature is a {type(value).__name__}, want an object")
    names = {"key", "signature", "type"}
    if value.get("type") == PASSKEY:
        _want_parts(value, names | {"authenticator_data", "client_data"})
        data, client = _bytes(value["authenticator_data"]), _bytes(value["client_data"])
        return PasskeySignature(_key(value["key"]), data, client, _bytes(value["signature"]))
    _want(
        value.get("type") == BROWSER,
        f"a signature of type {value.get('type')!r}, want {PASSKEY!r} or {BROWSER!r}",
    )
    _want_parts(value, names)
    return BrowserSignature(_key(value["key"]), _bytes(value["signature"]))


def signer(value: Any) -> InstructionSigner:
    """The signer in JSON; it formats back to the same. Raises SignatureError."""
    parts = set(value) if isinstance(value, dict) else None
    _want(
        parts in ({"public"}, {"public", "rp"}),
        f"the signer has the members {sorted(parts or ())}, want public and optionally rp",
    )
    rp = value.get("rp")
    _want(rp is None or isinstance(rp, str), f"rp is {str(rp)[:40]!r}, want a domain")
    _want(rp is not None or "rp" not in value, "rp is null: leave it out for a browser key")
    return InstructionSigner(_bytes(value["public"]), rp)


def _require_assertion(signature: PasskeySignature, rp: str, wanted: bytes) -> None:
    """The checks of WebAuthn level 3, section 7.2; signing inside a frame is refused as well."""
    client = _client_data(signature.client_data)
    kind = client.get("type")
    _want(kind == "webauthn.get", f"client data of type {kind!r}, want 'webauthn.get'")
    expected = urlsafe_b64encode(wanted).decode().rstrip("=")
    _want(
        client.get("challenge") == expected,
        "the challenge is that of another instruction: the key signed something else",
    )
    _want(isinstance(client.get("origin"), str), "the client data has no origin")
    try:
        require_origin(client["origin"], rp)
    except KeyFormError as error:
        raise SignatureError(f"signed on a page of another origin: {error}") from error
    _want(
        client.get("crossOrigin", False) is False,
        "crossOrigin is true: it was signed inside a frame of another page",
    )
    _want("topOrigin" not in client, "topOrigin is set: it was signed inside a frame")
    _require_data(signature.authenticator_data, rp)


def _require_data(data: bytes, rp: str) -> None:
    _want(len(data) >= _FIXED, f"authenticator data of {len(data)} bytes, want at least {_FIXED}")
    party, flags = sha256(rp.encode()).digest(), data[32]
    _want(data[:32] == party, f"signed for another relying party, want {rp!r}")
    _want(bool(flags & _PRESENT), "the flags do not say that a user was present")
    _want(bool(flags & _VERIFIED), "the flags do not say that the user was verified")
    _want(not flags & _ATTESTED, "the assertion has attested credential data, want none")
    _want(
        bool(flags & _EXTENDED) == (len(data) > _FIXED),
        f"authenticator data of {len(data)} bytes does not match its flag for extensions",
    )
    backed_up = bool(flags & _BACKED)
    _want(
        not backed_up or bool(flags & _ELIGIBLE),
        "the flags say backed up but not eligible for backup",
    )


def _client_data(data: bytes) -> dict[str, Any]:
    try:
        value = canonical_json.parse(data)
    except StrictJsonError as error:
        raise SignatureError(f"the client data is {error}") from error
    _want(isinstance(value, dict), f"the client data is a {type(value).__name__}, want an object")
    return dict(value)


def _require_signed(signer: InstructionSigner, signature: bytes, message: bytes) -> None:
    try:
        algorithm = customer_keys.algorithm(signer.public)
        public = load_der_public_key(signer.public)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise SignatureError(f"the public key is malformed: {error}") from error
    _want(
        signer.rp is not None or algorithm == "EdDSA", f"a browser key for {algorithm}, want EdDSA"
    )
    try:
        match public:
            case Ed25519PublicKey():
                public.verify(signature, message)
            case EllipticCurvePublicKey():
                public.verify(signature, message, ECDSA(SHA256()))
            case RSAPublicKey():
                public.verify(signature, message, PKCS1v15(), SHA256())
    except InvalidSignature as error:
        raise SignatureError(
            "the signature is wrong: another key made it, or the instruction was changed"
        ) from error


def _want_parts(value: Mapping[str, Any], wanted: set[str]) -> None:
    _want(
        set(value) == wanted,
        f"the signature has the members {sorted(value)}, want {sorted(wanted)}",
    )


def _key(value: Any) -> bytes:
    key_id = _bytes(value)
    _want(len(key_id) == sha256().digest_size, f"a key id of {len(key_id)} bytes, want 32")
    return key_id


def _bytes(value: Any) -> bytes:
    _want(isinstance(value, str), f"{str(value)[:40]!r}, want base64")
    try:
        data = signed_note.decode_base64(value)
    except ValueError as error:
        raise SignatureError(f"a member of the signature is not base64: {error}") from error
    _want(
        len(data) <= MAX_PART_BYTES, f"a part of {len(data)} bytes, want at most {MAX_PART_BYTES}"
    )
    return data


def _text(data: bytes) -> str:
    return b64encode(data).decode()


def _want(condition: bool, otherwise: str) -> None:
    if not condition:
        raise SignatureError(otherwise)

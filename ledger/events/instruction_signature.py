r"""A customer's own signature under an instruction, and how anybody checks it.

    challenge = SHA-256("sovereign/instruction/v1" ‖ 00 ‖ JCS(instruction))

A passkey signs it as WebAuthn has it: as the challenge in `clientDataJSON`, whose hash is signed
together with the authenticator's data. A browser key (Ed25519) signs

    "sovereign/browser-key/v1" ‖ 00 ‖ challenge

A signature stands beside an instruction, never in it: the leaf commits to the instruction alone.
In JSON, bytes in base64:

    {"authenticator_data":"SZYN…","client_data":"eyJ0…","key":"nxA…=","signature":"MEUC…",
     "type":"passkey"}
    {"key":"nxA…=","signature":"…","type":"browser"}

`key` is the SHA-256 of the public key. ECDSA lets anybody make a second valid signature out of a
first: what was said twice is told by the instruction's hash, never by the signature.
The standard library and `cryptography` are enough. The law: specs/instruction.md.
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

CLASSES = {"A": PASSKEY, "B": BROWSER}  # evidence class -> kind of the key that signs
LONGEST = 16_384  # bytes of a part of a signature
_CHALLENGE = b"sovereign/instruction/v1\0"
_BROWSER = b"sovereign/browser-key/v1\0"
_FIXED = 37  # bytes of authenticator data before extensions
_PRESENT, _VERIFIED, _ELIGIBLE, _BACKED, _ATTESTED, _EXTENDED = 1, 4, 8, 16, 64, 128


class InstructionError(ValueError):
    """The instruction is not one for this log, its chain is broken, or its signer may not give
    it. Nothing was recorded."""


class SignatureError(InstructionError):
    """The signature is malformed, or not this key's under this instruction."""


@dataclass(frozen=True, slots=True)
class PasskeySignature:
    """An assertion of Web Authentication (level 3, section 6.3.3)."""

    key: bytes  # SHA-256 of the public key
    authenticator_data: bytes
    client_data: bytes  # clientDataJSON as it was hashed
    signature: bytes


@dataclass(frozen=True, slots=True)
class BrowserSignature:
    """Of a key that one browser keeps and does not let out."""

    key: bytes  # SHA-256 of the public key
    signature: bytes


Signature = PasskeySignature | BrowserSignature


@dataclass(frozen=True, slots=True)
class InstructionSigner:
    """As much of a key as a receipt tells: in JSON {"public": …, "rp": …}, or without "rp".

    All of it is held by the signature, so that no byte of a receipt goes unchecked.
    """

    public: bytes  # SubjectPublicKeyInfo, DER
    rp: str | None  # of a passkey; None: a browser key

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
    """The 32 bytes that a key is asked to sign for the instruction, given as its JSON."""
    return sha256(_CHALLENGE + canonical(instruction)).digest()


def browser_message(instruction: Mapping[str, Any]) -> bytes:
    """What a browser key signs for the instruction."""
    return _BROWSER + challenge(instruction)


def verify(instruction: Mapping[str, Any], signature: Signature, key: Key) -> None:
    """Return if `key` signed the instruction, for its relying party, else raise SignatureError.

    The instruction is the JSON of one of the profile, the key one that was enrolled. The
    authenticator's counter is not looked at: offline there is nothing to compare it with.
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
        _want(eligible == key.backup_eligible, "another kind of key: it was enrolled otherwise")


def verify_alone(
    instruction: Mapping[str, Any], signature: Signature, signer: InstructionSigner
) -> None:
    """The same, knowing of the key no more than a receipt tells. Raises SignatureError.

    That the key was enrolled, for this relying party and its origins, is left to who knows.
    """
    named = sha256(signer.public).digest()
    _want(signature.key == named, "the signature names another key than the one it came with")
    found, wanted = CLASSES.get(str(instruction.get("evidence"))), signer.kind
    _want(
        found == wanted,
        f"an instruction of evidence class {instruction.get('evidence')!r}, signed by a {wanted} "
        "key: want class A for passkeys, B for browser keys",
    )
    match signature:
        case PasskeySignature():
            _want(signer.rp is not None, "an assertion, but of no relying party: want kind passkey")
            _require_assertion(signature, signer.rp or "", challenge(instruction))
            signed = signature.authenticator_data + sha256(signature.client_data).digest()
        case BrowserSignature():
            _want(signer.rp is None, "a bare signature, but the key is a passkey: want browser")
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
    _want(isinstance(value, dict), f"a signature is a {type(value).__name__}, want an object")
    names = {"key", "signature", "type"}
    if value.get("type") == PASSKEY:
        _want_parts(value, names | {"authenticator_data", "client_data"})
        data, client = _bytes(value["authenticator_data"]), _bytes(value["client_data"])
        return PasskeySignature(_key(value["key"]), data, client, _bytes(value["signature"]))
    _want(value.get("type") == BROWSER, f"a signature of type {value.get('type')!r}, want passkey")
    _want_parts(value, names)
    return BrowserSignature(_key(value["key"]), _bytes(value["signature"]))


def signer(value: Any) -> InstructionSigner:
    """The signer in JSON; it formats back to the same. Raises SignatureError."""
    parts = set(value) if isinstance(value, dict) else None
    _want(parts in ({"public"}, {"public", "rp"}), "a signer has a public key, and rp or not")
    rp = value.get("rp")
    _want(rp is None or isinstance(rp, str), f"a relying party {str(rp)[:40]!r}, want its domain")
    _want(rp is not None or "rp" not in value, "a relying party that is null: want none at all")
    return InstructionSigner(_bytes(value["public"]), rp)


def _require_assertion(signature: PasskeySignature, rp: str, wanted: bytes) -> None:
    """What WebAuthn level 3, section 7.2, asks of an assertion, and no frame inside a page."""
    said = _client_data(signature.client_data)
    _want(said.get("type") == "webauthn.get", f"client data of type {said.get('type')!r}")
    expected = urlsafe_b64encode(wanted).decode().rstrip("=")
    _want(said.get("challenge") == expected, "the key signed another instruction: its challenge")
    _want(isinstance(said.get("origin"), str), "signed on no page: its origin is missing")
    try:
        require_origin(said["origin"], rp)
    except KeyFormError as error:
        raise SignatureError(f"signed elsewhere: {error}") from error
    _want(said.get("crossOrigin", False) is False, "signed in a frame inside another page")
    _want("topOrigin" not in said, "signed in a frame inside a page of another origin")
    _require_data(signature.authenticator_data, rp)


def _require_data(data: bytes, rp: str) -> None:
    _want(len(data) >= _FIXED, f"authenticator data of {len(data)} bytes, want {_FIXED}")
    party, flags = sha256(rp.encode()).digest(), data[32]
    _want(data[:32] == party, f"signed for another relying party, want {rp!r}")
    _want(bool(flags & _PRESENT), "no user was present when it was signed")
    _want(bool(flags & _VERIFIED), "the user was not verified when it was signed")
    _want(not flags & _ATTESTED, "an assertion that brings a new key along")
    _want(
        bool(flags & _EXTENDED) == (len(data) > _FIXED), "bytes after the data, and no extensions"
    )
    backed_up = bool(flags & _BACKED)
    _want(not backed_up or bool(flags & _ELIGIBLE), "backed up, though the key cannot be")


def _client_data(data: bytes) -> dict[str, Any]:
    try:
        found = canonical_json.parse(data)
    except StrictJsonError as error:
        raise SignatureError(f"the client data is {error}") from error
    _want(isinstance(found, dict), "the client data is no object")
    return dict(found)


def _require_signed(signer: InstructionSigner, signature: bytes, message: bytes) -> None:
    try:
        algorithm = customer_keys.algorithm(signer.public)
        public = load_der_public_key(signer.public)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise SignatureError(f"the public key is none: {error}") from error
    _want(signer.rp is not None or algorithm == "EdDSA", f"a browser key for {algorithm}")
    try:
        match public:
            case Ed25519PublicKey():
                public.verify(signature, message)
            case EllipticCurvePublicKey():
                public.verify(signature, message, ECDSA(SHA256()))
            case RSAPublicKey():
                public.verify(signature, message, PKCS1v15(), SHA256())
    except InvalidSignature as error:
        raise SignatureError("the signature is wrong: not this key's, or changed since") from error


def _want_parts(value: Mapping[str, Any], wanted: set[str]) -> None:
    _want(set(value) == wanted, f"a signature with {sorted(value)}, want {sorted(wanted)}")


def _key(value: Any) -> bytes:
    found = _bytes(value)
    _want(len(found) == sha256().digest_size, f"a key named by {len(found)} bytes, want 32")
    return found


def _bytes(value: Any) -> bytes:
    _want(isinstance(value, str), f"{str(value)[:40]!r}, want base64")
    try:
        found = signed_note.decode_base64(value)
    except ValueError as error:
        raise SignatureError(f"a part of the signature is not base64: {error}") from error
    _want(len(found) <= LONGEST, f"a part of {len(found)} bytes, want at most {LONGEST}")
    return found


def _text(data: bytes) -> str:
    return b64encode(data).decode()


def _want(condition: bool, otherwise: str) -> None:
    if not condition:
        raise SignatureError(otherwise)

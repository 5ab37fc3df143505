r"""C2SP signed notes: a text with one or more signatures.

    demo.example/consent
    7
    3d7b…=

    — demo.example/consent Az3grlgtzPICa5OS8npVmf1Myq…=

Each signature line names the key and carries base64(key id ‖ signature). A key id is the first
four bytes of SHA-256(name ‖ "\n" ‖ type ‖ public key). Type 0x01 is Ed25519.
"""

import re
from base64 import b64decode, b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from typing import Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)

ED25519 = 0x01
_DASH = "— "
_CONTROL = re.compile("[\x00-\x09\x0b-\x1f]")
_KEY_ID_SIZE = 4
_ED25519_SIZE = 32


_P = 2**255 - 19
_ORDER_8 = int.from_bytes(
    bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"), "little"
)
# The coordinates y of the eight points of small order, with those that are not reduced.
_SMALL_ORDER = frozenset({0, 1, _P - 1, _P, _P + 1, _ORDER_8, _P - _ORDER_8})


class NoteError(ValueError):
    """The note or key is malformed, or a signature is missing or wrong."""


@dataclass(frozen=True, slots=True)
class Signature:
    name: str
    key_id: bytes
    signature: bytes

    def __str__(self) -> str:
        return f"{_DASH}{self.name} {b64encode(self.key_id + self.signature).decode()}\n"


@dataclass(frozen=True, slots=True)
class Note:
    text: str  # ends with a newline
    signatures: tuple[Signature, ...]

    def __str__(self) -> str:
        return self.text + "\n" + "".join(map(str, self.signatures))


class Verifying(Protocol):
    """A public key of any type. Its text form is a C2SP vkey."""

    @property
    def name(self) -> str: ...
    @property
    def key_id(self) -> bytes: ...
    def verify(self, text: str, signature: Signature) -> None:
        """Raise NoteError unless `signature` is a valid signature of `text` by this key."""
        ...


class Signing(Protocol):
    """A private key of any type."""

    @property
    def name(self) -> str: ...
    @property
    def verifier(self) -> Verifying: ...
    def sign(self, text: str) -> Signature: ...
    def secret(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Verifier:
    """A named public key. Its text form is a C2SP vkey: `name+key id+base64(type ‖ key)`."""

    name: str
    public: bytes

    @property
    def key_id(self) -> bytes:
        return _key_id(self.name, self.public)

    def __str__(self) -> str:
        material = b64encode(bytes([ED25519]) + self.public).decode()
        return f"{self.name}+{self.key_id.hex()}+{material}"

    def verify(self, text: str, signature: Signature) -> None:
        """Raises NoteError unless `signature` is this key's over `text`."""
        if (signature.name, signature.key_id) != (self.name, self.key_id):
            raise NoteError(f"signed by {signature.name!r}, want {self.name!r}")
        try:
            key = Ed25519PublicKey.from_public_bytes(self.public)
            key.verify(signature.signature, text.encode())
        except InvalidSignature as error:
            raise NoteError(f"the signature of {self.name!r} is wrong") from error


@dataclass(frozen=True, slots=True)
class Signer:
    """A named private key. Its text form contains the secret: store it owner-only, never log it."""

    name: str
    private: Ed25519PrivateKey

    @property
    def verifier(self) -> Verifier:
        return Verifier(self.name, self.private.public_key().public_bytes_raw())

    def sign(self, text: str) -> Signature:
        return Signature(self.name, self.verifier.key_id, self.private.sign(text.encode()))

    def secret(self) -> str:
        material = b64encode(bytes([ED25519]) + self.private.private_bytes_raw()).decode()
        return f"PRIVATE+KEY+{self.name}+{self.verifier.key_id.hex()}+{material}"


def generate(name: str) -> Signer:
    """A new key. `name`: the origin of the log that signs with it."""
    require_name(name)
    return Signer(name, Ed25519PrivateKey.generate())


def signer(secret: str) -> Signer:
    """Parse the text form of a Signer. Raises NoteError, which never repeats the secret."""
    name, key_id, raw = private_parts(secret)
    if raw[:1] != bytes([ED25519]) or len(raw) != 1 + _ED25519_SIZE:
        raise NoteError(f"the private key of {name!r} is not one of Ed25519 (type 1)")
    parsed = Signer(name, Ed25519PrivateKey.from_private_bytes(raw[1:]))
    if parsed.verifier.key_id.hex() != key_id:
        raise NoteError(f"the id of the private key of {name!r} does not match it")
    return parsed


def verifier(vkey: str) -> Verifier:
    """Parse a vkey. Raises NoteError."""
    name, raw = vkey_parts(vkey)
    parsed = Verifier(name, raw[1:])
    well_formed = raw[:1] == bytes([ED25519]) and len(parsed.public) == _ED25519_SIZE
    if not well_formed or str(parsed) != vkey:
        raise NoteError(f"not an Ed25519 verifier key: {vkey[:80]!r}")
    if has_small_order(parsed.public):
        raise NoteError(f"the key of {name!r} is a point of small order, with which anybody signs")
    return parsed


def private_parts(secret: str) -> tuple[str, str, bytes]:
    """Name, key id and `type ‖ key` of any private key. Raises NoteError without repeating it."""
    try:
        private, key, name, key_id, material = secret.strip().split("+", 4)
        raw = decode_base64(material)
    except ValueError:
        raise NoteError("not a private key of the form PRIVATE+KEY+name+id+key") from None
    if (private, key) != ("PRIVATE", "KEY"):
        raise NoteError("not a private key of the form PRIVATE+KEY+name+id+key")
    require_name(name)
    return name, key_id, raw


def vkey_parts(vkey: str) -> tuple[str, bytes]:
    """Name and `type ‖ key` of any vkey. Raises NoteError."""
    try:
        name, _, material = vkey.split("+", 2)
        raw = decode_base64(material)
    except ValueError as error:
        raise NoteError(f"not a verifier key of the form name+id+key: {vkey[:80]!r}") from error
    require_name(name)
    return name, raw


def parse(data: str) -> Note:
    """Parse a note; it formats back to the same text. Raises NoteError."""
    _require_characters(data)
    text, separator, lines = data.rpartition("\n\n")
    signatures = tuple(map(_signature, lines.split("\n")[:-1]))
    note = Note(text + "\n", signatures)
    if not (separator and text and signatures) or str(note) != data:
        raise NoteError("not a signed note: want a text, an empty line, and signature lines")
    return note


def has_small_order(public: bytes) -> bool:
    """Whether an Ed25519 key is a point of small order: anybody can sign anything with it."""
    return int.from_bytes(public, "little") & (1 << 255) - 1 in _SMALL_ORDER


def sign(text: str, signers: Sequence[Signing]) -> Note:
    _require_characters(text)
    if not text.endswith("\n") or "\n\n" in text or text == "\n":
        raise NoteError("a note's text ends with a newline and has no empty line")
    return Note(text, tuple(each.sign(text) for each in signers))


def verify(note: Note, verifiers: Sequence[Verifying]) -> None:
    """Raises NoteError unless every one of `verifiers` signed the note, each exactly once."""
    if not verifiers:
        raise NoteError("no verifier key was given, want at least one")
    if len({(each.name, each.key_id) for each in verifiers}) < len(verifiers):
        raise NoteError("a verifier key was given twice")
    for each in verifiers:
        matching = [s for s in note.signatures if (s.name, s.key_id) == (each.name, each.key_id)]
        if len(matching) != 1:
            raise NoteError(f"{len(matching)} signatures of {each.name!r}, want 1")
        each.verify(note.text, matching[0])


def decode_base64(text: str) -> bytes:
    """Decode canonical base64: the bytes encode back to the same text. Raises NoteError."""
    try:
        data = b64decode(text, validate=True)
    except ValueError as error:
        raise NoteError(f"not base64: {text[:80]!r}") from error
    if b64encode(data).decode() != text:
        raise NoteError(f"not canonical base64: {text[:80]!r}")
    return data


def _signature(line: str) -> Signature:
    if not line.startswith(_DASH) or line.count(" ") != 2:  # noqa: PLR2004 - dash, name, base64
        raise NoteError(f"not a signature line: {line[:80]!r}")
    _, name, encoded = line.split(" ")
    raw = decode_base64(encoded)
    require_name(name)
    if len(raw) <= _KEY_ID_SIZE:
        raise NoteError(f"the signature of {name!r} is cut off")
    return Signature(name, raw[:_KEY_ID_SIZE], raw[_KEY_ID_SIZE:])


@lru_cache(maxsize=256)
def _key_id(name: str, public: bytes) -> bytes:
    return sha256(name.encode() + b"\n" + bytes([ED25519]) + public).digest()[:_KEY_ID_SIZE]


def require_name(name: str) -> None:
    _require_characters(name)
    if not name or "+" in name or any(each.isspace() for each in name):
        raise NoteError(f"the key name {name!r} is empty or has a space or plus")


def _require_characters(text: str) -> None:
    """Raise NoteError for control characters other than newline, and for lone surrogates."""
    if _CONTROL.search(text):
        raise NoteError("the text has a control character other than newline")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise NoteError("the text has a lone surrogate, want UTF-8") from error

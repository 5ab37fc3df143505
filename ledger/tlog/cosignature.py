"""C2SP tlog-cosignature v1: a witness signs that it saw a checkpoint and no contradicting one.

The signed message is two lines of the witness followed by the checkpoint's text:

    cosignature/v1
    time 1679315147
    ledger.example/consent
    70000
    CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

and the signature line carries base64(key id ‖ time as uint64 ‖ Ed25519 signature). Signature
type 0x04; keys are written as verifier keys of that type.
"""

from base64 import b64encode
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from ledger.tlog.signed_note import (
    Note,
    NoteError,
    Signature,
    decode_base64,
    has_small_order,
    require_name,
)

TYPE = 0x04
LATEST = 1 << 63  # POSIX seconds; times must be smaller
_LAST = 253_402_300_799  # the last second of the year 9999, which no later one can be compared with
_KEY_SIZE = 32
_TIME_SIZE = 8
_SIZE = _TIME_SIZE + 64


class CosignatureError(Exception):
    """The witness has not cosigned this checkpoint. Never ignore it."""


@dataclass(frozen=True, slots=True)
class WitnessKey:
    """A witness's public key; its text form is `name+key id+base64(type ‖ key)`."""

    name: str
    public: bytes

    @property
    def key_id(self) -> bytes:
        return sha256(f"{self.name}\n".encode() + bytes([TYPE]) + self.public).digest()[:4]

    def __str__(self) -> str:
        return f"{self.name}+{self.key_id.hex()}+{_material(self.public)}"

    def verify(self, note: Note) -> datetime:
        """When this witness cosigned the note. Raises CosignatureError if it did not."""
        signature = self._signature(note)
        time = int.from_bytes(signature[:_TIME_SIZE], "big")
        try:
            key = Ed25519PublicKey.from_public_bytes(self.public)
            key.verify(signature[_TIME_SIZE:], _message(note.text, time))
        except (InvalidSignature, ValueError) as error:
            raise CosignatureError(f"the cosignature of {self.name} is wrong") from error
        return stated(time, self.name)

    def _signature(self, note: Note) -> bytes:
        mine = (self.name, self.key_id)
        matching = [s.signature for s in note.signatures if (s.name, s.key_id) == mine]
        if len(matching) != 1 or len(matching[0]) != _SIZE:
            raise CosignatureError(
                f"{len(matching)} cosignatures by {self.name} ({self.key_id.hex()}), want 1: "
                "ask the log for a checkpoint that this witness has seen"
            )
        return matching[0]


@dataclass(frozen=True, slots=True)
class WitnessSigner:
    """A witness's private key. Its text form contains the secret: owner-only, never logged."""

    name: str
    private: Ed25519PrivateKey

    @property
    def key(self) -> WitnessKey:
        return WitnessKey(self.name, self.private.public_key().public_bytes_raw())

    def cosign(self, text: str, at: datetime) -> Signature:
        """A cosignature of a checkpoint's text. `at`: aware; truncated to whole seconds."""
        time = int(at.timestamp())
        if not 0 <= time < LATEST:
            raise CosignatureError(f"cannot cosign at {at}, want a time after 1970")
        signed = self.private.sign(_message(text, time))
        return Signature(self.name, self.key.key_id, time.to_bytes(_TIME_SIZE, "big") + signed)

    def secret(self) -> str:
        material = _material(self.private.private_bytes_raw())
        return f"PRIVATE+KEY+{self.name}+{self.key.key_id.hex()}+{material}"


def stated(time: int, name: str) -> datetime:
    """The time that the witness `name` states, POSIX seconds. Raises CosignatureError."""
    if not 0 <= time <= _LAST:
        raise CosignatureError(f"the cosignature of {name} is of a time after the year 9999")
    return datetime.fromtimestamp(time, UTC)


def generate(name: str) -> WitnessSigner:
    """A new witness key."""
    return signer(WitnessSigner(name, Ed25519PrivateKey.generate()).secret())


def key(vkey: str) -> WitnessKey:
    """Parse a verifier key of type 0x04. Raises NoteError."""
    name, key_id, raw = _parts(vkey, vkey)
    if has_small_order(raw):
        raise NoteError(f"the key of {name!r} is a point of small order, with which anybody signs")
    parsed = WitnessKey(name, raw)
    if parsed.key_id.hex() != key_id:
        raise NoteError(f"the id in {vkey!r} is not the id of its key")
    return parsed


def signer(secret: str) -> WitnessSigner:
    """Parse the text form of a WitnessSigner. Raises NoteError, which never repeats the secret."""
    prefix = "PRIVATE+KEY+"
    if not secret.startswith(prefix):
        raise NoteError(f"not a witness's private key, which starts with {prefix}")
    name, key_id, raw = _parts(secret.removeprefix(prefix), "the private key")
    parsed = WitnessSigner(name, Ed25519PrivateKey.from_private_bytes(raw))
    if parsed.key.key_id.hex() != key_id:
        raise NoteError(f"the id of the private key of {name!r} does not match it")
    return parsed


def _parts(line: str, shown: str) -> tuple[str, str, bytes]:
    """Name, key id and 32 bytes of key. `shown`: how errors name the line, without the secret."""
    name, _, rest = line.partition("+")
    key_id, _, material = rest.partition("+")
    try:
        raw = decode_base64(material)
    except NoteError:
        raise NoteError(f"no canonical base64 in {shown!r}") from None
    require_name(name)
    if raw[:1] != bytes([TYPE]) or len(raw) != 1 + _KEY_SIZE:
        raise NoteError(f"want name+id+base64 of an Ed25519 witness key (type 4) in {shown!r}")
    return name, key_id, raw[1:]


def _material(raw: bytes) -> str:
    return b64encode(bytes([TYPE]) + raw).decode()


def _message(text: str, time: int) -> bytes:
    return f"cosignature/v1\ntime {time}\n{text}".encode()

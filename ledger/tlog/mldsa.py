r"""ML-DSA-44 signatures over checkpoints: C2SP tlog-cosignature, signature type 0x06.

The signed message is a binary form of the checkpoint with the signer's name:

    "subtree/v1\n\0" ‖ u8 length ‖ name ‖ u64 time ‖ u8 length ‖ origin ‖ u64 0 ‖ u64 size ‖ root

and the signature line carries base64(key id ‖ u64 time ‖ 2,420 bytes). A log signs with time 0,
because its signature states no time. Extension lines are not signed, so none are allowed. A vkey is
`name+key id+base64(0x06 ‖ 1,312 bytes)`; a private key contains the 32-byte seed.
"""

from base64 import b64encode
from dataclasses import dataclass
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey, MLDSA44PublicKey

from ledger.tlog import checkpoint, signed_note
from ledger.tlog.checkpoint import MalformedCheckpointError
from ledger.tlog.signed_note import NoteError, Signature

TYPE = 0x06
LATEST = 1 << 63  # POSIX seconds; times must be smaller
_LABEL = b"subtree/v1\n\0"
_SEED_SIZE = 32
_PUBLIC_SIZE = 1312
_TIME_SIZE = 8
_SIZE = _TIME_SIZE + 2420


@dataclass(frozen=True, slots=True)
class MldsaVerifier:
    """A named public key. Its text form is a C2SP vkey."""

    name: str
    public: bytes

    @property
    def key_id(self) -> bytes:
        return sha256(self.name.encode() + b"\n" + bytes([TYPE]) + self.public).digest()[:4]

    def __str__(self) -> str:
        material = b64encode(bytes([TYPE]) + self.public).decode()
        return f"{self.name}+{self.key_id.hex()}+{material}"

    def verify(self, text: str, signature: Signature) -> None:
        """Raises NoteError unless `signature` is this key's over the checkpoint `text`."""
        if (signature.name, signature.key_id) != (self.name, self.key_id):
            raise NoteError(f"signed by {signature.name!r}, want {self.name!r}")
        if len(signature.signature) != _SIZE:
            raise NoteError(f"{len(signature.signature)} bytes by {self.name!r}, want {_SIZE}")
        time = signature.signature[:_TIME_SIZE]
        try:
            key = MLDSA44PublicKey.from_public_bytes(self.public)
            key.verify(signature.signature[_TIME_SIZE:], _message(self.name, time, text))
        except InvalidSignature as error:
            raise NoteError(f"the ML-DSA-44 signature of {self.name!r} is wrong") from error


@dataclass(frozen=True, slots=True)
class MldsaSigner:
    """A named private key. Its text form contains the secret: store it owner-only, never log it."""

    name: str
    private: MLDSA44PrivateKey
    verifier: MldsaVerifier

    def sign(self, text: str, time: int = 0) -> Signature:
        """A signature of the checkpoint `text`. Raises NoteError if `text` is not a checkpoint."""
        stamp = time.to_bytes(_TIME_SIZE)
        signed = self.private.sign(_message(self.name, stamp, text))
        return Signature(self.name, self.verifier.key_id, stamp + signed)

    def secret(self) -> str:
        material = b64encode(bytes([TYPE]) + self.private.private_bytes_raw()).decode()
        return f"PRIVATE+KEY+{self.name}+{self.verifier.key_id.hex()}+{material}"


def generate(name: str) -> MldsaSigner:
    """A new key. `name`: the origin of the log, or the name of the witness, that signs with it."""
    signed_note.require_name(name)
    return _signer(name, MLDSA44PrivateKey.generate())


def signer(secret: str) -> MldsaSigner:
    """Parse the text form of a MldsaSigner. Raises NoteError, which never repeats the secret."""
    name, key_id, raw = signed_note.private_parts(secret)
    if raw[:1] != bytes([TYPE]) or len(raw) != 1 + _SEED_SIZE:
        raise NoteError(f"the private key of {name!r} is not one of ML-DSA-44 (type 6)")
    parsed = _signer(name, MLDSA44PrivateKey.from_seed_bytes(raw[1:]))
    if parsed.verifier.key_id.hex() != key_id:
        raise NoteError(f"the id of the private key of {name!r} does not match it")
    return parsed


def verifier(vkey: str) -> MldsaVerifier:
    """Parse a vkey. Raises NoteError."""
    name, raw = signed_note.vkey_parts(vkey)
    parsed = MldsaVerifier(name, raw[1:])
    well_formed = raw[:1] == bytes([TYPE]) and len(parsed.public) == _PUBLIC_SIZE
    if not well_formed or str(parsed) != vkey:
        raise NoteError(f"not an ML-DSA-44 verifier key: {vkey[:80]!r}")
    return parsed


def _signer(name: str, private: MLDSA44PrivateKey) -> MldsaSigner:
    return MldsaSigner(name, private, MldsaVerifier(name, private.public_key().public_bytes_raw()))


def _message(name: str, time: bytes, text: str) -> bytes:
    try:
        head = checkpoint.parse(text)
    except MalformedCheckpointError as error:
        raise NoteError(f"ML-DSA-44 signs checkpoints only: {error}") from error
    if head.extensions or int.from_bytes(time) >= LATEST:
        raise NoteError(
            f"{len(head.extensions)} extension lines and time {int.from_bytes(time)}: ML-DSA-44 "
            "signs checkpoints without extension lines, at a time below 2^63"
        )
    ends = bytes(8) + head.size.to_bytes(8)
    return _LABEL + _sized(name) + time + _sized(head.origin) + ends + head.root


def _sized(text: str) -> bytes:
    data = text.encode()
    if not 0 < len(data) < 1 << 8:
        raise NoteError(f"a name or origin of {len(data)} bytes, want 1 to 255: {text[:80]!r}")
    return bytes([len(data)]) + data

"""Keys from fixed seeds, and signatures that come out the same each time. Never to be used.

Nothing of the product is imported here: Ed25519 is signed by `cryptography`, ML-DSA-44 by
`dilithium_py`, and the texts around are put together by hand.
"""

from base64 import b64decode
from dataclasses import dataclass
from functools import cache
from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from dilithium_py.ml_dsa import ML_DSA_44

from specs.vectors.vector import b64

LOG, WITNESS, MLDSA = 1, 4, 6  # signature types of C2SP
ORIGIN = "vectors.example/consent"
TIME = 1_767_268_800  # 2026-01-01 12:00:00 UTC


@dataclass(frozen=True)
class Key:
    name: str
    kind: int
    seed: str = ""  # two keys of one name and kind have different ones

    @property
    def public(self) -> bytes:
        if self.kind == MLDSA:
            return _mldsa(self._secret)[0]
        return self._ed25519.public_key().public_bytes_raw()

    @property
    def id(self) -> bytes:
        return sha256(self.name.encode() + b"\n" + bytes([self.kind]) + self.public).digest()[:4]

    @property
    def vkey(self) -> str:
        return f"{self.name}+{self.id.hex()}+{b64(bytes([self.kind]) + self.public)}"

    def line(self, text: str, time: int = 0) -> str:
        """The signature line under `text`."""
        return self.signed_line(self.signature(text, time))

    def signed_line(self, signature: bytes) -> str:
        """The line with any signature."""
        return f"— {self.name} {b64(self.id + signature)}\n"

    def signature(self, text: str, time: int = 0) -> bytes:
        """The part of the signature after the key id."""
        match self.kind:
            case 1:
                return self.sign(text.encode())
            case 4:
                return time.to_bytes(8) + self.sign(f"cosignature/v1\ntime {time}\n{text}".encode())
            case _:
                return time.to_bytes(8) + self.sign(subtree(self.name, time, text))

    def sign(self, message: bytes) -> bytes:
        if self.kind == MLDSA:
            return bytes(ML_DSA_44.sign(_mldsa(self._secret)[1], message, deterministic=True))
        return self._ed25519.sign(message)

    @property
    def _secret(self) -> bytes:
        return sha256(f"vectors {self.kind} {self.name} {self.seed}".encode()).digest()

    @property
    def _ed25519(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(self._secret)


@cache
def _mldsa(seed: bytes) -> tuple[bytes, bytes]:
    public, private = ML_DSA_44.key_derive(seed)
    return bytes(public), bytes(private)


def subtree(name: str, time: int, text: str) -> bytes:
    """What ML-DSA-44 signs of a checkpoint."""
    origin, size, root = text.split("\n")[:3]
    return b"".join(
        (
            b"subtree/v1\n\0",
            bytes([len(name)]) + name.encode(),
            time.to_bytes(8),
            bytes([len(origin)]) + origin.encode(),
            bytes(8),
            int(size).to_bytes(8),
            b64decode(root),
        )
    )


def checkpoint(size: int, root: bytes, origin: str = ORIGIN) -> str:
    return f"{origin}\n{size}\n{b64(root)}\n"


def note(text: str, *lines: str) -> str:
    return text + "\n" + "".join(lines)


ED = Key(ORIGIN, LOG)
PQ = Key(ORIGIN, MLDSA)
STRANGER = Key("stranger.example/log", LOG)
W1, W2, W3 = (Key(f"witness.example/w{n}", WITNESS) for n in (1, 2, 3))

"""Notes under Ed25519 keys of small order, with which anybody signs anything."""

from collections.abc import Iterator
from hashlib import sha256, sha512
from itertools import count

from specs.model import vrf
from specs.vectors.make_vrf import small
from specs.vectors.signing import ED, checkpoint, note
from specs.vectors.vector import Vector, b64, cases

ZEROS = bytes(64)


class _Weak:
    """A key whose bytes are these, under the log's name."""

    def __init__(self, public: bytes) -> None:
        self.material = b"\x01" + public
        name = f"{ED.name}\n".encode()
        self.id = sha256(name + self.material).digest()[:4]
        self.vkey = f"{ED.name}+{self.id.hex()}+{b64(self.material)}"

    def signed(self, text: str, signature: bytes) -> str:
        return note(text, f"— {ED.name} {b64(self.id + signature)}\n")


def vectors() -> Iterator[Vector]:
    """`note` is signed by every key of `keys`."""
    text = checkpoint(1, bytes(32))
    valid = {"keys": [ED.vkey], "note": note(text, ED.line(text))}
    yield from cases("a key of prime order", valid, *_forged())


def _forged() -> Iterator[tuple[str, Vector]]:
    points = {f"of order 8, {n}": vrf.times(n, small()) for n in (1, 3, 5, 7)}
    points |= {f"of order 4, {n}": vrf.times(n, small()) for n in (2, 6)}
    points |= {"of order 2": (0, vrf.P - 1), "of order 1": vrf.ZERO}
    identity = vrf.encode(vrf.ZERO) + bytes(32)
    for why, point in points.items():
        yield f"key: {why}", _signed(vrf.encode(point), point, identity)
    quarter = vrf.decode(bytes(32)) or vrf.ZERO
    yield "key: of order 4, a signature of zeros", _signed(bytes(32), quarter, ZEROS)
    above = (vrf.P + 1).to_bytes(32, "little")
    yield "key: of order 1, not reduced", _signed(above, vrf.ZERO, identity)
    signed = b"\x01" + bytes(30) + b"\x80"
    yield "key: of order 1, its sign set", _signed(signed, vrf.ZERO, identity)


def _signed(key: bytes, point: vrf.Point, signature: bytes) -> Vector:
    """A checkpoint for which the equation of Ed25519 holds with this signature."""
    weak = _Weak(key)
    for size in count(1):
        text = checkpoint(size, bytes(32))
        k = int.from_bytes(sha512(signature[:32] + key + text.encode()).digest(), "little") % vrf.Q
        if vrf.times(8 * vrf.Q - k, point) == vrf.decode(signature[:32]):
            return {"keys": [weak.vkey], "note": weak.signed(text, signature)}
    raise AssertionError

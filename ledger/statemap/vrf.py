"""A verifiable random function: ECVRF-EDWARDS25519-SHA512-TAI of RFC 9381, verification.

Whoever has the private key computes the output for an input, and a proof. Whoever has the public
key verifies that this is the output, and that there is no other: RFC 9381, section 3.1, *full
uniqueness*. It holds for keys made by an adversary because the key is validated (section 5.4.5).
Without the key or a proof the output looks random.

    proof    Gamma (32) ‖ c (16) ‖ s (32)                                80 bytes
    output   SHA-512(03 ‖ 03 ‖ 8·Gamma ‖ 00)                             64 bytes

Try-and-increment maps an input to the curve in a time that depends on the input. That is no leak
here: the prover knows the input, the verifier has it. The other suite of this curve, ELL2, needs
more code in each verifier.

The verifier imports this module, so it uses the standard library only. The prover:
ledger.statemap.vrf_key. Specification: specs/statemap.md, "Labels".
"""

from collections.abc import Callable
from hashlib import sha512

from ledger.statemap import edwards25519
from ledger.statemap.edwards25519 import BASE, ORDER, SIZE, MalformedPointError, Point

PROOF_SIZE = 80
OUTPUT_SIZE = 64
SUITE = b"\x03"
CHALLENGE_SIZE = 16
_IDENTITY = edwards25519.encode(edwards25519.IDENTITY)


class VrfError(ValueError):
    """The key is invalid, or the proof does not prove an output for this key and input."""


def verify(public: bytes, alpha: bytes, proof: bytes) -> bytes:
    """The one output for `alpha` under the key `public`, which `proof` proves. Raises VrfError."""
    key = validated(public)
    gamma, c, s = _parts(proof)
    point = edwards25519.decode(hash_to_curve(public, alpha))
    u = edwards25519.sum_of_products(s, BASE, c, edwards25519.negative(key))
    v = edwards25519.sum_of_products(s, point, c, edwards25519.negative(gamma))
    points = (public, *map(edwards25519.encode, (point, gamma, u, v)))
    if challenge(*points) != c:
        raise VrfError("the proof is not of this key and input")
    return output(edwards25519.encode(edwards25519.times_cofactor(gamma)))


def validated(public: bytes) -> Point:
    """The point of a public key: RFC 9381, section 5.4.5. Raises VrfError."""
    try:
        point = edwards25519.decode(public)
    except MalformedPointError as error:
        raise VrfError(f"the key is malformed: {error}") from error
    if edwards25519.is_identity(edwards25519.times_cofactor(point)):
        raise VrfError("the key is a point of small order, under which outputs are not unique")
    return point


def cleared(data: bytes) -> bytes | None:
    """Eight times the encoded point, encoded; None if these bytes encode no point."""
    try:
        return edwards25519.encode(edwards25519.times_cofactor(edwards25519.decode(data)))
    except MalformedPointError:
        return None


def hash_to_curve(
    public: bytes, alpha: bytes, clear: Callable[[bytes], bytes | None] = cleared
) -> bytes:
    """The input as an encoded point of prime order: RFC 9381, section 5.4.1.1.

    `clear`: does the same as `cleared`.
    """
    for counter in range(256):
        text = SUITE + b"\x01" + public + alpha + bytes((counter, 0))
        point = clear(sha512(text).digest()[:SIZE])
        if point is not None and point != _IDENTITY:
            return point
    raise VrfError("no point for this input")  # of probability 2^-256


def challenge(*points: bytes) -> int:
    """RFC 9381, section 5.4.3, of the encoded key, input, Gamma, U and V."""
    digest = sha512(SUITE + b"\x02" + b"".join(points) + b"\x00").digest()
    return int.from_bytes(digest[:CHALLENGE_SIZE], "little")


def output(gamma: bytes) -> bytes:
    """The output: RFC 9381, section 5.2. `gamma`: Gamma times the cofactor, encoded."""
    return sha512(SUITE + b"\x03" + gamma + b"\x00").digest()


def _parts(proof: bytes) -> tuple[Point, int, int]:
    """Gamma, c and s: RFC 9381, section 5.4.4. Raises VrfError."""
    if len(proof) != PROOF_SIZE:
        raise VrfError(f"a proof of {len(proof)} bytes, want {PROOF_SIZE}")
    try:
        gamma = edwards25519.decode(proof[:SIZE])
    except MalformedPointError as error:
        raise VrfError(f"the proof is malformed: {error}") from error
    middle = SIZE + CHALLENGE_SIZE
    c, s = (int.from_bytes(each, "little") for each in (proof[SIZE:middle], proof[middle:]))
    if s >= ORDER:
        raise VrfError("the proof is malformed: s is not below the order of the group")
    return gamma, c, s

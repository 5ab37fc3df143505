"""The prover of the verifiable random function: RFC 9381, sections 5.1 and 5.4.2.2.

Secret scalars are multiplied by libsodium, in constant time. It multiplies points of prime order
only, which `hash_to_curve` makes; it adds any points of the curve, which clears the cofactor.
"""

from functools import cached_property
from hashlib import sha512

from ledger.statemap import vrf
from ledger.statemap.edwards25519 import COFACTOR_BITS, ORDER, SIZE, P


class VrfKey:
    """A private key: 32 random bytes, as of Ed25519 (RFC 8032, section 5.1.5)."""

    def __init__(self, seed: bytes) -> None:
        """Raises VrfError."""
        if len(seed) != SIZE:
            raise vrf.VrfError(f"a private key of {len(seed)} bytes, want {SIZE}")
        self.seed = seed
        digest = sha512(seed).digest()
        scalar = int.from_bytes(digest[:SIZE], "little")
        self._scalar = scalar & (1 << 254) - 8 | 1 << 254
        self._nonces = digest[SIZE:]

    @cached_property
    def public(self) -> bytes:
        return _times_base(self._scalar % ORDER)

    def output(self, alpha: bytes) -> bytes:
        """The output for `alpha`, at a third of the cost of a proof."""
        point = vrf.hash_to_curve(self.public, alpha, cleared)
        return vrf.output(_times(8 * self._scalar % ORDER, point))

    def prove(self, alpha: bytes) -> bytes:
        """The proof of the output for `alpha`."""
        point = vrf.hash_to_curve(self.public, alpha, cleared)
        gamma = _times(self._scalar % ORDER, point)
        nonce = int.from_bytes(sha512(self._nonces + point).digest(), "little") % ORDER
        c = vrf.challenge(self.public, point, gamma, _times_base(nonce), _times(nonce, point))
        s = (nonce + c * self._scalar) % ORDER
        return gamma + c.to_bytes(vrf.CHALLENGE_SIZE, "little") + s.to_bytes(SIZE, "little")


def cleared(data: bytes) -> bytes | None:
    """As `vrf.cleared`, several times faster."""
    from nacl.bindings import crypto_core_ed25519_add
    from nacl.exceptions import RuntimeError as NotAPointError

    if int.from_bytes(data, "little") & (1 << 255) - 1 >= P:  # libsodium would reduce it
        return None
    try:
        for _ in range(COFACTOR_BITS):
            data = crypto_core_ed25519_add(data, data)
    except NotAPointError:
        return None
    return data


def _times(scalar: int, point: bytes) -> bytes:
    from nacl.bindings import crypto_scalarmult_ed25519_noclamp

    return crypto_scalarmult_ed25519_noclamp(scalar.to_bytes(SIZE, "little"), point)


def _times_base(scalar: int) -> bytes:
    from nacl.bindings import crypto_scalarmult_ed25519_base_noclamp

    return crypto_scalarmult_ed25519_base_noclamp(scalar.to_bytes(SIZE, "little"))

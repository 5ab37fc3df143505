"""specs/statemap.md, "Verifiable random function"; its vectors: specs/vectors/vrf.json."""

import os
from dataclasses import dataclass
from hashlib import sha512

import pytest

from ledger.statemap import edwards25519, vrf, vrf_key
from ledger.statemap.edwards25519 import MalformedPointError
from ledger.statemap.vrf import VrfError
from ledger.statemap.vrf_key import VrfKey
from specs.vectors.make_vrf import RFC
from tests.ledger.test_vectors import vectors

KEY = VrfKey(bytes(range(32)))


@pytest.mark.parametrize("number", range(len(RFC)))
def test_s20_the_prover_makes_the_proofs_of_the_rfc(number: int) -> None:
    seed, alpha, proof, output = (bytes.fromhex(each) for each in RFC[number])
    assert VrfKey(seed).prove(alpha) == proof
    assert VrfKey(seed).output(alpha) == output


def test_s20_what_is_proven_is_the_output() -> None:
    for length in (0, 1, 31, 300):
        alpha = os.urandom(length)
        assert vrf.verify(KEY.public, alpha, KEY.prove(alpha)) == KEY.output(alpha)


def test_s20_the_prover_clears_the_cofactor_as_the_verifier_does() -> None:
    edges = [n.to_bytes(32, "little") for n in (0, 1, edwards25519.P - 1, edwards25519.P, 2)]
    random = [sha512(b"%d" % n).digest()[:32] for n in range(100)]
    results = [(vrf.cleared(each), vrf_key.cleared(each)) for each in edges + random]
    assert all(ours == theirs for ours, theirs in results)
    assert {ours is None for ours, _ in results} == {True, False}


def test_s21_every_changed_byte_of_a_proof_is_found() -> None:
    proof = KEY.prove(b"c-00001")
    for at in range(vrf.PROOF_SIZE):
        changed = proof[:at] + bytes([proof[at] ^ 1 << at % 8]) + proof[at + 1 :]
        with pytest.raises(VrfError):
            vrf.verify(KEY.public, b"c-00001", changed)


def test_s22_keys_of_small_order_are_refused_because_they_are_validated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without the validation, the forged proofs of the vectors prove an output."""
    forged = [each for each in vectors("vrf") if str(each["mutation"]).startswith("key: of order")]
    parts = [[bytes.fromhex(each[name]) for name in ("key", "alpha", "proof")] for each in forged]
    assert len(parts) == 3
    for each in parts:
        with pytest.raises(VrfError, match="small order"):
            vrf.verify(*each)
    monkeypatch.setattr(vrf, "validated", edwards25519.decode)
    for each, case in zip(parts, forged, strict=True):
        assert vrf.verify(*each).hex() == case["output"]


@dataclass
class Bad:
    data: bytes
    why: str


MALFORMED = {
    "short": Bad(bytes(31), "31 bytes"),
    "long": Bad(bytes(33), "33 bytes"),
    "y is the prime": Bad(edwards25519.P.to_bytes(32, "little"), "not below the prime"),
    "y is above the prime": Bad(b"\xff" * 31 + b"\x7f", "not below the prime"),
    "off the curve": Bad(b"\x02" + bytes(31), "no point"),
    "the sign of zero": Bad(b"\x01" + bytes(30) + b"\x80", "its sign is set"),
}


@pytest.mark.parametrize("why", MALFORMED)
def test_s22_only_canonical_points_are_decoded(why: str) -> None:
    with pytest.raises(MalformedPointError, match=MALFORMED[why].why):
        edwards25519.decode(MALFORMED[why].data)
    with pytest.raises(VrfError, match="malformed"):
        vrf.verify(MALFORMED[why].data, b"", KEY.prove(b""))


def test_s22_a_private_key_has_32_bytes() -> None:
    with pytest.raises(VrfError, match="31 bytes"):
        VrfKey(bytes(31))

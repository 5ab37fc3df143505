"""Proofs of the verifiable random function: those of RFC 9381 B.3, and a customer's label."""

from collections.abc import Iterator
from hashlib import sha256, sha512
from itertools import count

from specs.model import vrf
from specs.vectors.vector import Vector, cases, flipped

RFC = (  # RFC 9381, appendix B.3: examples 16, 17 and 18 (seed, input, proof, output)
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "",
        (
            "8657106690b5526245a92b003bb079ccd1a92130477671f6fc01ad16f26f723f"
            "26f8a57ccaed74ee1b190bed1f479d9727d2d0f9b005a6e456a35d4fb0daab12"
            "68a1b0db10836d9826a528ca76567805"
        ),
        (
            "90cf1df3b703cce59e2a35b925d411164068269d7b2d29f3301c03dd757876ff"
            "66b71dda49d2de59d03450451af026798e8f81cd2e333de5cdf4f3e140fdd8ae"
        ),
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "72",
        (
            "f3141cd382dc42909d19ec5110469e4feae18300e94f304590abdced48aed593"
            "3bf0864a62558b3ed7f2fea45c92a465301b3bbf5e3e54ddf2d935be3b67926d"
            "a3ef39226bbc355bdc9850112c8f4b02"
        ),
        (
            "eb4440665d3891d668e7e0fcaf587f1b4bd7fbfe99d0eb2211ccec90496310eb"
            "5e33821bc613efb94db5e5b54c70a848a0bef4553a41befc57663b56373a5031"
        ),
    ),
    (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "af82",
        (
            "9bc0f79119cc5604bf02d23b4caede71393cedfbb191434dd016d30177ccbf80"
            "96bb474e53895c362d8628ee9f9ea3c0e52c7a5c691b6c18c9979866568add7a"
            "2d41b00b05081ed0f58ee5e31b3a970e"
        ),
        (
            "645427e5d00c62a23fb703732fa5d892940935942101e456ecca7bb217c61c45"
            "2118fec1219202a0edcf038bb6373241578be7217ba85a2687f7a0310b2df19f"
        ),
    ),
)
SEED = sha256(b"vectors map").digest()
ID = b"sovereign/label/v2\0c-00001"


def vectors() -> Iterator[Vector]:
    """`proof` proves that `output` is the output for `alpha` under `key`."""
    for number, (seed, *rest) in enumerate(RFC, 16):
        known = vrf.public(bytes.fromhex(seed)).hex()
        valid = dict(zip(("key", "alpha", "proof", "output"), (known, *rest), strict=True))
        yield from cases(f"RFC 9381, example {number}", valid, *_others(valid))
    key, proof = vrf.public(SEED), vrf.prove(SEED, ID)
    gamma = vrf.times(vrf.secret(SEED), vrf.hashed(key, ID))
    valid = _case(key, proof, gamma)
    yield from cases("a label", valid, *_others(valid), *_proofs(proof), *_keys())
    yield from cases("a label, Gamma with a part of small order", _mixed(key, gamma))


def _case(key: bytes, proof: bytes, gamma: vrf.Point) -> Vector:
    output = vrf.output(gamma).hex()
    return {"key": key.hex(), "alpha": ID.hex(), "proof": proof.hex(), "output": output}


def _others(valid: Vector) -> Iterator[tuple[str, Vector]]:
    for name in ("key", "output"):
        yield f"{name}: a bit flipped", {name: flipped(bytes.fromhex(valid[name]), 1).hex()}
    yield "key: another", {"key": vrf.public(sha256(b"another").digest()).hex()}
    yield "alpha: a byte more", {"alpha": valid["alpha"] + "00"}


def _proofs(proof: bytes) -> Iterator[tuple[str, Vector]]:
    gamma, c, s = proof[:32], proof[32:48], proof[48:]
    larger = (int.from_bytes(s, "little") + vrf.Q).to_bytes(32, "little")
    changed = {
        "none": b"",
        "a byte short": proof[:-1],
        "a byte long": proof + b"\0",
        "Gamma: its sign": gamma[:31] + bytes([gamma[31] ^ 128]) + c + s,
        "Gamma: not on the curve": _off_the_curve() + c + s,
        "Gamma: the identity": vrf.encode(vrf.ZERO) + c + s,
        "c: a bit flipped": gamma + flipped(c) + s,
        "c: zero": gamma + bytes(16) + s,
        "s: a bit flipped": gamma + c + flipped(s),
        "s: zero": gamma + c + bytes(32),
        "s: the order of the group added": gamma + c + larger,
        "of another input": vrf.prove(SEED, ID + b"0"),
        "under another key": vrf.prove(sha256(b"another").digest(), ID),
    }
    yield from ((f"proof: {why}", {"proof": each.hex()}) for why, each in changed.items())


def _keys() -> Iterator[tuple[str, Vector]]:
    """Keys that must not be accepted; a verifier that does not look would accept their proofs."""
    for why, key in {
        "of order 1": vrf.encode(vrf.ZERO),
        "of order 2": vrf.encode((0, vrf.P - 1)),
        "of order 8": vrf.encode(small()),
    }.items():
        yield f"key: {why}", forged(key, vrf.decode(key) or vrf.ZERO)
    above = (1 + vrf.P).to_bytes(32, "little")
    yield "key: y not below the prime", forged(above, vrf.ZERO)
    yield "key: the sign of zero", forged(b"\x01" + bytes(30) + b"\x80", vrf.ZERO)
    yield "key: not on the curve", {"key": _off_the_curve().hex()}
    yield "key: a byte short", {"key": vrf.public(SEED)[:-1].hex()}


def forged(key: bytes, point: vrf.Point, text: bytes = ID) -> Vector:
    """A proof of `point` as Gamma, which holds if the key has small order and nobody checks it."""
    alpha = vrf.hashed(key, text)
    for nonce in count(1):
        proof = vrf.proof(key, 0, alpha, point, nonce)
        if proof[32] % 8 == 0:
            return _case(key, proof, point)
    raise AssertionError


def _mixed(key: bytes, gamma: vrf.Point) -> Vector:
    """Another proof of the same output: proofs are not unique, outputs are."""
    mixed, alpha = vrf.add(gamma, small()), vrf.hashed(key, ID)
    for nonce in count(1):
        proof = vrf.proof(key, vrf.secret(SEED), alpha, mixed, nonce)
        if proof[32] % 8 == 0:
            return _case(key, proof, gamma)
    raise AssertionError


def small() -> vrf.Point:
    """A point of order 8."""
    for number in count():
        point = vrf.decode(sha512(b"%d" % number).digest()[:32])
        if point and vrf.times(4, small := vrf.times(vrf.Q, point)) != vrf.ZERO:
            return small
    raise AssertionError


def _off_the_curve() -> bytes:
    return next(d for n in count(2) if not vrf.decode(d := n.to_bytes(32, "little")))

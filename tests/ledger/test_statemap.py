"""specs/statemap.md."""

import random
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from ledger.statemap import verifiable_map
from ledger.statemap.verifiable_map import MalformedProofError, MapProof, StateMap
from ledger.tlog.merkle import EMPTY_ROOT, ProofError
from specs.model import statemap as model
from tests.campaign import sized

values = st.binary(min_size=32, max_size=32)
# Labels that share long prefixes: inside a bucket, at its edge, and in the last bit only.
near = st.builds(
    lambda base, bit: (int.from_bytes(base, "big") ^ (1 << bit)).to_bytes(32, "big"),
    st.sampled_from([bytes(32), b"\xff" * 32, sha256(b"a").digest()]),
    st.integers(0, 255),
)
labels = near | st.binary(min_size=32, max_size=32)
maps = st.dictionaries(labels, values, max_size=40)


def built(content: dict[bytes, bytes]) -> tuple[StateMap, dict[int, bytes]]:
    buckets: dict[int, bytes] = {}
    made = StateMap({}, lambda numbers: {n: buckets[n] for n in numbers})
    change = made.change(content)
    buckets.update(change.buckets)
    made.apply(change)
    return made, buckets


def sample(size: int) -> dict[bytes, bytes]:
    return {sha256(b"%d" % i).digest(): sha256(b"value %d" % i).digest() for i in range(size)}


@given(maps)
def test_the_root_is_the_root_of_the_model(content: dict[bytes, bytes]) -> None:
    assert built(content)[0].root == model.root(content)


@given(maps)
def test_every_label_is_present_with_its_value_or_absent(content: dict[bytes, bytes]) -> None:
    made, _ = built(content)
    for label in [*content, *sample(5), bytes(32), b"\xff" * 32]:
        proof = verifiable_map.parse(bytes(made.prove(label)))
        assert made.value(label) == content.get(label)
        if label in content:
            verifiable_map.verify_presence(label, content[label], made.root, proof)
            with pytest.raises(ProofError):
                verifiable_map.verify_absence(label, made.root, proof)
            with pytest.raises(ProofError):
                verifiable_map.verify_presence(label, bytes(31) + b"x", made.root, proof)
        else:
            verifiable_map.verify_absence(label, made.root, proof)
            with pytest.raises(ProofError):
                verifiable_map.verify_presence(label, bytes(32), made.root, proof)


@given(maps, maps)
def test_no_proof_holds_under_another_root(
    content: dict[bytes, bytes], more: dict[bytes, bytes]
) -> None:
    made, _ = built(content)
    other, _ = built(content | more)
    if made.root != other.root:
        for label in [*content, *sample(3)]:
            with pytest.raises(ProofError):
                _verify(label, content.get(label), other.root, made.prove(label))


def _verify(label: bytes, value: bytes | None, root: bytes, proof: MapProof) -> None:
    if value is None:
        verifiable_map.verify_absence(label, root, proof)
    else:
        verifiable_map.verify_presence(label, value, root, proof)


MADE, _BUCKETS = built(sample(200))
PRESENT = next(iter(sample(1)))
ABSENT = sha256(b"absent").digest()


@pytest.mark.parametrize("label", [PRESENT, ABSENT], ids=["presence", "absence"])
def test_every_changed_bit_of_a_proof_is_found(label: bytes) -> None:
    value, data = MADE.value(label), bytes(MADE.prove(label))
    for at in range(len(data)):
        for bit in range(8):
            changed = bytearray(data)
            changed[at] ^= 1 << bit
            with pytest.raises(ProofError):
                _verify(label, value, MADE.root, verifiable_map.parse(bytes(changed)))


@pytest.mark.parametrize("label", [PRESENT, ABSENT], ids=["presence", "absence"])
def test_every_changed_bit_of_label_value_and_root_is_found(label: bytes) -> None:
    value, proof = MADE.value(label), MADE.prove(label)
    for bit in range(256):
        flip = (1 << bit).to_bytes(32, "big")
        with pytest.raises(ProofError):
            _verify(label, value, _xor(MADE.root, flip), proof)
        if value is not None:
            with pytest.raises(ProofError):
                _verify(label, _xor(value, flip), MADE.root, proof)
            with pytest.raises(ProofError):
                _verify(_xor(label, flip), value, MADE.root, proof)


def _xor(one: bytes, two: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(one, two, strict=True))


@pytest.mark.parametrize("label", [PRESENT, ABSENT], ids=["presence", "absence"])
def test_steps_left_out_doubled_or_swapped_are_found(label: bytes) -> None:
    value, proof = MADE.value(label), MADE.prove(label)
    steps = proof.siblings
    forged = [steps[:i] + steps[i + 1 :] for i in range(len(steps))]
    forged += [steps[: i + 1] + steps[i:] for i in range(len(steps))]
    swapped = range(len(steps) - 1)
    forged += [(*steps[:i], steps[i + 1], steps[i], *steps[i + 2 :]) for i in swapped]
    for siblings in forged:
        with pytest.raises(ProofError):
            _verify(label, value, MADE.root, MapProof(proof.leaf, siblings))


NO_PROOF = {
    "half a leaf": bytes(63),
    "half a step": bytes(64 + 32),
    "a byte too many": bytes(64 + 34),
    "more steps than bits": bytes(64 + 33 * 257),
}


@pytest.mark.parametrize("data", NO_PROOF.values(), ids=NO_PROOF.keys())
def test_what_is_no_proof_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedProofError):
        verifiable_map.parse(data)


@given(st.binary(max_size=300))
def test_a_proof_reads_back_to_the_same_bytes(data: bytes) -> None:
    try:
        proof = verifiable_map.parse(data)
    except MalformedProofError:
        return
    assert bytes(proof) == data


def test_an_empty_map_has_nothing_and_proves_it() -> None:
    made, _ = built({})
    assert made.root == EMPTY_ROOT
    verifiable_map.verify_absence(ABSENT, EMPTY_ROOT, made.prove(ABSENT))
    with pytest.raises(ProofError):
        verifiable_map.verify_absence(ABSENT, MADE.root, MapProof(None))
    with pytest.raises(ProofError):
        verifiable_map.verify_presence(ABSENT, bytes(32), EMPTY_ROOT, MapProof(None))
    with pytest.raises(ProofError):
        verifiable_map.verify_absence(ABSENT, EMPTY_ROOT, MapProof(None, ((0, bytes(32)),)))


def test_labels_and_values_have_32_bytes() -> None:
    made, _ = built({})
    for label, value in [(bytes(31), bytes(32)), (bytes(32), bytes(33))]:
        with pytest.raises(ProofError):
            made.change({label: value})
    with pytest.raises(ProofError):
        verifiable_map.verify_presence(b"", b"", EMPTY_ROOT, MapProof((b"", b"")))


class Growing(RuleBasedStateMachine):
    """A map that is changed, left unchanged and reopened, compared with the model."""

    def __init__(self) -> None:
        super().__init__()
        self.model: dict[bytes, bytes] = {}
        self.map, self.buckets = built({})

    @rule(new=maps)
    def change(self, new: dict[bytes, bytes]) -> None:
        change = self.map.change(new)
        before = self.map.root
        assert before == model.root(self.model)
        self.model |= new
        assert change.root == model.root(self.model)
        self.buckets.update(change.buckets)
        self.map.apply(change)

    @rule(new=maps)
    def think_again(self, new: dict[bytes, bytes]) -> None:
        self.map.change(new)

    @rule()
    def reopen(self) -> None:
        roots = {n: verifiable_map.bucket_root(data) for n, data in self.buckets.items()}
        self.map = StateMap(roots, lambda numbers: {n: self.buckets[n] for n in numbers})

    @invariant()
    def the_root_is_the_root_of_the_model(self) -> None:
        assert self.map.root == model.root(self.model)


TestGrowing = Growing.TestCase
TestGrowing.settings = settings(max_examples=sized(10, 100), stateful_step_count=8, deadline=None)


def test_a_proof_in_a_million_labels_has_at_most_1024_bytes() -> None:
    """Makes a part of a million labels, with the other buckets as if all labels were there."""
    generator = random.Random(1)
    full, numbers = (
        max(1, 1_000_000 >> verifiable_map.PREFIX),
        range(0, 1 << verifiable_map.PREFIX, 1 << 10),
    )
    some = {
        (number << 24 - verifiable_map.PREFIX).to_bytes(3, "big") + generator.randbytes(29): bytes(
            32
        )
        for number in numbers
        for _ in range(4 * full)
    }
    roots = dict.fromkeys(range(1 << verifiable_map.PREFIX), bytes(32))
    _, buckets = built(some)
    roots |= {n: verifiable_map.bucket_root(data) for n, data in buckets.items()}
    made = StateMap(roots, lambda numbers: {n: buckets[n] for n in numbers})
    sizes = [len(bytes(made.prove(label))) for label in some]
    assert max(sizes) <= 1024
    for label in some:
        verifiable_map.verify_presence(label, bytes(32), made.root, made.prove(label))


def test_a_map_with_many_buckets_opens_with_the_nodes_that_its_changes_made() -> None:
    labels = [sha256(b"%d" % each).digest() for each in range(70_000)]
    stored: dict[int, bytes] = {}

    def read(numbers: object) -> dict[int, bytes]:
        return stored

    made = StateMap({}, read)
    change = made.change(dict.fromkeys(labels, labels[0]))
    made.apply(change)
    stored |= change.buckets
    opened = StateMap(change.nodes[-1], read)
    assert opened.root == made.root
    for each in (labels[0], bytes(32)):
        assert opened.prove(each) == made.prove(each)


def test_a_map_that_grows_large_keeps_every_node(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verifiable_map, "FEW", 200)
    content, buckets = sample(600), dict[int, bytes]()
    made = StateMap({}, lambda numbers: {n: buckets[n] for n in numbers})
    for at in range(0, 600, 150):
        change = made.change({label: content[label] for label in [*content][at : at + 150]})
        buckets.update(change.buckets)
        made.apply(change)
        assert made.root == model.root({label: content[label] for label in [*content][: at + 150]})
    for label in [*sample(610)]:
        _verify(label, content.get(label), made.root, made.prove(label))

"""Clauses L1 to L6 of specs/ledger.md."""

import hashlib
import json
from functools import cache
from typing import Any

import merkletools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.tlog import merkle
from ledger.tlog.merkle import ProofError
from specs.model import tree as model
from specs.vectors import make_tree

MOST = 300
ENTRIES = [str(index).encode() for index in range(MOST)]
LEAVES = merkle.leaf_hashes(ENTRIES)
VECTORS = {name: (make_tree.FOLDER / f"{name}.json") for name in ("inclusion", "consistency")}


@cache
def read(level: int, index: int) -> bytes:
    return merkle.complete_root(LEAVES[index << level : (index + 1) << level])


class SeparatedSHA256:
    """merkletools hashes nodes with this; a node's hash begins with 0x01 (RFC 6962)."""

    def __init__(self, data: bytes) -> None:
        self._hash = hashlib.sha256(b"\x01" + data)

    def digest(self) -> bytes:
        return self._hash.digest()


def second_opinion(size: int) -> merkletools.MerkleTools:
    other = merkletools.MerkleTools()
    other.hash_function = SeparatedSHA256
    other.add_leaf([leaf.hex() for leaf in LEAVES[:size]], do_hash=False)
    other.make_tree()
    return other


def test_l1_root_and_paths_equal_merkletools_for_every_size() -> None:
    for size in range(1, MOST + 1):
        other = second_opinion(size)
        assert merkle.root(size, read).hex() == other.get_merkle_root(), size
        for index in range(0, size, 1 if size < 40 else 17):
            path = [next(iter(step.values())) for step in other.get_proof(index)]
            assert [each.hex() for each in merkle.prove_inclusion(index, size, read)] == path


def test_l1_root_of_nothing_is_the_hash_of_nothing() -> None:
    assert merkle.root(0, read) == model.mth([]) == merkle.EMPTY_ROOT


@pytest.mark.parametrize("size", [*range(1, 34), 255, 256, 257, MOST])
def test_l1_l2_roots_and_proofs_equal_the_definition(size: int) -> None:
    entries = ENTRIES[:size]
    assert merkle.root(size, read) == model.mth(entries)
    for at in range(1, size + 1, 1 if size < 34 else 41):
        assert merkle.prove_inclusion(at - 1, size, read) == model.path(at - 1, entries)
        assert merkle.prove_consistency(at, size, read) == model.proof(at, entries)


@given(st.integers(1, MOST), st.data())
def test_l3_every_proof_made_verifies(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    root = merkle.root(size, read)
    merkle.verify_inclusion(
        LEAVES[index], index, size, root, merkle.prove_inclusion(index, size, read)
    )
    older = merkle.root(index + 1, read)
    proof = merkle.prove_consistency(index + 1, size, read)
    merkle.verify_consistency(index + 1, size, older, root, proof)


@given(st.integers(2, MOST), st.data())
def test_l4_an_inclusion_proof_with_a_flipped_bit_is_refused(
    size: int, data: st.DataObject
) -> None:
    index = data.draw(st.integers(0, size - 1))
    proof = merkle.prove_inclusion(index, size, read)
    parts = [LEAVES[index], merkle.root(size, read), *proof]
    leaf, root, *mutated = flipped(parts, data)
    with pytest.raises(ProofError):
        merkle.verify_inclusion(leaf, index, size, root, mutated)


@given(st.integers(2, MOST), st.data())
def test_l4_a_consistency_proof_with_a_flipped_bit_is_refused(
    size: int, data: st.DataObject
) -> None:
    old = data.draw(st.integers(1, size - 1))
    proof = merkle.prove_consistency(old, size, read)
    parts = [merkle.root(old, read), merkle.root(size, read), *proof]
    older, root, *mutated = flipped(parts, data)
    with pytest.raises(ProofError):
        merkle.verify_consistency(old, size, older, root, mutated)


def flipped(parts: list[bytes], data: st.DataObject) -> list[bytes]:
    at = data.draw(st.integers(0, len(parts) * 256 - 1))
    changed = int.from_bytes(parts[at // 256]) ^ (1 << at % 256)
    return [*parts[: at // 256], changed.to_bytes(32), *parts[at // 256 + 1 :]]


@given(st.integers(2, MOST), st.data())
def test_l4_no_leaf_passes_for_another(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    claimed = data.draw(st.integers(0, size - 1).filter(lambda other: other != index))
    with pytest.raises(ProofError):
        merkle.verify_inclusion(
            LEAVES[index],
            claimed,
            size,
            merkle.root(size, read),
            merkle.prove_inclusion(index, size, read),
        )


def test_l5_a_node_cannot_be_passed_off_as_a_leaf() -> None:
    forged = LEAVES[0] + LEAVES[1]
    assert merkle.leaf_hash(forged) != merkle.node_hash(LEAVES[0], LEAVES[1])


@pytest.mark.parametrize("name", VECTORS)
def test_l6_vectors_are_what_the_model_says(name: str) -> None:
    made = {"inclusion": make_tree.inclusions, "consistency": make_tree.consistencies}[name]()
    assert VECTORS[name].read_text() == make_tree.text(made)


def vectors(name: str) -> list[dict[str, Any]]:
    return list(json.loads(VECTORS[name].read_text()))


@pytest.mark.parametrize("vector", vectors("inclusion"), ids=str)
def test_l6_inclusion_vectors_are_accepted_exactly_if_unmutated(vector: dict[str, Any]) -> None:
    proof = [bytes.fromhex(each) for each in vector["proof"]]
    leaf, root = bytes.fromhex(vector["leaf"]), bytes.fromhex(vector["root"])
    expect(
        vector,
        lambda: merkle.verify_inclusion(leaf, vector["index"], vector["size"], root, proof),
    )


@pytest.mark.parametrize("vector", vectors("consistency"), ids=str)
def test_l6_consistency_vectors_are_accepted_exactly_if_unmutated(vector: dict[str, Any]) -> None:
    proof = [bytes.fromhex(each) for each in vector["proof"]]
    old, new = bytes.fromhex(vector["old_root"]), bytes.fromhex(vector["new_root"])
    expect(vector, lambda: merkle.verify_consistency(vector["old"], vector["new"], old, new, proof))


def expect(vector: dict[str, Any], check: Any) -> None:
    if vector["mutation"] is None:
        check()
        return
    with pytest.raises(ProofError):
        check()


NO_PROOF = {
    "a leaf beyond the end": lambda: merkle.prove_inclusion(3, 3, read),
    "a leaf before the start": lambda: merkle.prove_inclusion(-1, 3, read),
    "consistency from nothing": lambda: merkle.prove_consistency(0, 3, read),
    "consistency backwards": lambda: merkle.prove_consistency(4, 3, read),
}


@pytest.mark.parametrize("why", NO_PROOF)
def test_l4_no_proof_is_made_of(why: str) -> None:
    with pytest.raises(ProofError):
        NO_PROOF[why]()

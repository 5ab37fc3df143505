"""RFC 6962 Merkle trees: hashes, inclusion and consistency proofs, and their verification.

A tree is never in memory as a whole. The prover computes the *spans* of leaves whose hashes are the
proof and reads these through a `NodeReader`; the verifier computes the same spans and hashes up to
the root. Proofs are byte for byte those of Certificate Transparency: see tests/ledger/test_tree.py.
"""

from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256

Hash = bytes
Span = tuple[int, int]  # leaves [lo, hi)
NodeReader = Callable[[int, int], Hash]  # (level, index) -> hash of that complete subtree

HASH_SIZE = 32
EMPTY_ROOT = sha256(b"").digest()

# Hashing starts from a copy of a started hash: copying is faster in OpenSSL than starting, and no
# bytes need to be concatenated. `python -m benchmarks ledger_root` measures the gain.
_LEAF, _NODE = sha256(b"\x00"), sha256(b"\x01")


class ProofError(Exception):
    """The proof does not prove its claim. Never ignore this error."""


def leaf_hash(entry: bytes) -> Hash:
    return sha256(b"\x00" + entry).digest()


def node_hash(left: Hash, right: Hash) -> Hash:
    return sha256(b"\x01" + left + right).digest()


def leaf_hashes(entries: Iterable[bytes]) -> list[Hash]:
    begin, hashes = _LEAF.copy, list[Hash]()
    for entry in entries:
        hashing = begin()
        hashing.update(entry)
        hashes.append(hashing.digest())
    return hashes


def parents(nodes: Sequence[Hash]) -> list[Hash]:
    """The hashes one level above `nodes`, an even number of complete subtrees."""
    begin, above, pairs = _NODE.copy, list[Hash](), iter(nodes)
    for left, right in zip(pairs, pairs, strict=True):
        hashing = begin()
        hashing.update(left)
        hashing.update(right)
        above.append(hashing.digest())
    return above


def complete_root(nodes: Sequence[Hash]) -> Hash:
    """The root over `nodes`, whose number must be a power of two."""
    while len(nodes) > 1:
        nodes = parents(nodes)
    return nodes[0]


def root(size: int, read: NodeReader) -> Hash:
    return _span_hash(0, size, read) if size else EMPTY_ROOT


def prove_inclusion(index: int, size: int, read: NodeReader) -> list[Hash]:
    _require(0 <= index < size, f"no leaf {index} in a tree of {size}")
    return [_span_hash(lo, hi, read) for lo, hi in _inclusion_spans(index, 0, size)]


def prove_consistency(old: int, new: int, read: NodeReader) -> list[Hash]:
    _require(0 < old <= new, f"no consistency from {old} to {new}")
    return [_span_hash(lo, hi, read) for lo, hi in _consistency_spans(old, 0, new)]


def verify_inclusion(
    leaf: Hash, index: int, size: int, expected_root: Hash, proof: Sequence[Hash]
) -> None:
    _require(0 <= index < size, f"no leaf {index} in a tree of {size}")
    _require_hashes(leaf, expected_root, *proof)
    spans = _inclusion_spans(index, 0, size)
    _require(len(proof) == len(spans), f"{len(proof)} hashes, want {len(spans)}")
    node = leaf
    for (_, hi), sibling in zip(spans, proof, strict=True):
        node = node_hash(sibling, node) if hi <= index else node_hash(node, sibling)
    _require(node == expected_root, "the leaf is not under this root")


def verify_consistency(
    old: int, new: int, old_root: Hash, new_root: Hash, proof: Sequence[Hash]
) -> None:
    _require(0 < old <= new, f"no consistency from {old} to {new}")
    _require_hashes(old_root, new_root, *proof)
    spans = _consistency_spans(old, 0, new)
    _require(len(proof) == len(spans), f"{len(proof)} hashes, want {len(spans)}")
    older = newer = old_root
    for (_, hi), sibling in zip(spans, proof, strict=True):
        if hi == old:  # both paths start here, unless the start is the old root itself
            older = newer = sibling
        elif hi < old:  # a left sibling: part of both trees
            older, newer = node_hash(sibling, older), node_hash(sibling, newer)
        else:  # a right sibling: part of the new tree only
            newer = node_hash(newer, sibling)
    _require(older == old_root, "the proof does not lead to the old root")
    _require(newer == new_root, "the proof does not lead to the new root: it is not an extension")


def _inclusion_spans(index: int, lo: int, hi: int) -> list[Span]:
    """PATH of RFC 6962 §2.1.1 as spans: the siblings on the path from leaf `index` to the root."""
    if hi - lo == 1:
        return []
    mid = _split(lo, hi)
    if index < mid:
        return [*_inclusion_spans(index, lo, mid), (mid, hi)]
    return [*_inclusion_spans(index, mid, hi), (lo, mid)]


def _consistency_spans(old: int, lo: int, hi: int) -> list[Span]:
    """SUBPROOF of RFC 6962 §2.1.2 as spans, without the old root, which the verifier knows."""
    if old == hi:
        return [] if lo == 0 else [(lo, hi)]
    mid = _split(lo, hi)
    if old <= mid:
        return [*_consistency_spans(old, lo, mid), (mid, hi)]
    return [*_consistency_spans(old, mid, hi), (lo, mid)]


def _span_hash(lo: int, hi: int, read: NodeReader) -> Hash:
    level, rest = (hi - lo).bit_length() - 1, (hi - lo) & (hi - lo - 1)
    if not rest:  # a complete subtree: its hash is stored
        return read(level, lo >> level)
    mid = _split(lo, hi)
    return node_hash(_span_hash(lo, mid, read), _span_hash(mid, hi, read))


def _split(lo: int, hi: int) -> int:
    """Split after the largest power of two smaller than the width."""
    return lo + (1 << (hi - lo - 1).bit_length() - 1)


def _require_hashes(*hashes: Hash) -> None:
    _require(all(len(h) == HASH_SIZE for h in hashes), f"a hash has {HASH_SIZE} bytes")


def _require(condition: bool, otherwise: str) -> None:
    if not condition:
        raise ProofError(otherwise)

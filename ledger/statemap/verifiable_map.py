"""The verifiable map: label -> value under one root, with proofs of presence and absence.

A binary prefix tree in which every inner node has two children:

    leaf   SHA-256(label ‖ value)                      64 bytes are hashed
    inner  SHA-256(left ‖ right ‖ bit)                 65 bytes; labels below agree up to `bit`,
                                                       left ones have 0 there, right ones 1
    empty  SHA-256("")

A proof is the leaf where the search for a label ends, and the siblings on the path to the root: 64
bytes and 33 per step, 724 for a map of a million labels. If that leaf has the label, it proves the
value. If it has another label, it proves absence, because the search would have ended at the
label's own leaf.

The tree is stored in buckets, one for all labels that share 20 bits: a bucket is its sorted
records, 64 bytes each. Only the buckets' roots and the nodes above them are in memory.
Specification: specs/statemap.md; a short executable model: specs/model/statemap.py.
"""

from bisect import bisect_left
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

from ledger.tlog.merkle import EMPTY_ROOT, HASH_SIZE, Hash, ProofError

Label = bytes  # 32 bytes
Value = bytes  # 32 bytes
FEW = 2_000  # buckets up to which levels are sparse
PREFIX = 20  # bits of a label that name its bucket; at most 24
RECORD = 2 * HASH_SIZE
_STEP = 1 + HASH_SIZE
_BITS = 8 * HASH_SIZE

# Bucket numbers -> number -> records, without empty buckets.
BucketReader = Callable[[Collection[int]], Mapping[int, bytes]]


class MalformedProofError(ValueError):
    """The bytes are not a proof of this map."""


@dataclass(frozen=True, slots=True)
class MapProof:
    """The leaf where a search ended, and the siblings from there to the root: (bit, hash)."""

    leaf: tuple[Label, Value] | None  # None: the map is empty
    siblings: tuple[tuple[int, Hash], ...] = ()

    def __bytes__(self) -> bytes:
        if self.leaf is None:
            return b""
        return b"".join(self.leaf) + b"".join(bytes([bit]) + node for bit, node in self.siblings)


def parse(data: bytes) -> MapProof:
    """Parse a proof; it formats back to the same bytes. Raises MalformedProofError."""
    if not data:
        return MapProof(None)
    steps, rest = divmod(len(data) - RECORD, _STEP)
    if rest or not 0 <= steps <= _BITS:
        raise MalformedProofError(f"{len(data)} bytes, want {RECORD} and {_STEP} for each step")
    cuts = range(RECORD, len(data), _STEP)
    siblings = tuple((data[at], data[at + 1 : at + _STEP]) for at in cuts)
    return MapProof((data[:HASH_SIZE], data[HASH_SIZE:RECORD]), siblings)


def verify_presence(label: Label, value: Value, root: Hash, proof: MapProof) -> None:
    """Raise ProofError unless the map with this root has this value for the label."""
    _require(proof.leaf == (label, value), "the proof is for another label or value")
    _require_path(label, root, proof)


def verify_absence(label: Label, root: Hash, proof: MapProof) -> None:
    """Raise ProofError unless the map with this root has no value for the label."""
    if proof.leaf is None:
        _require(not proof.siblings and root == EMPTY_ROOT, "the map is not empty")
        return
    _require(proof.leaf[0] != label, "the map has the label")
    _require_path(label, root, proof)


def _require_path(label: Label, root: Hash, proof: MapProof) -> None:
    """Raise ProofError unless the search for `label` from this root ends at the proof's leaf."""
    _require(
        proof.leaf is not None and len(label) == HASH_SIZE,
        f"no leaf, or a label of {len(label)} bytes, want {HASH_SIZE}",
    )
    there, value = proof.leaf or (b"", b"")
    _require(
        len(there) == len(value) == HASH_SIZE, f"want a label and value of {HASH_SIZE} bytes each"
    )
    node, below = sha256(there + value).digest(), _BITS
    for bit, sibling in proof.siblings:
        _require(
            0 <= bit < below and len(sibling) == HASH_SIZE,
            "the bits of the siblings do not decrease towards the root",
        )
        side = _bit(label, bit)
        _require(side == _bit(there, bit), "the search does not lead to this leaf")
        node, below = _inner(sibling, node, bit) if side else _inner(node, sibling, bit), bit
    _require(node == root, "the leaf is not under this root")


@dataclass(frozen=True, slots=True)
class MapChange:
    """An update of the map: store it in the transaction that caused it, then apply it."""

    root: Hash
    buckets: Mapping[int, bytes]  # number -> records
    nodes: tuple[Mapping[int, Hash], ...]  # of each level above the buckets, by number


class StateMap:
    """The map: upper nodes in memory, buckets in a store. Changes must come from one thread."""

    def __init__(self, roots: Mapping[int, Hash], read: BucketReader) -> None:
        """`roots`: number -> root of the buckets that are not empty (see `bucket_root`)."""
        self._read = read
        self._levels: Sequence[_Level] = [_Sparse() for _ in range(PREFIX + 1)]
        if len(roots) << 4 > 1 << PREFIX:
            self._levels = _levels(roots)
        else:  # fewer steps, each of which costs more
            self.apply(self._climb(roots, {}))

    @property
    def root(self) -> Hash:
        return self._levels[0][0] or EMPTY_ROOT

    def change(self, values: Mapping[Label, Value]) -> MapChange:
        """Compute the update that sets these values; the map itself is not changed."""
        labels = sorted(values)  # so that memory and store are accessed in order
        numbers = [int.from_bytes(label[:3]) >> 24 - PREFIX for label in labels]
        roots = self._levels[PREFIX]
        known = self._read([n for n in dict.fromkeys(numbers) if roots[n] is not None])
        buckets: dict[int, bytes] = {}
        for number, label in zip(numbers, labels, strict=True):
            data = buckets.get(number)
            before = known.get(number, b"") if data is None else data
            buckets[number] = _put(before, label, values[label])
        return self._climb({n: bucket_root(data) for n, data in buckets.items()}, buckets)

    def apply(self, change: MapChange) -> None:
        """Apply a change in memory; call it after the change was stored."""
        for level, nodes in zip(self._levels, change.nodes, strict=True):
            for number, node in nodes.items():
                level[number] = node
        if len(self._levels[PREFIX]) > FEW and isinstance(self._levels[PREFIX], _Sparse):
            self._levels = [_filled(level, 1 << i) for i, level in enumerate(self._levels)]

    def prove(self, label: Label) -> MapProof:
        """A proof of the label's value, or of its absence."""
        if self._levels[0][0] is None:
            return MapProof(None)
        siblings = list(self._descend(label))
        number = self._end(label)
        records = _split(self._read([number])[number])
        leaf, inside = _search(records, label)
        return MapProof(leaf, tuple(reversed(siblings + inside)))

    def value(self, label: Label) -> Value | None:
        """The value of the label, or None."""
        return self.values([label]).get(label)

    def values(self, labels: Collection[Label]) -> dict[Label, Value]:
        """The values of these labels, without labels that have none."""
        wanted = {n for n in map(_bucket, labels) if self._levels[PREFIX][n] is not None}
        known = {n: _split(data) for n, data in self._read(wanted).items()}
        values: dict[Label, Value] = {}
        for label in labels:
            records = known.get(_bucket(label), [])
            place = bisect_left(records, label)
            if place < len(records) and records[place].startswith(label):
                values[label] = records[place][HASH_SIZE:]
        return values

    def _climb(self, roots: Mapping[int, Hash], buckets: Mapping[int, bytes]) -> MapChange:
        """Compute the nodes above changed buckets, level by level."""
        nodes: list[Mapping[int, Hash]] = [roots]
        for level in reversed(range(PREFIX)):
            below, known = nodes[-1], self._levels[level + 1]
            nodes.append(_parents(below, known, level))
        root = nodes[-1].get(0) or self.root
        return MapChange(root, buckets, tuple(reversed(nodes)))

    def _descend(self, label: Label) -> Iterator[tuple[int, Hash]]:
        """The siblings above the bucket where the search for the label ends, from the root down."""
        for level, number in self._path(label):
            sibling = self._levels[level + 1][number ^ 1]
            if sibling:
                yield level, sibling

    def _end(self, label: Label) -> int:
        """The bucket where the search for the label ends."""
        number = 0
        for _, number in self._path(label):  # noqa: B007 (the last one counts)
            pass
        return number

    def _path(self, label: Label) -> Iterator[tuple[int, int]]:
        """The nodes on the way down: (level of the parent, number of the child)."""
        number = 0
        for level in range(PREFIX):
            number = 2 * number + _bit(label, level)
            if self._levels[level + 1][number] is None:
                number ^= 1  # no inner node here: the search continues at the only child
            yield level, number


def bucket_root(data: bytes) -> Hash:
    """The root over a bucket's records, of which there is at least one.

    Two neighbours are joined as soon as the next record differs at a higher bit.
    """
    if len(data) == RECORD:
        return sha256(data).digest()  # the usual case, up to a million labels
    node, last = sha256(data[:RECORD]).digest(), _number(data)
    waiting: list[tuple[Hash, int]] = []  # left siblings, and the bit at which they branch
    for at in range(RECORD, len(data), RECORD):
        record = data[at : at + RECORD]
        number = _number(record)
        bit = _BITS - (last ^ number).bit_length()
        while waiting and waiting[-1][1] > bit:
            left, above = waiting.pop()
            node = _inner(left, node, above)
        waiting.append((node, bit))
        node, last = sha256(record).digest(), number
    for left, bit in reversed(waiting):
        node = _inner(left, node, bit)
    return node


def _parents(below: Mapping[int, Hash], known: "_Level", bit: int) -> dict[int, Hash]:
    """The parents of changed nodes: the hash of two children, or an only child itself."""
    parents: dict[int, Hash] = {}
    last, changed = bytes((bit,)), below.get
    for number, node in below.items():
        sibling = changed(number ^ 1)
        if sibling is None:
            sibling = known[number ^ 1]
        elif number & 1:
            continue  # the left sibling computes their parent
        if sibling is None:
            parents[number >> 1] = node
        elif number & 1:
            parents[number >> 1] = sha256(sibling + node + last).digest()
        else:
            parents[number >> 1] = sha256(node + sibling + last).digest()
    return parents


class _Sparse(dict[int, Hash | None]):
    """A level with few nodes: the lists of a whole map are 16 MB, which a start need not fill."""

    def __missing__(self, number: int) -> None:
        return None


_Level = list[Hash | None] | _Sparse


def _filled(level: _Level, size: int) -> _Level:
    """The level as a list, which is read faster."""
    whole: list[Hash | None] = [None] * size
    for number, node in enumerate(level) if isinstance(level, list) else level.items():
        whole[number] = node
    return whole


def _levels(roots: Mapping[int, Hash]) -> list[list[Hash | None]]:
    """All nodes, from the root down to the buckets: as `_parents`, for whole levels.

    Part of every start; with a million customers it takes a second.
    """
    buckets: list[Hash | None] = [None] * (1 << PREFIX)
    for number, root in roots.items():
        buckets[number] = root
    levels, hashed = [buckets], sha256
    for bit in reversed(range(PREFIX)):
        below, last = levels[-1], bytes((bit,))
        pairs = zip(below[::2], below[1::2], strict=True)
        levels.append([hashed(a + b + last).digest() if a and b else a or b for a, b in pairs])
    return levels[::-1]


def _search(
    records: list[bytes], label: Label
) -> tuple[tuple[Label, Value], list[tuple[int, Hash]]]:
    """The leaf where the search ends in a bucket, and the siblings on the way down."""
    siblings: list[tuple[int, Hash]] = []
    while len(records) > 1:
        bit = _BITS - (_number(records[0]) ^ _number(records[-1])).bit_length()
        middle = bisect_left(records, 1, key=lambda record: _bit(record, bit))
        halves = records[:middle], records[middle:]
        side = _bit(label, bit)
        siblings.append((bit, bucket_root(b"".join(halves[1 - side]))))
        records = halves[side]
    return (records[0][:HASH_SIZE], records[0][HASH_SIZE:]), siblings


def _put(data: bytes, label: Label, value: Value) -> bytes:
    """The records of a bucket after one value was set."""
    if len(label) != HASH_SIZE or len(value) != HASH_SIZE:
        raise ProofError(
            f"a label of {len(label)} and a value of {len(value)} bytes, want {HASH_SIZE} each"
        )
    if not data or (len(data) == RECORD and data.startswith(label)):
        return label + value  # the usual case, up to a million labels
    labels = [data[at : at + HASH_SIZE] for at in range(0, len(data), RECORD)]
    place = bisect_left(labels, label)
    start = place * RECORD
    known = labels[place : place + 1] == [label]
    return data[:start] + label + value + data[start + RECORD * known :]


def _split(data: bytes) -> list[bytes]:
    return [data[at : at + RECORD] for at in range(0, len(data), RECORD)]


def _inner(left: Hash, right: Hash, bit: int) -> Hash:
    return sha256(left + right + bytes((bit,))).digest()


def _bucket(label: Label) -> int:
    return int.from_bytes(label[:3], "big") >> (24 - PREFIX)


def _number(record: bytes) -> int:
    return int.from_bytes(record[:HASH_SIZE], "big")


def _bit(label: Label, bit: int) -> int:
    return label[bit >> 3] >> (7 - (bit & 7)) & 1


def _require(condition: bool, otherwise: str) -> None:
    if not condition:
        raise ProofError(otherwise)

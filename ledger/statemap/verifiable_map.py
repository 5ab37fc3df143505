"""The verifiable map: a value for each label, under one root, with presence and absence proofs.

A binary prefix tree in which every inner node has two children:

    leaf   SHA-256(label ‖ value)                      64 bytes are hashed
    inner  SHA-256(left ‖ right ‖ bit)                 65 bytes; labels below agree up to `bit`,
                                                       left ones have 0 there, right ones 1
    empty  SHA-256("")

A proof is the leaf where the search for a label ends, and the siblings on the way up: 64 bytes,
then 33 a step, 724 for a map of a million. If that leaf has the label, its value is the one; if
it has another, the label is absent, since the search would have ended at it.

The tree is kept in buckets, one for the labels that share 20 bits: a bucket is its sorted
records, 64 bytes each. Only the buckets' roots and what is above them is held in memory. The law
this file implements: specs/statemap.md; the same in obvious lines: specs/model/statemap.py.
"""

from bisect import bisect_left
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

from ledger.tlog.merkle import EMPTY_ROOT, HASH_SIZE, Hash, ProofError

Label = bytes  # 32 bytes
Value = bytes  # 32 bytes
PREFIX = 20  # bits of a label that name its bucket; at most 24
RECORD = 2 * HASH_SIZE
_STEP = 1 + HASH_SIZE
_BITS = 8 * HASH_SIZE

# Bucket numbers -> the records of those that are not empty.
BucketReader = Callable[[Collection[int]], Mapping[int, bytes]]


class MalformedProofError(ValueError):
    """The bytes are not a proof of this map."""


@dataclass(frozen=True, slots=True)
class MapProof:
    """Where the search for a label ended, and the siblings from there to the root: (bit, hash)."""

    leaf: tuple[Label, Value] | None  # None: the map is empty
    siblings: tuple[tuple[int, Hash], ...] = ()

    def __bytes__(self) -> bytes:
        if self.leaf is None:
            return b""
        return b"".join(self.leaf) + b"".join(bytes([bit]) + node for bit, node in self.siblings)


def parse(data: bytes) -> MapProof:
    """Read a proof; it formats back to the same bytes. Raises MalformedProofError."""
    if not data:
        return MapProof(None)
    steps, rest = divmod(len(data) - RECORD, _STEP)
    if rest or not 0 <= steps <= _BITS:
        raise MalformedProofError(f"{len(data)} bytes, want {RECORD} and {_STEP} for each step")
    cuts = range(RECORD, len(data), _STEP)
    siblings = tuple((data[at], data[at + 1 : at + _STEP]) for at in cuts)
    return MapProof((data[:HASH_SIZE], data[HASH_SIZE:RECORD]), siblings)


def verify_presence(label: Label, value: Value, root: Hash, proof: MapProof) -> None:
    """Return if the map with that root has this value for the label, else raise ProofError."""
    _require(proof.leaf == (label, value), "the proof is for another label or value")
    _require_path(label, root, proof)


def verify_absence(label: Label, root: Hash, proof: MapProof) -> None:
    """Return if the map with that root has no value for the label, else raise ProofError."""
    if proof.leaf is None:
        _require(not proof.siblings and root == EMPTY_ROOT, "the map is not empty")
        return
    _require(proof.leaf[0] != label, "the label is there")
    _require_path(label, root, proof)


def _require_path(label: Label, root: Hash, proof: MapProof) -> None:
    """The search for `label` from that root ends at the proof's leaf."""
    _require(proof.leaf is not None and len(label) == HASH_SIZE, "no leaf, or no label")
    there, value = proof.leaf or (b"", b"")
    _require(len(there) == len(value) == HASH_SIZE, f"label and value have {HASH_SIZE} bytes")
    node, below = sha256(there + value).digest(), _BITS
    for bit, sibling in proof.siblings:
        _require(0 <= bit < below and len(sibling) == HASH_SIZE, "bits fall on the way up")
        side = _bit(label, bit)
        _require(side == _bit(there, bit), "the search does not lead to this leaf")
        node, below = _inner(sibling, node, bit) if side else _inner(node, sibling, bit), bit
    _require(node == root, "the leaf is not under this root")


@dataclass(frozen=True, slots=True)
class MapChange:
    """What an update makes of the map: to be stored with what caused it, then applied."""

    root: Hash
    buckets: Mapping[int, bytes]  # number -> records
    nodes: tuple[Mapping[int, Hash], ...]  # of each level above the buckets, by number


class StateMap:
    """The map in memory and its buckets in a store. Not safe to change from several threads."""

    def __init__(self, roots: Mapping[int, Hash], read: BucketReader) -> None:
        """`roots`: of the buckets that are not empty (see `bucket_root`)."""
        self._read = read
        self._levels: list[list[Hash | None]] = [[None] * (1 << i) for i in range(PREFIX + 1)]
        self.apply(self._climb(roots, {}))

    @property
    def root(self) -> Hash:
        return self._levels[0][0] or EMPTY_ROOT

    def change(self, values: Mapping[Label, Value]) -> MapChange:
        """What the map becomes with these values; nothing is changed yet."""
        labels = sorted(values)  # in order, so that memory and store are gone through once
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
        """Make a change; call it once the change is stored."""
        for level, nodes in zip(self._levels, change.nodes, strict=True):
            for number, node in nodes.items():
                level[number] = node

    def prove(self, label: Label) -> MapProof:
        """The presence of the label with its value, or its absence."""
        if self._levels[0][0] is None:
            return MapProof(None)
        siblings = list(self._descend(label))
        number = self._end(label)
        records = _split(self._read([number])[number])
        leaf, inside = _search(records, label)
        return MapProof(leaf, tuple(reversed(siblings + inside)))

    def value(self, label: Label) -> Value | None:
        """The value of the label, if it has one."""
        return self.values([label]).get(label)

    def values(self, labels: Collection[Label]) -> dict[Label, Value]:
        """The values of those of the labels that have one."""
        wanted = {n for n in map(_bucket, labels) if self._levels[PREFIX][n] is not None}
        known = {n: _split(data) for n, data in self._read(wanted).items()}
        found: dict[Label, Value] = {}
        for label in labels:
            records = known.get(_bucket(label), [])
            place = bisect_left(records, label)
            if place < len(records) and records[place].startswith(label):
                found[label] = records[place][HASH_SIZE:]
        return found

    def _climb(self, roots: Mapping[int, Hash], buckets: Mapping[int, bytes]) -> MapChange:
        """The nodes above changed buckets, level by level."""
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
                number ^= 1  # there is no inner node here: the search goes on at the only child
            yield level, number


def bucket_root(data: bytes) -> Hash:
    """The root over a bucket's records, which are not none.

    Neighbours in the order of labels are joined as soon as the next one differs at a higher bit.
    """
    if len(data) == RECORD:
        return sha256(data).digest()  # the usual one, up to a million labels
    node, last = sha256(data[:RECORD]).digest(), _number(data)
    waiting: list[tuple[Hash, int]] = []  # left siblings, and the bit at which they are left
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


def _parents(below: Mapping[int, Hash], known: Sequence[Hash | None], bit: int) -> dict[int, Hash]:
    """The nodes over changed ones: over two, their hash; over an only child, that child."""
    parents: dict[int, Hash] = {}
    last, changed = bytes((bit,)), below.get
    for number, node in below.items():
        sibling = changed(number ^ 1)
        if sibling is None:
            sibling = known[number ^ 1]
        elif number & 1:
            continue  # the left one makes the parent of both
        if sibling is None:
            parents[number >> 1] = node
        elif number & 1:
            parents[number >> 1] = sha256(sibling + node + last).digest()
        else:
            parents[number >> 1] = sha256(node + sibling + last).digest()
    return parents


def _search(
    records: list[bytes], label: Label
) -> tuple[tuple[Label, Value], list[tuple[int, Hash]]]:
    """Where the search for the label ends in a bucket, and the siblings on the way down."""
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
    """The records of a bucket with one value put in."""
    if len(label) != HASH_SIZE or len(value) != HASH_SIZE:
        raise ProofError(f"label and value have {HASH_SIZE} bytes")
    if not data or (len(data) == RECORD and data.startswith(label)):
        return label + value  # the usual one, up to a million labels
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

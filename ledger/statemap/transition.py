"""Transitions of the map: which labels an entry of the state log changed, and to which version.

    value   SHA-256("sovereign/state/v2" ‖ 00 ‖ version (8) ‖ digest)
    digest  SHA-256("sovereign/state/v1" ‖ 00 ‖ salt (32) ‖ state)

`version` is the number of instructions that led to the state. So whoever has a transition, the
label, the version and the digest, computes the new value and sees that versions only grow, and
learns nothing of the state. Values from before there were transitions are the digest itself.

A record, one for each entry of the state log that changed the map:

    01 ‖ (label (32) ‖ version (8) ‖ digest (32)) …     the changed labels, ascending
    00 ‖ (label (32) ‖ value (32)) …                    the whole map, before the first transition

Specification: specs/statemap.md, "Transitions".
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from itertools import pairwise
from typing import BinaryIO

from ledger.statemap.verifiable_map import RECORD, Label, Value
from ledger.tlog.merkle import HASH_SIZE

BASE, CHANGES = b"\x00", b"\x01"
HEADER = b"sovereign/transitions/v1\n"
MAX_VERSION = 1 << 53
MAX_RECORD = 1 << 30  # bytes; a base of ten million customers has 640 MB
_NUMBER = 8  # bytes
_CHANGE = HASH_SIZE + _NUMBER + HASH_SIZE
_DOMAIN = b"sovereign/state/v2\x00"


class MalformedTransitionError(ValueError):
    """The bytes are not a record of transitions, or not a file of them."""


@dataclass(frozen=True, slots=True)
class StateVersion:
    """A customer's state in the map: its number of instructions, and the digest of the state."""

    version: int
    digest: bytes

    @property
    def value(self) -> Value:
        return sha256(_DOMAIN + self.version.to_bytes(_NUMBER) + self.digest).digest()


@dataclass(frozen=True, slots=True)
class Transition:
    """A parsed record: the changed labels, or the whole map before the first change (`base`)."""

    changes: Mapping[Label, StateVersion]
    base: Mapping[Label, Value] | None = None


def record(changes: Mapping[Label, StateVersion]) -> bytes:
    """The record of these changes."""
    parts = [
        label + each.version.to_bytes(_NUMBER) + each.digest
        for label, each in sorted(changes.items())
    ]
    return CHANGES + b"".join(parts)


def base_record(buckets: Iterable[bytes]) -> bytes:
    """The record of a map as it is. `buckets`: their records, in the order of their numbers."""
    return BASE + b"".join(buckets)


def parse(data: bytes) -> Transition:
    """Parse a record; it formats back to the same bytes. Raises MalformedTransitionError."""
    kind, size = data[:1], RECORD if data[:1] == BASE else _CHANGE
    if kind not in (BASE, CHANGES) or (len(data) - 1) % size:
        raise MalformedTransitionError(
            f"a record of {len(data)} bytes that begins with {kind.hex() or 'nothing'}, want 00 or "
            f"01 and {size} bytes for each label"
        )
    parts = [data[at : at + size] for at in range(1, len(data), size)]
    labels = [part[:HASH_SIZE] for part in parts]
    if any(a >= b for a, b in pairwise(labels)):
        raise MalformedTransitionError("the labels do not ascend")
    if kind == BASE:
        return Transition({}, {part[:HASH_SIZE]: part[HASH_SIZE:] for part in parts})
    return Transition({part[:HASH_SIZE]: _version(part[HASH_SIZE:]) for part in parts})


def write(file: BinaryIO, records: Iterable[tuple[int, bytes]]) -> int:
    """Write records, each with the number of its entry, to a file for auditors; returns how many.

    The file is the header, then number (8), length (8) and bytes of each record.
    """
    file.write(HEADER)
    written = 0
    for index, data in records:
        file.write(index.to_bytes(_NUMBER) + len(data).to_bytes(_NUMBER) + data)
        written += 1
    return written


def read(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """The records of such a file, one at a time. Raises MalformedTransitionError."""
    if file.read(len(HEADER)) != HEADER:
        raise MalformedTransitionError("not a file of transitions")
    last = -1
    while head := file.read(2 * _NUMBER):
        index, length = int.from_bytes(head[:_NUMBER]), int.from_bytes(head[_NUMBER:])
        if len(head) < 2 * _NUMBER or index <= last or length > MAX_RECORD:
            raise MalformedTransitionError(f"cut off or out of order after entry {last}")
        data = file.read(length)
        if len(data) < length:
            raise MalformedTransitionError(f"cut off within the record of entry {index}")
        yield index, data
        last = index


def _version(part: bytes) -> StateVersion:
    number = int.from_bytes(part[:_NUMBER])
    if not 0 < number < MAX_VERSION:
        raise MalformedTransitionError(f"version {number}, want 1 to 2^53")
    return StateVersion(number, part[_NUMBER:])

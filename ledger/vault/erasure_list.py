"""The list of erasures, which keeps a restored backup of the keys from undoing them.

    home/erased    key 5b0c…                 SHA-256 of a data key that was destroyed
                   entry 77aa… 3 9 01fe…     SHA-256 of an events half; the event, the newest
                                             event at that time, the label
    home/tombstones                          who was erased, for imports: ledger.vault.tombstones

A line identifies nobody: the hash is of 32 random bytes. The file is outside `keys/`, so that
restoring `keys/` does not restore it. A line is appended before the key is destroyed; when the
vault opens, every key in the key store that is listed here is destroyed again. A customer who comes
back after an erasure gets a new key, which is not listed.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from ledger.vault import commitments
from ledger.vault.durable_lines import DurableLines

NAME = "erased"
_DOMAIN = b"sovereign/erased/v1\0"
_LINE = re.compile(
    r"key [0-9a-f]{64}|entry [0-9a-f]{64} (0|[1-9]\d{0,9}) (0|[1-9]\d{0,9}) ([0-9a-f]{2})*"
)


class MalformedErasureListError(ValueError):
    """A line is not one of an erasure list, so an erasure could be undone. Restore the list."""


@dataclass(frozen=True, slots=True)
class ErasureRecord:
    """An erased event of a customer."""

    seq: int
    newest: int
    label: bytes


class ErasureList:
    """The erasure list of one data directory. The caller holds the vault's lock.

    What `add_…` appends is durable on return. Every method raises MalformedErasureListError if a
    line of the list is malformed.
    """

    def __init__(self, path: Path) -> None:
        self._file = DurableLines(path)

    def __len__(self) -> int:
        return len(self._lines())

    def add_key(self, data_key: bytes) -> None:
        self._append(f"key {_digest(data_key[: commitments.HALF])}")

    def add_entry(self, data_key: bytes, erased: ErasureRecord) -> None:
        half = _digest(commitments.events_half(data_key))
        self._append(f"entry {half} {erased.seq} {erased.newest} {erased.label.hex()}")

    def destroyed(self) -> int:
        """How many data keys are listed: one for each customer who was erased."""
        return sum(line.startswith("key ") for line in self._lines())

    def since(self, applied: int) -> "ErasureReplay":
        """The erasures to repeat in a key store that has applied the first `applied` lines."""
        lines = self._lines()[applied:]
        keys = frozenset(line.split()[1] for line in lines if line.startswith("key "))
        entries = dict(_entries(lines))
        return ErasureReplay(keys, entries)

    def _lines(self) -> list[str]:
        lines = self._file.lines()
        for number, line in enumerate(lines, 1):
            if not _LINE.fullmatch(line):
                raise MalformedErasureListError(
                    f"{self._file.path}, line {number}: want `key` or `entry` and their hashes, "
                    f"found {len(line)} other characters; restore the newest copy of the list"
                )
        return lines

    def _append(self, line: str) -> None:
        self._lines()
        self._file.append(line)


@dataclass(frozen=True, slots=True)
class ErasureReplay:
    keys: frozenset[str]
    entries: dict[str, ErasureRecord]

    def __bool__(self) -> bool:
        return bool(self.keys or self.entries)

    def remaining(self, data_key: bytes) -> bytes | None:
        """The data key after the erasures: None if it is destroyed, punctured, or unchanged."""
        if _digest(data_key[: commitments.HALF]) in self.keys:
            return None
        while record := self.entries.get(_digest(commitments.events_half(data_key))):
            data_key = commitments.punctured(data_key, record.seq, record.newest, record.label)
        return data_key


def _entries(lines: list[str]) -> Iterator[tuple[str, ErasureRecord]]:
    for line in lines:
        kind, half, *rest = line.split(" ")
        if kind == "entry":
            seq, newest, label = rest
            yield half, ErasureRecord(int(seq), int(newest), bytes.fromhex(label))


def _digest(secret: bytes) -> str:
    return sha256(_DOMAIN + secret).hexdigest()

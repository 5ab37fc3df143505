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

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path

from ledger.tlog import atomic_file
from ledger.vault import commitments, tombstones
from ledger.vault.tombstones import Tombstones

NAME = "erased"
_DOMAIN = b"sovereign/erased/v1\0"


@dataclass(frozen=True, slots=True)
class ErasureRecord:
    """An erased event of a customer."""

    seq: int
    newest: int
    label: bytes


class ErasureList:
    """The erasure list of one data directory, or its tombstones. The caller holds the vault's lock.

    What `add_…` appends is durable on return.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def __len__(self) -> int:
        return len(self._lines())

    def add_key(self, data_key: bytes) -> None:
        self._append(f"key {_digest(data_key[: commitments.HALF])}")

    def add_entry(self, data_key: bytes, erased: ErasureRecord) -> None:
        half = _digest(commitments.events_half(data_key))
        self._append(f"entry {half} {erased.seq} {erased.newest} {erased.label.hex()}")

    def add_tombstone(self, keys: Sequence[bytes], subject: str, at: datetime) -> None:
        self._append(tombstones.line(keys, subject, at))

    def tombstones(self, keys: Sequence[bytes]) -> Tombstones:
        """Raises TombstoneError if the key of one is missing."""
        return Tombstones(keys, self._lines())

    def since(self, applied: int) -> "ErasureReplay":
        """The erasures to repeat in a key store that has applied the first `applied` lines."""
        lines = self._lines()[applied:]
        keys = frozenset(line.split()[1] for line in lines if line.startswith("key "))
        entries = dict(_entries(lines))
        return ErasureReplay(keys, entries)

    def _lines(self) -> list[str]:
        if not self._path.exists():
            return []
        # A last line without newline was cut off by a crash, before its key was destroyed: skip it.
        return self._path.read_text("ascii").rpartition("\n")[0].splitlines()

    def _append(self, line: str) -> None:
        whole = "".join(f"{each}\n" for each in self._lines())
        if not self._path.exists():
            atomic_file.write(self._path, b"", atomic_file.OWNER_ONLY)
        with self._path.open("r+b") as file:
            file.truncate(len(whole))
            file.seek(len(whole))
            file.write(f"{line}\n".encode())
            file.flush()
            os.fsync(file.fileno())


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

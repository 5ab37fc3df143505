"""What was erased, so that a backup of the keys from before cannot bring it back.

    home/erased    key 5b0c…                 SHA-256 of a data key that was destroyed
                   entry 77aa… 3 9 01fe…     of an events half; which event, the newest, the label

A line names nobody: the hash is of 32 random bytes. It lies outside `keys/`, so that restoring that
does not take it back, and is appended to before a key goes: whatever is in the key store and in
here is destroyed again when the vault opens. Who comes back has another key, which is not here.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from ledger.tlog import atomic_file
from ledger.vault import commitments

NAME = "erased"
_DOMAIN = b"sovereign/erased/v1\0"


@dataclass(frozen=True, slots=True)
class ErasureRecord:
    """One event of the customer whose events half it was."""

    seq: int
    newest: int
    label: bytes


class ErasureList:
    """The list under one home. Appending is durable on return; the vault's lock is held."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __len__(self) -> int:
        return len(self._lines())

    def key(self, data_key: bytes) -> None:
        self._append(f"key {_digest(data_key[: commitments.HALF])}")

    def entry(self, data_key: bytes, erased: ErasureRecord) -> None:
        half = _digest(commitments.events_half(data_key))
        self._append(f"entry {half} {erased.seq} {erased.newest} {erased.label.hex()}")

    def since(self, applied: int) -> "ErasureReplay":
        """What a key store that knows the first `applied` lines has yet to destroy."""
        lines = self._lines()[applied:]
        keys = frozenset(line.split()[1] for line in lines if line.startswith("key "))
        entries = dict(_entries(lines))
        return ErasureReplay(keys, entries)

    def _lines(self) -> list[str]:
        if not self._path.exists():
            return []
        # A line that was cut off by a crash is none: its key was not destroyed either.
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

    def left(self, data_key: bytes) -> bytes | None:
        """What is left of a data key: nothing, the key without an entry, or all of it."""
        if _digest(data_key[: commitments.HALF]) in self.keys:
            return None
        while found := self.entries.get(_digest(commitments.events_half(data_key))):
            data_key = commitments.without(data_key, found.seq, found.newest, found.label)
        return data_key


def _entries(lines: list[str]) -> Iterator[tuple[str, ErasureRecord]]:
    for line in lines:
        kind, half, *rest = line.split(" ")
        if kind == "entry":
            seq, newest, label = rest
            yield half, ErasureRecord(int(seq), int(newest), bytes.fromhex(label))


def _digest(secret: bytes) -> str:
    return sha256(_DOMAIN + secret).hexdigest()

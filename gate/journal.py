"""The read log: every answer leaves a Merkle leaf before it leaves.

One log per gate instance, announced in the consent log when it opens. A leaf is canonical JSON:

    {"action":"read","at":"2026-01-01T12:00:00Z","cohort":null,"consent":{"root":"…","size":7},
     "determined_by":3,"fields":["age"],"plan":"9f…","reason":"granted","release":null,"rows":1,
     "scene":"segmentation","service":"analytics","subject":"4be1…","views":{"age":"personal"}}

`subject` is a tag under the customer's own key, different in every leaf: the log itself links no
two reads of one customer. Values are never written. A table read names its cohort by the digest
of a bitmap over the rows of the consent state, stored beside the log.
"""

import json
import os
import secrets
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from itertools import groupby
from pathlib import Path
from threading import Lock
from typing import Any, Protocol

import msgspec
import numpy as np
from sqlalchemy.exc import SQLAlchemyError

from gate.cohort import Cohort
from gate.decide import Reason, View
from ledger import checkpoint, note, tile
from ledger.log import Log
from ledger.stores import ForkError
from ledger.stores.sql import SqlStore

LOG, INDEX, COHORTS = "log.sqlite", "subjects.sqlite", "cohorts"  # in an instance's folder


class JournalError(Exception):
    """The read log could not be written, so no answer may leave. See the cause; then ask again."""


class ConsentPoint(msgspec.Struct, frozen=True):
    """The state of the consent log a decision rests on."""

    size: int
    root: str  # base64


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """One answer, as it is journalled: what was asked, what was answered, and why."""

    action: str  # "evaluate", "read", "table" or "search"
    at: datetime  # whole seconds
    service: str
    scene: str
    subject: str | None = None  # hex tag; None for a cohort
    cohort: str | None = None  # hex digest of the stored bitmap
    rows: int = 0
    fields: tuple[str, ...]
    views: Mapping[str, View]
    reason: Reason
    determined_by: int | None = None
    plan: str
    release: str | None = None
    consent: ConsentPoint

    def encode(self) -> bytes:
        return _ENCODER.encode(self)


_ENCODER = msgspec.json.Encoder(order="sorted")
Asked = tuple[Reading, str | None]  # a reading, and the customer it is of (None: a cohort)


class Tagger(Protocol):
    """Names a customer in a read log so that only the holder of the customer's key can tell."""

    def reading_tag(self, subject: str, log_origin: str, index: int) -> bytes: ...


class Journal:
    """Writes the read log of one gate instance, under `home`. Thread-safe.

    `record` returns when its entries are fully persisted; whoever waits meanwhile is committed
    together. The index of a customer's reads is private, keyed by a pseudonym under the customer's
    key, and written before the entries: after a crash it may name one that was never written,
    never miss one that was.
    """

    def __init__(self, log: Log, tagger: Tagger, home: Path) -> None:
        self.log = log
        self._tagger = tagger
        self._home = home
        (home / COHORTS).mkdir(parents=True, exist_ok=True)
        self._waiting: list[_Waiting] = []
        self._queue, self._commit = Lock(), Lock()
        self._index = sqlite3.connect(home / INDEX, check_same_thread=False)
        self._index.executescript(
            "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
            "CREATE TABLE IF NOT EXISTS reading (pseudonym BLOB, entry INTEGER);"
            "CREATE INDEX IF NOT EXISTS by_pseudonym ON reading (pseudonym, entry);"
        )

    def record(self, reading: Reading, subject: str | None = None) -> int:
        """Persist one reading of `subject` (None: of a cohort); its index in the read log."""
        return self.record_all([(reading, subject)])[0]

    def record_all(self, asked: Sequence[Asked]) -> range:
        """Persist readings in this order; their indexes. Raises JournalError: none was answered."""
        mine = _Waiting(asked)
        with self._queue:
            self._waiting.append(mine)
        with self._commit:  # whoever gets here first commits for everybody who waits
            if mine.indexes is None:
                self._write()
        if mine.indexes is None:
            raise JournalError("the read log was not written; nothing may be answered")
        return mine.indexes

    def store(self, cohort: Cohort) -> str:
        """Keep a cohort's bitmap; its digest. Durable when it returns."""
        bitmap = np.packbits(cohort).tobytes()
        digest = sha256(bitmap).hexdigest()
        path = self._home / COHORTS / digest
        if not path.exists():
            unfinished = path.with_suffix(".tmp")
            with unfinished.open("wb") as file:
                file.write(bitmap)
                file.flush()
                os.fsync(file.fileno())
            unfinished.rename(path)  # a crash before this leaves a .tmp that nobody reads
        return digest

    def of(self, subject: str) -> Iterator[tuple[int, dict[str, Any]]]:
        """Every point read of one customer in this log, newest first: (index, entry)."""
        return readings(self._home, self._tagger, subject)

    def _write(self) -> None:
        with self._queue:
            together, self._waiting = self._waiting, []
        first = self.log.size
        asked = [each for waiting in together for each in waiting.asked]
        entries, rows = self._tagged(asked, first)
        try:
            with self._index:
                self._index.executemany("INSERT INTO reading VALUES (?, ?)", rows)
            # Crash here: the index names entries that are not there; `readings` checks their tags.
            written = self.log.append(entries)
        except (OSError, sqlite3.Error, SQLAlchemyError, ForkError) as error:
            raise JournalError("the read log cannot be written; see to its disk") from error
        if written.start != first:
            raise JournalError("the read log has a second writer; give each gate one of its own")
        for waiting in together:
            waiting.indexes = range(first, first + len(waiting.asked))
            first += len(waiting.asked)

    def _tagged(
        self, asked: Sequence[Asked], first: int
    ) -> tuple[list[bytes], list[tuple[bytes, int]]]:
        """The entries, each naming its customer by a tag of its own, and the private index."""
        entries, rows = [], []
        for index, (reading, subject) in enumerate(asked, first):
            if subject is not None:
                name = tag(self._tagger, subject, self.log.origin, index)
                rows.append((pseudonym(self._tagger, subject, self.log.origin), index))
                reading = msgspec.structs.replace(reading, subject=name)  # noqa: PLW2901 - named once
            entries.append(reading.encode())
        return entries, rows


class _Waiting:
    """Readings in a commit that is under way; `indexes` once they are durable."""

    __slots__ = ("asked", "indexes")

    def __init__(self, asked: Sequence[Asked]) -> None:
        self.asked = asked
        self.indexes: range | None = None


def readings(home: Path, tagger: Tagger, subject: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Every point read of one customer in the read log under `home`, newest first."""
    store = SqlStore(home / LOG)
    index = sqlite3.connect(home / INDEX)
    try:
        if (head := store.head()) is None:
            return
        at = checkpoint.parse(note.parse(head.note).text)
        found = index.execute(
            "SELECT entry FROM reading WHERE pseudonym = ? AND entry < ? ORDER BY entry DESC",
            [pseudonym(tagger, subject, at.origin), at.size],
        )
        places = (place for (place,) in found)
        for bundle, together in groupby(places, key=lambda place: place // tile.WIDTH):
            entries = tile.unbundle(store.bundle(bundle) or b"")
            for place in together:
                entry = json.loads(entries[place % tile.WIDTH])
                if entry["subject"] == tag(tagger, subject, at.origin, place):
                    yield place, entry
    finally:
        index.close()
        store.close()


def tag(tagger: Tagger, subject: str, origin: str, index: int) -> str:
    return tagger.reading_tag(subject, origin, index).hex()


def pseudonym(tagger: Tagger, subject: str, origin: str) -> bytes:
    return tagger.reading_tag(subject, f"{origin}#index", 0)


def instance_name() -> str:
    """A fresh name for a gate instance: no two instances ever write one read log."""
    return secrets.token_hex(4)

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
import secrets
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from threading import Lock
from typing import Protocol

import numpy as np

from gate.cohort import Cohort
from gate.decide import Reason, View
from ledger.log import Log

TAG_SIZE = 24


@dataclass(frozen=True, slots=True)
class ConsentPoint:
    """The state of the consent log a decision rests on."""

    size: int
    root: str  # base64


@dataclass(frozen=True, slots=True)
class Reading:
    """One answer, as it is journalled: what was asked, what was answered, and why."""

    action: str  # "evaluate", "read" or "table"
    at: datetime
    service: str
    scene: str
    subject: str | None  # hex tag; None for a cohort
    cohort: str | None  # hex digest of the stored bitmap
    rows: int
    fields: tuple[str, ...]
    views: Mapping[str, View]
    reason: Reason
    determined_by: int | None
    plan: str
    release: str | None
    consent: ConsentPoint

    def encode(self) -> bytes:
        entry = asdict(self) | {"at": self.at.strftime("%Y-%m-%dT%H:%M:%SZ")}
        return json.dumps(entry, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


class Tagger(Protocol):
    """Names a customer in a read log so that only the holder of the customer's key can tell."""

    def reading_tag(self, subject: str, log_origin: str, index: int) -> bytes: ...


class Journal:
    """Writes the read log. `record` returns when the entry is fully persisted; thread-safe.

    The index of a customer's reads is private, keyed by a pseudonym under the customer's key, and
    written before the entry: after a crash it may name an entry that was never written, never
    miss one that was.
    """

    def __init__(self, log: Log, tagger: Tagger, home: Path) -> None:
        self.log = log
        self._tagger = tagger
        self._cohorts = home / "cohorts"
        self._cohorts.mkdir(parents=True, exist_ok=True)
        self._lock = Lock()
        self._index = sqlite3.connect(home / "subjects.sqlite", check_same_thread=False)
        self._index.executescript(
            "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
            "CREATE TABLE IF NOT EXISTS reading (pseudonym BLOB, entry INTEGER);"
            "CREATE INDEX IF NOT EXISTS by_pseudonym ON reading (pseudonym, entry);"
        )

    def record(self, reading: Reading, subject: str | None = None) -> int:
        """Persist one reading of `subject` (None: of a cohort); its index in the read log."""
        with self._lock:
            expected = self.log.size
            if subject is not None:
                reading = self._tagged(reading, subject, expected)
            (index,) = self.log.append([reading.encode()])
        if index != expected:
            raise AssertionError(f"the read log has a second writer: {index}, want {expected}")
        return index

    def store(self, cohort: Cohort) -> str:
        """Keep a cohort's bitmap; its digest. Durable when it returns."""
        bitmap = np.packbits(cohort).tobytes()
        digest = sha256(bitmap).hexdigest()
        path = self._cohorts / digest
        if not path.exists():
            written = path.with_suffix(".tmp")
            written.write_bytes(bitmap)
            written.rename(path)  # a crash before this leaves a .tmp that nobody reads
        return digest

    def of(self, subject: str) -> Iterator[tuple[int, dict[str, object]]]:
        """Every point read of one customer, newest first: (index, entry)."""
        rows = self._index.execute(
            "SELECT entry FROM reading WHERE pseudonym = ? ORDER BY entry DESC",
            [self._pseudonym(subject)],
        ).fetchall()
        size = self.log.size
        for (index,) in rows:
            if index < size:
                (entry,) = self.log.entries(index, index + 1)
                found = json.loads(entry)
                if found["subject"] == self._tag(subject, index):
                    yield index, found

    def _tagged(self, reading: Reading, subject: str, index: int) -> Reading:
        with self._index:
            self._index.execute(
                "INSERT INTO reading VALUES (?, ?)", [self._pseudonym(subject), index]
            )
        values = {name: getattr(reading, name) for name in Reading.__slots__}
        return Reading(**values | {"subject": self._tag(subject, index)})

    def _tag(self, subject: str, index: int) -> str:
        return self._tagger.reading_tag(subject, self.log.origin, index).hex()

    def _pseudonym(self, subject: str) -> bytes:
        return self._tagger.reading_tag(subject, f"{self.log.origin}#index", 0)


def instance_name() -> str:
    """A fresh name for a gate instance: no two instances ever write one read log."""
    return secrets.token_hex(4)

"""The case store: the position in the consent log, cases, and the outbox, in one database.

    home/steward.sqlite    cursor, cases with their changes and acts, the outbox; owner only

It is one database, so that the cursor, a case and its notice are written together or not at all. It
contains masked names, log indexes and tags derived from customers' keys, never a customer's id, so
an erasure need not search it for ids.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from threading import RLock
from weakref import finalize

from ledger.tlog import atomic_file

DATABASE = "steward.sqlite"
VERSION = 1  # of the schema
WAIT_S = 10.0  # for the lock of another process

SCHEMA = """
CREATE TABLE IF NOT EXISTS cursor (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    size INTEGER NOT NULL,      -- entries of the consent log that were followed
    minute INTEGER NOT NULL     -- to which time was followed
);
INSERT OR IGNORE INTO cursor VALUES (1, 0, 0);
CREATE TABLE IF NOT EXISTS cases (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    scene TEXT NOT NULL, kind TEXT NOT NULL,
    count INTEGER NOT NULL,     -- customers
    told INTEGER NOT NULL,      -- the count that the last notice gave
    live INTEGER NOT NULL,      -- customers with a live grant when it began
    fields TEXT NOT NULL,       -- JSON: items lost; []: the whole scene
    fallback TEXT NOT NULL, loss TEXT,
    opened TEXT NOT NULL, gathers_until TEXT NOT NULL, due TEXT NOT NULL,
    status TEXT NOT NULL, responsible TEXT NOT NULL, escalated TEXT
);
CREATE INDEX IF NOT EXISTS case_of_scene ON cases (scene, kind, id);
CREATE TABLE IF NOT EXISTS change (
    number INTEGER NOT NULL REFERENCES cases (id),
    scene TEXT NOT NULL, kind TEXT NOT NULL,
    entry INTEGER,              -- of the consent log
    minute INTEGER NOT NULL, count INTEGER NOT NULL,
    masked TEXT NOT NULL        -- JSON: whose, as far as a notice names them
);
CREATE INDEX IF NOT EXISTS change_of_case ON change (number);
CREATE UNIQUE INDEX IF NOT EXISTS change_once ON change (scene, kind, ifnull(entry, -1), minute);
CREATE TABLE IF NOT EXISTS concerned (
    number INTEGER NOT NULL REFERENCES cases (id),
    tag BLOB NOT NULL,          -- a customer, in this case alone, as long as their key exists
    PRIMARY KEY (number, tag)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS act (
    number INTEGER NOT NULL REFERENCES cases (id),
    act TEXT NOT NULL, by TEXT NOT NULL, at TEXT NOT NULL, note TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS act_of_case ON act (number);
CREATE TRIGGER IF NOT EXISTS acts_stay BEFORE UPDATE ON act
    BEGIN SELECT RAISE(ABORT, 'acts are only added'); END;
CREATE TRIGGER IF NOT EXISTS acts_are_kept BEFORE DELETE ON act
    BEGIN SELECT RAISE(ABORT, 'acts are only added'); END;
CREATE TABLE IF NOT EXISTS outbox (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,    -- the same at every attempt: receivers drop duplicates by it
    number INTEGER NOT NULL REFERENCES cases (id),
    type TEXT NOT NULL, channel TEXT NOT NULL,
    body BLOB NOT NULL,         -- the CloudEvent, the same bytes at every attempt
    state TEXT NOT NULL,        -- waiting, delivered or dead
    attempts INTEGER NOT NULL, next_at TEXT NOT NULL, error TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS outbox_waiting ON outbox (seq) WHERE state <> 'delivered';
CREATE INDEX IF NOT EXISTS outbox_order ON outbox (number, channel, seq) WHERE state <> 'delivered';
"""


class CaseStoreError(Exception):
    """The case store cannot be used. The message says what to do."""


class CaseStore:
    """The database of cases and notices. Thread-safe; several processes may share it.

    A `writing` block is one transaction: durable after it, rolled back by an exception or a crash.
    Raises CaseStoreError if a newer program wrote the database.
    """

    def __init__(self, home: Path) -> None:
        home.mkdir(parents=True, exist_ok=True)
        path = home / DATABASE
        path.touch(mode=atomic_file.OWNER_ONLY)
        self._lock = RLock()
        self._database = sqlite3.connect(
            path, timeout=WAIT_S, isolation_level=None, check_same_thread=False
        )
        finalize(self, self._database.close)
        self._database.row_factory = sqlite3.Row
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
            "secure_delete=ON",
        ):
            self._database.execute(f"PRAGMA {pragma}")
        (version,) = self._database.execute("PRAGMA user_version").fetchone()
        if version not in {0, VERSION}:
            raise CaseStoreError(
                f"{path} has version {version}, want {VERSION}: upgrade this program"
            )
        self._database.executescript(
            f"BEGIN IMMEDIATE; {SCHEMA} PRAGMA user_version = {VERSION}; COMMIT;"
        )

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection with a consistent snapshot."""
        with self._lock:
            self._database.execute("BEGIN")
            try:
                yield self._database
            finally:
                self._database.execute("ROLLBACK")

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction with the write lock."""
        with self._lock:
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield self._database
                self._database.execute("COMMIT")
                # Crash before the line above: nothing is written. After it: everything is.
            finally:
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")

    def close(self) -> None:
        self._database.close()


def stamp(at: datetime) -> str:
    """Whole seconds in UTC, in a text form that sorts by time."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def moment(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)

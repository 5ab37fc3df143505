"""Writes the commits of a read log: entries, tree, head, lists and private index, all or none.

In SQLite the statements run in `begin`, on a raw connection and compiled once, and `commit` waits
for the disk. In PostgreSQL `commit` does everything, so that `begin`, which may run on an event
loop, never waits for a server.
"""

import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple, Protocol

from sqlalchemy import bindparam, update
from sqlalchemy.exc import SQLAlchemyError

from gate.storage import deliveries
from gate.storage.deliveries import DeliveryNote
from gate.storage.membership import Appended, Membership
from gate.storage.read_log import ReadLogDatabase
from gate.storage.statement import PostgresRunner, Put, Query, SqliteRunner, StatementRunner
from gate.storage.tables import BUNDLE, HEAD, LISTS, MEMBERS, SETS, TILE
from gate.storage.wal_checkpoint import MAX_PAGES, Folding
from ledger.storage.database import writing
from ledger.storage.interface import ForkError, StorageBatch

STORAGE_ERRORS = (OSError, sqlite3.Error, SQLAlchemyError)  # a commit may raise these
_FIRST = Put(HEAD)
_NEXT = Query(
    update(HEAD)
    .where(HEAD.c.size == bindparam("previous"))  # it has one row
    .values(size=bindparam("new_size"), note=bindparam("new_note"))
)
_BUNDLES, _TILES, _LISTS = Put(BUNDLE, "data"), Put(TILE, "data"), Put(LISTS, "first", "data")
_SETS = Put(SETS, "digest")
List = tuple[int, int, bytes]  # entry, number of its first decision, the list


class Commit(NamedTuple):
    """What one commit writes."""

    batch: StorageBatch
    lists: Sequence[List]
    sets: Sequence[tuple[int, bytes]]  # entry, digest of its set
    owners: Appended
    members: Appended


class JournalWriter(Protocol):
    """One transaction after the other. Not thread-safe."""

    def begin(self, commit: Commit) -> None:
        """Raises ForkError, STORAGE_ERRORS; then nothing was begun."""
        ...

    def commit(self) -> None:
        """Durable on return. Raises ForkError, STORAGE_ERRORS."""
        ...

    def note(self, notes: Sequence[DeliveryNote], /) -> None:
        """Write what became of answers, in a transaction of its own. Raises STORAGE_ERRORS."""
        ...

    def is_stored(self, commit: Commit, /) -> bool:
        """Whether a commit that failed was stored all the same. Raises STORAGE_ERRORS."""
        ...


class _Index:
    """The ends of the two private indexes of a log with `size` entries."""

    def __init__(self, stored: StatementRunner, size: int) -> None:
        self.owners = Membership(stored, size)
        self.members = Membership(stored, what=MEMBERS)


class SqliteWriter:
    def __init__(self, log: ReadLogDatabase, index: _Index) -> None:
        self._connection = log.engine.raw_connection()
        self._raw: sqlite3.Connection = self._connection.driver_connection  # type: ignore[assignment]
        self._connection.detach()  # it lives as long as this writer
        # What the log overwrites is written again with more: there is nothing to clear.
        self._raw.executescript(f"PRAGMA wal_autocheckpoint={MAX_PAGES}; PRAGMA secure_delete=OFF;")
        self._runner, self._index = SqliteRunner(self._raw), index
        self._folding = Folding(log.engine)

    def begin(self, commit: Commit) -> None:
        try:
            self._raw.execute("BEGIN IMMEDIATE")
            _write(self._runner, self._index, commit)
        except BaseException:
            self._roll_back()
            raise

    def commit(self) -> None:
        try:
            self._raw.execute("COMMIT")
        except BaseException:
            self._roll_back()
            raise
        self._folding.committed()

    def note(self, notes: Sequence[DeliveryNote]) -> None:
        try:
            self._raw.execute("BEGIN IMMEDIATE")
            deliveries.store(self._runner, notes)
            self._raw.execute("COMMIT")
        except BaseException:
            self._roll_back()
            raise

    def is_stored(self, _commit: Commit) -> bool:
        """Never: SQLite rolled it back."""
        return False

    def _roll_back(self) -> None:
        with suppress(sqlite3.Error):
            self._raw.rollback()


class PostgresWriter:
    def __init__(self, log: ReadLogDatabase, index: _Index) -> None:
        self._log, self._index = log, index
        self._begun: Commit | None = None

    def begin(self, commit: Commit) -> None:
        self._begun = commit

    def commit(self) -> None:
        begun, self._begun = self._begun, None
        if begun is None:
            raise AssertionError("nothing was begun")
        with writing(self._log.engine) as connection:
            _write(PostgresRunner(connection), self._index, begun)

    def note(self, notes: Sequence[DeliveryNote]) -> None:
        with writing(self._log.engine) as connection:
            deliveries.store(PostgresRunner(connection), notes)

    def is_stored(self, commit: Commit) -> bool:
        """It is, if the connection was lost between the commit and its acknowledgement."""
        with self._log.reader() as reader:
            return reader.head() == commit.batch.head


class JournalStore:
    """The writer of a read log, and the ends of its private indexes."""

    def __init__(self, log: ReadLogDatabase, size: int) -> None:
        """`size`: of the log."""
        with log.reader() as reader:
            index = _Index(reader.runner, size)
        self.owners, self.members = index.owners, index.members
        kind = PostgresWriter if log.is_postgres else SqliteWriter
        self.writer: JournalWriter = kind(log, index)

    def settle(self, commit: Commit) -> None:
        """Tell the indexes that this was committed."""
        self.owners.settle(commit.owners)
        self.members.settle(commit.members)


def _write(runner: StatementRunner, index: _Index, commit: Commit) -> None:
    """Raises ForkError unless the commit was built on the stored size."""
    batch = commit.batch
    if batch.previous:
        moved = runner.run(
            _NEXT, previous=batch.previous, new_size=batch.head.size, new_note=batch.head.note
        )
    else:
        moved = runner.put(_FIRST, [(1, batch.head.size, batch.head.note)])
    if moved != 1:
        raise ForkError("another process writes this read log; give each gate its own")
    runner.put(_BUNDLES, [*batch.bundles.items()])
    runner.put(_TILES, [(level, at, data) for (level, at), data in batch.tiles.items()])
    if commit.lists:
        runner.put(_LISTS, commit.lists)
    if commit.sets:
        runner.put(_SETS, commit.sets)
    index.owners.store(runner, commit.owners)
    index.members.store(runner, commit.members)

"""The database of a read log: opened, read beside its writer, and written by it.

    home/reads/<instance>/log.sqlite     SQLite; in PostgreSQL the schema reads_<instance>
    home/reads/<instance>/cohorts/       bitmaps that entries name, always files

Readers see what is committed, and never wait for the writer.
"""

import shutil
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from hashlib import sha256
from pathlib import Path
from threading import Lock
from typing import Any, Self

from sqlalchemy import bindparam, func, select
from sqlalchemy.engine import Connection
from sqlalchemy.pool import PoolProxiedConnection
from sqlalchemy.schema import DropSchema

from gate.storage import deliveries, membership
from gate.storage.deliveries import BundleNotes
from gate.storage.instance_lock import InstanceLock
from gate.storage.statement import PostgresRunner, Query, SqliteRunner, StatementRunner
from gate.storage.tables import (
    BUNDLE,
    ENTRIES,
    HEAD,
    LISTS,
    LOG,
    MEMBERS,
    READS,
    SETS,
    IndexTables,
)
from ledger.storage import database
from ledger.storage.interface import Head
from ledger.storage.snapshot import SchemaSnapshot
from ledger.storage.sqlite import SqlStore
from ledger.tlog import checkpoint, signed_note
from ledger.tlog.checkpoint import Checkpoint
from ledger.tlog.signed_note import Signing
from ledger.tlog.writer import Log

EVER = 1 << 62  # more entries than any log has
OPEN_FILES = 64  # read logs that `ReadLogDatabases` keeps open in SQLite
OPEN_SCHEMAS = 8  # in PostgreSQL, where each takes connections of the server
_INDEX, _NAMES = BUNDLE.c["index"], ENTRIES.names.c.names
_HEAD = Query(select(HEAD.c.size, HEAD.c.note))
_BUNDLE = Query(select(BUNDLE.c.data).where(bindparam("index") == _INDEX))
_BUNDLES = Query(select(_INDEX, BUNDLE.c.data).order_by(_INDEX))
_NAMED = Query(
    select(_INDEX, BUNDLE.c.data, _NAMES)
    .join_from(BUNDLE, ENTRIES.names, ENTRIES.names.c.bundle == _INDEX, isouter=True)
    .where(bindparam("lo") <= _INDEX, bindparam("hi") > _INDEX)
    .order_by(_INDEX)
)
_LIST = Query(select(LISTS.c.data).where(LISTS.c.entry == bindparam("entry")))
_LISTS = Query(select(LISTS.c.data).order_by(LISTS.c.entry))
_LIST_OF = Query(
    select(LISTS.c.entry, LISTS.c.first).where(
        LISTS.c.first
        == select(func.max(LISTS.c.first)).where(LISTS.c.first <= bindparam("at")).scalar_subquery()
    )
)
_INDEXED = Query(select(func.sum(func.length(ENTRIES.names.c.names))))
_MEMBERS = Query(select(func.max(MEMBERS.names.c.bundle)))
_ANSWERED = Query(
    select(SETS.c.entry, SETS.c.digest)
    .where(SETS.c.entry < bindparam("size"))
    .order_by(SETS.c.entry.desc())
)


def instances(home: Path) -> list[str]:
    """The names of all read logs of a data directory, sorted. Raises DatabaseError."""
    return database.of(home).instances(READS)


class ReadLogDatabase:
    """The database of one read log. Thread-safe."""

    def __init__(self, home: Path, instance: str) -> None:
        """Open it; it is created if there is none. Raises SchemaVersionError, DatabaseError."""
        self.instance = instance
        self.folder = home / "reads" / instance
        self._schema = READS.named(instance)
        self._database = database.of(home)
        self.engine = self._database.engine(self._schema)
        self.store = SqlStore(self.engine)
        self._closed = False
        self._lock: InstanceLock | None = None

    @property
    def is_postgres(self) -> bool:
        return self._database.is_postgres

    def claim(self) -> None:
        """Become the writer until `close`, or until the process ends. Raises BlockingIOError."""
        self._lock = InstanceLock(self.folder)

    def log(self, origin: str, *signers: Signing) -> Log:
        """The log for its writer. Raises CorruptLogError."""
        return Log(self.store, origin, *signers)

    def reader(self) -> "ReadLogReader":
        """A connection for one thread. Close it."""
        if self.is_postgres:
            connection = self.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
            return ReadLogReader(PostgresRunner(connection), partial(self._give_back, connection))
        raw = self.engine.raw_connection()
        runner = SqliteRunner(raw.driver_connection)  # type: ignore[arg-type]
        return ReadLogReader(runner, partial(self._give_back, raw))

    def close(self) -> None:
        """Close its connections: those of readers when they are closed."""
        self._closed = True
        self._database.dispose(self._schema)
        if self._lock is not None:
            self._lock.release()

    def _give_back(self, connection: Connection | PoolProxiedConnection) -> None:
        if self._closed:
            connection.invalidate()
        connection.close()


class ReadLogReader:
    """Reads one read log on one connection. Not thread-safe."""

    def __init__(
        self,
        runner: StatementRunner,
        give_back: Callable[[], None] = lambda: None,
    ) -> None:
        self.runner, self._give_back = runner, give_back

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._give_back()

    def head(self) -> Head | None:
        return next((Head(size, note) for size, note in self.runner.all(_HEAD)), None)

    def checkpoint(self) -> Checkpoint | None:
        """The newest checkpoint; None of an empty log."""
        head = self.head()
        return checkpoint.parse(signed_note.parse(head.note).text) if head else None

    def bundle(self, index: int) -> bytes:
        """One bundle of entries; empty if it is missing."""
        return next((bytes(row[0]) for row in self.runner.all(_BUNDLE, index=index)), b"")

    def bundles(self) -> Iterator[Sequence[Any]]:
        """Number and bytes of every bundle, in order."""
        return self.runner.all(_BUNDLES)

    def notes(self, bundle: int) -> BundleNotes:
        """What became of the answers of a bundle's entries."""
        return deliveries.of_bundle(self.runner, bundle)

    def named_bundles(self, lo: int, hi: int) -> Iterator[tuple[int, bytes, bytes]]:
        """Number, bytes and pseudonyms of the bundles [lo, hi), in order."""
        for number, data, names in self.runner.all(_NAMED, lo=lo, hi=hi):
            yield number, data, names or b""

    def listing(self, entry: int) -> bytes | None:
        """The stored list of a batch entry, or None."""
        return next((bytes(row[0]) for row in self.runner.all(_LIST, entry=entry)), None)

    def listings(self) -> Iterator[tuple[str, bytes]]:
        """SHA-256 in hex, and bytes, of every stored list, in the order of their entries."""
        for (data,) in self.runner.all(_LISTS):
            yield sha256(data).hexdigest(), bytes(data)

    def member(self, number: int) -> tuple[int, int] | None:
        """The entry whose list has decision `number`, and its index there; None: no such list."""
        rows = self.runner.all(_LIST_OF, at=number)
        return next(((entry, number - first) for entry, first in rows), None)

    def answered(self, size: int) -> Iterator[tuple[int, str]]:
        """Each entry below `size` about many customers, newest first, and its set's digest."""
        for entry, digest in self.runner.all(_ANSWERED, size=size):
            yield entry, bytes(digest).hex()

    def has_members(self) -> bool:
        """Whether there is an entry with a list."""
        return next(self.runner.all(_MEMBERS))[0] is not None

    def entries_of(self, pseudonym: bytes, size: int, what: IndexTables = ENTRIES) -> Iterator[int]:
        """See `gate.storage.membership.of`."""
        return membership.of(self.runner, pseudonym, size, what)

    def member_names(self, entry: int, count: int) -> bytes:
        """See `gate.storage.membership.members`."""
        return membership.members(self.runner, entry, count)

    def indexed(self) -> int:
        """How many entries the private index has a pseudonym of. Reads a row for each 256."""
        return int(next(self.runner.all(_INDEXED))[0] or 0) // membership.SIZE

    def unsorted_runs(self, since: int, size: int) -> Iterator[tuple[int, int]]:
        """See `gate.storage.membership.unsorted_runs`."""
        return membership.unsorted_runs(self.runner, since, size)


class ReadLogDatabases:
    """All read logs of a data directory. Thread-safe. The last ones that were read stay open."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._open: OrderedDict[str, ReadLogDatabase] = OrderedDict()
        self._lock = Lock()

    def instances(self) -> list[str]:
        """The names of all read logs, sorted. Raises DatabaseError."""
        return instances(self.home)

    def get(self, instance: str) -> ReadLogDatabase:
        """An existing read log. Raises SchemaVersionError, DatabaseError."""
        with self._lock:
            if (opened := self._open.pop(instance, None)) is None:
                opened = ReadLogDatabase(self.home, instance)
            self._open[instance] = opened
            limit = OPEN_SCHEMAS if opened.is_postgres else OPEN_FILES
            while len(self._open) > limit:
                # Who still reads it goes on: its connection is closed when it is given back.
                self._open.popitem(last=False)[1].close()
            return opened

    def remove(self, instance: str) -> None:
        """Remove a read log with all that its folder has. It may be repeated after a crash."""
        with self._lock:
            if (opened := self._open.pop(instance, None)) is not None:
                opened.close()
        folder, opened_here = self.home / "reads" / instance, database.of(self.home)
        for path in sorted(folder.glob("*"), key=lambda each: each.name == LOG):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        # If we crash here or above, the log is still listed: its database goes last.
        if folder.exists():
            folder.rmdir()
        if opened_here.is_postgres:
            schema = READS.named(instance)
            with database.writing(opened_here.engine(schema)) as connection:
                connection.execute(DropSchema(schema.name, cascade=True, if_exists=True))
            opened_here.dispose(schema)

    def all(self) -> Iterator[ReadLogDatabase]:
        """Every read log, opened in turn. Raises SchemaVersionError, DatabaseError."""
        for each in self.instances():
            yield self.get(each)

    def close(self) -> None:
        with self._lock:
            while self._open:
                self._open.popitem()[1].close()


@contextmanager
def opened(home: Path, instance: str) -> Iterator[ReadLogReader]:
    """A reader of one existing read log, and nothing stays open after it."""
    log = ReadLogDatabase(home, instance)
    try:
        with log.reader() as reader:
            yield reader
    finally:
        log.close()


@contextmanager
def read(taken: SchemaSnapshot) -> Iterator[ReadLogReader]:
    """A reader of the snapshot of a read log."""
    if taken.file is not None:
        yield ReadLogReader(SqliteRunner(taken.file))
        return
    with taken.connected() as connection:
        yield ReadLogReader(PostgresRunner(connection))

"""The tables of a log, and a log store in SQLite."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, Self

from sqlalchemy import Insert as StandardInsert
from sqlalchemy import MetaData, Table, bindparam, insert, literal_column, or_, select, update
from sqlalchemy.dialects.sqlite import Insert, dialect
from sqlalchemy.dialects.sqlite import insert as upsert
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.sql import ClauseElement
from sqlalchemy.sql.functions import count

from ledger.storage import log_rows
from ledger.storage.database import Database, Schema, reading, writing
from ledger.storage.interface import ForkError, Head, StorageBatch
from ledger.storage.writer_lock import WriterLock

_STREAMED = 64  # bundles read at once
_MAX_VALUES = 10_000  # in one statement
STATE_PREFIX = "state_"  # of the names of the state log's tables
_ROWS = log_rows.METADATA.tables
SEALED = _ROWS["sealed"]
IDEMPOTENCY = _ROWS["idempotency"]


class LogTables:
    """The tables of one log, and the statements that insert into them."""

    def __init__(self, prefix: str) -> None:
        self.all = [_named(name, prefix) for name in ("head", "bundle", "tile", "cosigned")]
        self.head, self.bundle, self.tile, self.cosigned = self.all
        self.bucket = _named("bucket", prefix)
        self.transition = _named("transition", prefix)
        of_states = [self.bucket, self.transition]
        self.all += of_states if prefix else [SEALED, IDEMPOTENCY]
        # Compiled once, for SQLite: building a statement costs more than running it.
        self.newest = select(self.head.c.size, self.head.c.note)
        statements: tuple[Insert | StandardInsert, ...] = (
            _upsert(self.bundle, "data"),
            _upsert(self.tile, "data"),
            _upsert(self.bucket, "root", "records"),
            insert(SEALED),
            insert(IDEMPOTENCY),
            insert(self.transition),
        )
        self.statements = [_text(each) for each in statements]
        self.begins, self.moves = map(_text, _head_statements(self.head))


class Reads:
    """The connections that a consent log and its state log read with."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.pinned: Connection | None = None  # whose transaction all reads are in, if there is one

    def connect(self) -> AbstractContextManager[Connection]:
        return self._engine.connect() if self.pinned is None else nullcontext(self.pinned)


class SqlLog:
    """Read access to one log of a database, and its newest cosigned checkpoint."""

    def __init__(
        self,
        engine: Engine,
        prefix: str = "",
        opened: Database | None = None,
        reads: "Reads | None" = None,
    ) -> None:
        """`opened`: the database of the engine, which is closed when nobody holds it any more."""
        self._engine, self._opened = engine, opened
        self._reads = reads or Reads(engine)
        self._lock = WriterLock(opened.home) if opened else None
        self._tables = tables(prefix)

    def head(self) -> Head | None:
        with self._reads.connect() as connection:
            return _head(connection, self._tables)

    def tile(self, level: int, index: int) -> bytes | None:
        table = self._tables.tile
        query = select(table.c.data).where(table.c.level == level, table.c["index"] == index)
        return self._bytes(query)

    def bundle(self, index: int) -> bytes | None:
        table = self._tables.bundle
        return self._bytes(select(table.c.data).where(table.c["index"] == index))

    def bundles(self, lo: int, hi: int) -> Iterator[tuple[int, bytes]]:
        """Number and bytes of the stored bundles [lo, hi), in order."""
        table = self._tables.bundle
        number = table.c["index"]
        query = select(number, table.c.data).where(number >= lo, number < hi).order_by(number)
        with self._reads.connect() as connection:
            for row in connection.execution_options(yield_per=_STREAMED).execute(query):
                yield row[0], row[1]

    def beyond(self, counts: Sequence[int]) -> tuple[int, int]:
        """Number of stored bundles and tiles beyond the first `counts[level]` of each level.

        Bundles are counted like the tiles of level 0.
        """
        bundle, tile = self._tables.bundle, self._tables.tile
        bundles = [bundle.c["index"] >= counts[0]]
        tiles = [
            (tile.c.level == level) & (tile.c["index"] >= count)
            for level, count in enumerate(counts)
        ]
        with self._reads.connect() as connection:
            counts = [
                connection.execute(
                    select(count()).select_from(table).where(or_(*where))
                ).scalar_one()
                for table, where in ((bundle, bundles), (tile, tiles))
            ]
        return counts[0], counts[1]

    def cosigned(self) -> Head | None:
        """The newest stored checkpoint with its cosignatures, if there is one."""
        table = self._tables.cosigned
        with self._reads.connect() as connection:
            row = connection.execute(select(table.c.size, table.c.note)).first()
        return None if row is None else Head(row[0], row[1])

    def store_cosigned(self, newest: Head) -> None:
        """Store a cosigned checkpoint unless a newer one is stored. Durable on return."""
        table = self._tables.cosigned
        row = {"id": 1, "size": newest.size, "note": newest.note}
        older = table.c.size <= newest.size
        with writing(self._engine) as connection:  # as it reads before it writes
            if connection.execute(select(table.c.id)).first() is None:
                connection.execute(insert(table), row)
            else:
                connection.execute(update(table).where(older), row)

    def close(self) -> None:
        self._engine.dispose()

    def _one(self, query: Any) -> Any:
        with self._reads.connect() as connection:
            return connection.execute(query).scalar()

    def _bytes(self, query: Any) -> bytes | None:
        value: bytes | None = self._one(query)
        return value


class StateStore(SqlLog):
    """The state log in the database of a consent log, and the buckets of its map."""

    def commit(self, _batch: StorageBatch) -> None:
        raise AssertionError("the state log is only written in transactions of the consent log")

    def roots(self) -> Mapping[int, bytes]:
        """The root of every bucket that is not empty."""
        table = self._tables.bucket
        with self._reads.connect() as connection:
            rows = connection.execute(select(table.c.number, table.c.root))
            # The driver's own rows: at a start there may be a million of them.
            return dict(rows.cursor.fetchall())

    def records(self, numbers: Collection[int]) -> Mapping[int, bytes]:
        """The records of these buckets by number, without empty ones."""
        table, wanted = self._tables.bucket, [*numbers]
        if not wanted:  # a newcomer's label mostly falls into an empty bucket
            return {}
        if len(wanted) == 1:  # one customer's act: SQLAlchemy would expand an IN list each time
            one = self._bytes(select(table.c.records).where(table.c.number == wanted[0]))
            return {} if one is None else {wanted[0]: one}
        query = select(table.c.number, table.c.records)
        records: dict[int, bytes] = {}
        with self._reads.connect() as connection:
            for at in range(0, len(wanted), _MAX_VALUES):
                some = query.where(table.c.number.in_(wanted[at : at + _MAX_VALUES]))
                records |= {row[0]: row[1] for row in connection.execute(some)}
        return records

    def buckets(self) -> Iterator[tuple[int, bytes, bytes]]:
        """Number, root and records of every bucket."""
        table = self._tables.bucket
        with self._reads.connect() as connection:
            for row in connection.execute(select(table).order_by(table.c.number)):
                yield row[0], row[1], row[2]

    def transitions(self) -> Iterator[tuple[int, bytes]]:
        """The records of transitions, each with the number of its entry, in order."""
        table = self._tables.transition
        query = select(table).order_by(table.c["index"])
        with self._reads.connect() as connection:
            for row in connection.execution_options(yield_per=_STREAMED).execute(query):
                yield row[0], row[1]


class SqlStore(SqlLog):
    """A `LogStore` in a SQLite file. `BEGIN IMMEDIATE` and a check of the head keep one writer."""

    @classmethod
    def at(cls, path: Path) -> Self:
        """The store in a SQLite file of its own. Raises SchemaVersionError, DatabaseError."""
        opened = Database(path.parent)
        return cls(opened.engine(replace(LEDGER, file=path.name)), opened=opened)

    def state_store(self) -> StateStore:
        """The store of the state log in this database."""
        return StateStore(self._engine, STATE_PREFIX, self._opened, self._reads)

    @contextmanager
    def unchanging(self) -> Iterator[None]:
        """Within, this store and its state store read one state of the database.

        For opening them, before another thread has them: their parts are read one after another,
        and a writer may commit in between.
        """
        with reading(self._engine) as connection:
            self._reads.pinned = connection
            try:
                yield
            finally:
                self._reads.pinned = None

    def take_lease(self) -> None:
        """Become the writer. A SQLite file is locked by its directory: see writer_lock."""

    def require_lease(self) -> None:
        """Return if this process is no writer, or surely still the only one; cheap.

        Raises LeaseLostError, LeaseUnconfirmedError.
        """
        if self._lock is not None:
            self._lock.require_held()

    def confirm_lease(self) -> None:
        """As `require_lease`, after asking the server, if there is one."""
        self.require_lease()

    def commit(self, batch: StorageBatch) -> None:
        self.require_lease()
        with writing(self._engine) as connection:
            _put(connection, self._tables, batch)
            if batch.state_batch is not None:
                _put(connection, tables(STATE_PREFIX), batch.state_batch)
        # Crash before the commit above: nothing is stored. After it: everything is.

    def sealed(self, tag: bytes) -> tuple[int, bytes] | None:
        """Index and sealed bytes of the event with this tag, or None."""
        query = select(SEALED.c["index"], SEALED.c.data).where(SEALED.c.tag == tag)
        with self._reads.connect() as connection:
            row = connection.execute(query).first()
        return None if row is None else (row[0], row[1])

    def sealed_of(self, tags: Sequence[bytes]) -> dict[bytes, tuple[int, bytes]]:
        """Tag -> (index, sealed bytes) of the stored events with these tags."""
        query = select(SEALED.c.tag, SEALED.c["index"], SEALED.c.data)
        sealed: dict[bytes, tuple[int, bytes]] = {}
        with self._reads.connect() as connection:
            for at in range(0, len(tags), _MAX_VALUES):
                some = query.where(SEALED.c.tag.in_(tags[at : at + _MAX_VALUES]))
                sealed |= {row[0]: (row[1], row[2]) for row in connection.execute(some)}
        return sealed

    def tags(self) -> set[bytes]:
        """The tags of all sealed events."""
        with self._reads.connect() as connection:
            return {row[0] for row in connection.execute(select(SEALED.c.tag))}

    def sealed_between(self, lo: int, hi: int) -> dict[int, bytes]:
        """Index -> sealed bytes of the events at [lo, hi)."""
        query = select(SEALED.c["index"], SEALED.c.data)
        query = query.where(SEALED.c["index"] >= lo, SEALED.c["index"] < hi)
        with self._reads.connect() as connection:
            return {row[0]: row[1] for row in connection.execute(query)}

    def sealed_tags(self, lo: int, hi: int) -> dict[int, bytes]:
        """Index -> tag of the sealed events at [lo, hi)."""
        query = select(SEALED.c["index"], SEALED.c.tag)
        query = query.where(SEALED.c["index"] >= lo, SEALED.c["index"] < hi)
        with self._reads.connect() as connection:
            return {row[0]: row[1] for row in connection.execute(query)}

    def idempotent(self, key: str) -> tuple[bytes, int] | None:
        """Digest and first entry index of the request recorded under `key`, or None."""
        query = select(IDEMPOTENCY).where(IDEMPOTENCY.c.key == key)
        with self._reads.connect() as connection:
            row = connection.execute(query).first()
        return None if row is None else (row[1], row[2])


@cache
def tables(prefix: str) -> LogTables:
    return LogTables(prefix)


def add_log_tables(metadata: MetaData, prefix: str = "") -> None:
    """Declare the tables of a log in the metadata of a schema."""
    for table in tables(prefix).all:
        table.to_metadata(metadata)


def _named(name: str, prefix: str) -> Table:
    table = _ROWS[name]
    return table.to_metadata(_STATE_METADATA, name=f"{prefix}{name}") if prefix else table


def _head(connection: Connection, within: LogTables) -> Head | None:
    row = connection.execute(within.newest).first()
    return None if row is None else Head(row[0], row[1])


def _put(connection: Connection, within: LogTables, batch: StorageBatch) -> None:
    """Write a batch of one log. Raises ForkError unless it was built on the stored size."""
    head, previous = batch.head, batch.previous
    moves = within.moves if previous else within.begins
    if connection.exec_driver_sql(moves, (head.size, head.note, previous)).rowcount != 1:
        stored = _head(connection, within)
        raise ForkError(f"the log has {stored.size if stored else 0} entries, want {previous}")
    for statement, rows in zip(within.statements, _rows(batch), strict=True):
        if rows:
            connection.exec_driver_sql(statement, rows)


def _rows(batch: StorageBatch) -> tuple[list[tuple[Any, ...]], ...]:
    """The rows of a batch, in the order of `LogTables.statements`."""
    tiles, buckets = batch.tiles.items(), batch.buckets.items()
    return (
        [*batch.bundles.items()],
        [(level, index, data) for (level, index), data in tiles],
        [(number, root, records) for number, (root, records) in buckets],
        [(index, tag, data) for tag, (index, data) in batch.sealed.items()],
        [(key, digest, first) for key, (digest, first) in batch.idempotency.items()],
        [*batch.transitions.items()],
    )


def _head_statements(head: Table) -> tuple[ClauseElement, ClauseElement]:
    """The first head of a log, and the next one. Values: its size, its note, the size before."""
    size = bindparam("new_size", type_=head.c.size.type)
    note = bindparam("new_note", type_=head.c.note.type)
    before = bindparam("before", type_=head.c.size.type)
    one = upsert(head).values(id=literal_column("1"), size=size, note=note)
    changed = {"size": one.excluded.size, "note": one.excluded.note}
    first = one.on_conflict_do_update([head.c.id], set_=changed, where=head.c.size == before)
    following = update(head).where(head.c.size == before).values(size=size, note=note)
    return first, following


def _text(statement: ClauseElement) -> str:
    return str(statement.compile(dialect=dialect()))


def _upsert(table: Table, *new: str) -> Insert:
    statement = upsert(table)
    changed = {name: statement.excluded[name] for name in new}
    return statement.on_conflict_do_update([*table.primary_key], set_=changed)


_STATE_METADATA = MetaData()

_LEDGER_METADATA = MetaData()
add_log_tables(_LEDGER_METADATA)
add_log_tables(_LEDGER_METADATA, STATE_PREFIX)
# The consent log with its sealed events, and the state log with its map.
LEDGER = Schema("ledger", "ledger.sqlite", _LEDGER_METADATA, "0002", "ledger.storage.migrations")

"""A log store in SQLite (WAL mode, synchronous=FULL), and the tables that all stores share."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import BigInteger, Integer, MetaData, Table, event, insert, or_, select, update
from sqlalchemy import Insert as StandardInsert
from sqlalchemy.dialects.sqlite import Insert, dialect
from sqlalchemy.dialects.sqlite import insert as upsert
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.sql.functions import count
from sqlmodel import Field, SQLModel, create_engine

from ledger.storage.interface import ForkError, Head, StorageBatch

# SQLite needs INTEGER for row numbers; PostgreSQL's INTEGER ends at 2^31.
Number = BigInteger().with_variant(Integer, "sqlite")


class HeadRow(SQLModel, table=True):
    __tablename__ = "head"
    id: int = Field(primary_key=True)
    size: int = Field(sa_type=Number)
    note: str


class BundleRow(SQLModel, table=True):
    __tablename__ = "bundle"
    index: int = Field(primary_key=True, sa_type=Number)
    data: bytes


class TileRow(SQLModel, table=True):
    __tablename__ = "tile"
    level: int = Field(primary_key=True)
    index: int = Field(primary_key=True, sa_type=Number)
    data: bytes


class SealedRow(SQLModel, table=True):
    """An event, encrypted under its customer's key. The tag can only be derived from that key."""

    __tablename__ = "sealed"
    index: int = Field(primary_key=True, sa_type=Number)
    tag: bytes = Field(index=True)
    data: bytes


class IdempotencyRow(SQLModel, table=True):
    __tablename__ = "idempotency"
    key: str = Field(primary_key=True)
    digest: bytes
    first: int = Field(sa_type=Number)  # the count is not stored: it would link entries


class CosignedRow(SQLModel, table=True):
    """The newest checkpoint with cosignatures of the witnesses."""

    __tablename__ = "cosigned"
    id: int = Field(primary_key=True)
    size: int = Field(sa_type=Number)
    note: str


class BucketRow(SQLModel, table=True):
    """A bucket of the verifiable map: see ledger.statemap.verifiable_map."""

    __tablename__ = "bucket"
    number: int = Field(primary_key=True)
    root: bytes
    records: bytes


_STREAMED = 64  # bundles read at once
_MAX_VALUES = 10_000  # in one statement
CHECKPOINT_PAGES = (
    4000  # pages of the write-ahead log; high, because the act that triggers a checkpoint waits
)
STATE_PREFIX = "state_"  # of the names of the state log's tables
SEALED = SQLModel.metadata.tables["sealed"]
IDEMPOTENCY = SQLModel.metadata.tables["idempotency"]


class LogTables:
    """The tables of one log, and the statements that insert into them."""

    def __init__(self, prefix: str) -> None:
        self.all = [_named(name, prefix) for name in ("head", "bundle", "tile", "cosigned")]
        self.head, self.bundle, self.tile, self.cosigned = self.all
        self.bucket = _named("bucket", prefix)
        self.all += [self.bucket] if prefix else [SEALED, IDEMPOTENCY]
        # Compiled once, for SQLite: building a statement costs more than running it.
        self.newest = select(self.head.c.size, self.head.c.note)
        statements: tuple[Insert | StandardInsert, ...] = (
            _upsert(self.head, "size", "note"),
            _upsert(self.bundle, "data"),
            _upsert(self.tile, "data"),
            _upsert(self.bucket, "root", "records"),
            insert(SEALED),
            insert(IDEMPOTENCY),
        )
        self.statements = [str(each.compile(dialect=dialect())) for each in statements]


class SqlLog:
    """Read access to one log of a database, and its newest cosigned checkpoint."""

    def __init__(self, engine: Engine, prefix: str = "") -> None:
        self._engine = engine
        self._tables = tables(prefix)

    def head(self) -> Head | None:
        with self._engine.connect() as connection:
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
        with self._engine.connect() as connection:
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
        with self._engine.connect() as connection:
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
        with self._engine.connect() as connection:
            row = connection.execute(select(table.c.size, table.c.note)).first()
        return None if row is None else Head(row[0], row[1])

    def store_cosigned(self, newest: Head) -> None:
        """Store a cosigned checkpoint unless a newer one is stored. Durable on return."""
        table = self._tables.cosigned
        row = {"id": 1, "size": newest.size, "note": newest.note}
        older = table.c.size <= newest.size
        writing = self._engine.execution_options(immediate=True)  # as it reads before it writes
        with writing.begin() as connection:
            if connection.execute(select(table.c.id)).first() is None:
                connection.execute(insert(table), row)
            else:
                connection.execute(update(table).where(older), row)

    def close(self) -> None:
        self._engine.dispose()

    def _one(self, query: Any) -> Any:
        with self._engine.connect() as connection:
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
        with self._engine.connect() as connection:
            rows = connection.execute(select(table.c.number, table.c.root))
            return {row[0]: row[1] for row in rows}

    def records(self, numbers: Collection[int]) -> Mapping[int, bytes]:
        """The records of these buckets by number, without empty ones."""
        table, wanted = self._tables.bucket, [*numbers]
        if len(wanted) == 1:  # one customer's act: SQLAlchemy would expand an IN list each time
            one = self._bytes(select(table.c.records).where(table.c.number == wanted[0]))
            return {} if one is None else {wanted[0]: one}
        query = select(table.c.number, table.c.records)
        records: dict[int, bytes] = {}
        with self._engine.connect() as connection:
            for at in range(0, len(wanted), _MAX_VALUES):
                some = query.where(table.c.number.in_(wanted[at : at + _MAX_VALUES]))
                records |= {row[0]: row[1] for row in connection.execute(some)}
        return records

    def buckets(self) -> Iterator[tuple[int, bytes, bytes]]:
        """Number, root and records of every bucket."""
        table = self._tables.bucket
        with self._engine.connect() as connection:
            for row in connection.execute(select(table).order_by(table.c.number)):
                yield row[0], row[1], row[2]


class SqlStore(SqlLog):
    """A `LogStore` in a SQLite file. `BEGIN IMMEDIATE` and a check of the head keep one writer."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        super().__init__(engine(path))
        SQLModel.metadata.create_all(self._engine, tables=self._tables.all)

    def state_store(self) -> StateStore:
        """The store of the state log in this database; its tables are created if missing."""
        made = tables(STATE_PREFIX)
        made.head.metadata.create_all(self._engine, tables=made.all)
        return StateStore(self._engine, STATE_PREFIX)

    def commit(self, batch: StorageBatch) -> None:
        writing = self._engine.execution_options(immediate=True)
        with writing.begin() as connection:
            _put(connection, self._tables, batch)
            if batch.state_batch is not None:
                _put(connection, tables(STATE_PREFIX), batch.state_batch)
        # Crash before the commit above: nothing is stored. After it: everything is.

    def sealed(self, tag: bytes) -> tuple[int, bytes] | None:
        """Index and sealed bytes of the event with this tag, or None."""
        query = select(SEALED.c["index"], SEALED.c.data).where(SEALED.c.tag == tag)
        with self._engine.connect() as connection:
            row = connection.execute(query).first()
        return None if row is None else (row[0], row[1])

    def sealed_of(self, tags: Sequence[bytes]) -> dict[bytes, tuple[int, bytes]]:
        """Tag -> (index, sealed bytes) of the stored events with these tags."""
        query = select(SEALED.c.tag, SEALED.c["index"], SEALED.c.data)
        sealed: dict[bytes, tuple[int, bytes]] = {}
        with self._engine.connect() as connection:
            for at in range(0, len(tags), _MAX_VALUES):
                some = query.where(SEALED.c.tag.in_(tags[at : at + _MAX_VALUES]))
                sealed |= {row[0]: (row[1], row[2]) for row in connection.execute(some)}
        return sealed

    def tags(self) -> set[bytes]:
        """The tags of all sealed events."""
        with self._engine.connect() as connection:
            return {row[0] for row in connection.execute(select(SEALED.c.tag))}

    def sealed_between(self, lo: int, hi: int) -> dict[int, bytes]:
        """Index -> sealed bytes of the events at [lo, hi)."""
        query = select(SEALED.c["index"], SEALED.c.data)
        query = query.where(SEALED.c["index"] >= lo, SEALED.c["index"] < hi)
        with self._engine.connect() as connection:
            return {row[0]: row[1] for row in connection.execute(query)}

    def sealed_tags(self, lo: int, hi: int) -> dict[int, bytes]:
        """Index -> tag of the sealed events at [lo, hi)."""
        query = select(SEALED.c["index"], SEALED.c.tag)
        query = query.where(SEALED.c["index"] >= lo, SEALED.c["index"] < hi)
        with self._engine.connect() as connection:
            return {row[0]: row[1] for row in connection.execute(query)}

    def idempotent(self, key: str) -> tuple[bytes, int] | None:
        """Digest and first entry index of the request recorded under `key`, or None."""
        query = select(IDEMPOTENCY).where(IDEMPOTENCY.c.key == key)
        with self._engine.connect() as connection:
            row = connection.execute(query).first()
        return None if row is None else (row[1], row[2])


def engine(path: Path) -> Engine:
    """A SQLite engine: WAL, every commit synced to disk, deleted bytes overwritten."""
    made = create_engine(f"sqlite:///{path}", connect_args={"check_same_thread": False})

    @event.listens_for(made, "connect")
    def _connect(raw: Any, _record: object) -> None:
        raw.isolation_level = None  # transactions are begun in `_begin`, not by the driver
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "secure_delete=ON"):
            raw.execute(f"PRAGMA {pragma}")
        raw.execute("PRAGMA busy_timeout=10000")
        raw.execute(f"PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES}")

    @event.listens_for(made, "begin")
    def _begin(connection: Connection) -> None:
        immediate = connection.get_execution_options().get("immediate", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")

    return made


@cache
def tables(prefix: str) -> LogTables:
    return LogTables(prefix)


def _named(name: str, prefix: str) -> Table:
    table = SQLModel.metadata.tables[name]
    return table.to_metadata(_STATE_METADATA, name=f"{prefix}{name}") if prefix else table


def _head(connection: Connection, within: LogTables) -> Head | None:
    row = connection.execute(within.newest).first()
    return None if row is None else Head(row[0], row[1])


def _put(connection: Connection, within: LogTables, batch: StorageBatch) -> None:
    """Write a batch of one log. Raises ForkError unless it was built on the stored size."""
    head = _head(connection, within)
    size = head.size if head else 0
    if size != batch.previous:
        raise ForkError(f"the log has {size} entries, want {batch.previous}")
    for statement, rows in zip(within.statements, _rows(batch), strict=True):
        if rows:
            connection.exec_driver_sql(statement, rows)


def _rows(batch: StorageBatch) -> tuple[list[tuple[Any, ...]], ...]:
    """The rows of a batch, in the order of `LogTables.statements`."""
    head, tiles, buckets = batch.head, batch.tiles.items(), batch.buckets.items()
    return (
        [(1, head.size, head.note)],
        [*batch.bundles.items()],
        [(level, index, data) for (level, index), data in tiles],
        [(number, root, records) for number, (root, records) in buckets],
        [(index, tag, data) for tag, (index, data) in batch.sealed.items()],
        [(key, digest, first) for key, (digest, first) in batch.idempotency.items()],
    )


def _upsert(table: Table, *new: str) -> Insert:
    statement = upsert(table)
    changed = {name: statement.excluded[name] for name in new}
    return statement.on_conflict_do_update([*table.primary_key], set_=changed)


_STATE_METADATA = MetaData()

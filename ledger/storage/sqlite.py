"""A log in a SQL database: SQLite in WAL mode with full synchronisation."""

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

# SQLite numbers its rows by INTEGER alone, PostgreSQL's INTEGER ends at 2^31.
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
    """An event under its customer's key. Only that key finds the tag."""

    __tablename__ = "sealed"
    index: int = Field(primary_key=True, sa_type=Number)
    tag: bytes = Field(index=True)
    data: bytes


class IdempotencyRow(SQLModel, table=True):
    __tablename__ = "idempotency"
    key: str = Field(primary_key=True)
    digest: bytes
    first: int = Field(sa_type=Number)  # and not how many: that would say which belong together


class CosignedRow(SQLModel, table=True):
    """The newest checkpoint that witnesses have cosigned."""

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


_AT_ONCE = 10_000  # values in one statement
FOLDED = 4000  # pages of the write-ahead log at which it is folded in: rarely, since one act waits
BESIDE = "state_"  # what the tables of the log beside are called
SEALED = SQLModel.metadata.tables["sealed"]
IDEMPOTENCY = SQLModel.metadata.tables["idempotency"]


class LogTables:
    """The tables of one log, and the statements that fill them."""

    def __init__(self, prefix: str) -> None:
        self.all = [_named(name, prefix) for name in ("head", "bundle", "tile", "cosigned")]
        self.head, self.bundle, self.tile, self.cosigned = self.all
        self.bucket = _named("bucket", prefix)
        self.all += [self.bucket] if prefix else [SEALED, IDEMPOTENCY]
        # Built once, and in SQLite's own words: to build a statement costs more than to run it.
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
    """One log of a database, as far as it is read, and what witnesses said of it."""

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

    def beyond(self, counts: Sequence[int]) -> tuple[int, int]:
        """Number of stored bundles and tiles past the first `counts[level]` of each level.

        A bundle belongs to the tile of level 0 with the same index.
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
        """The newest checkpoint that was kept with its cosignatures."""
        table = self._tables.cosigned
        with self._engine.connect() as connection:
            found = connection.execute(select(table.c.size, table.c.note)).first()
        return None if found is None else Head(found[0], found[1])

    def keep_cosigned(self, newest: Head) -> None:
        """Keep a cosigned checkpoint, unless a newer one is kept. Durable on return."""
        table = self._tables.cosigned
        row = {"id": 1, "size": newest.size, "note": newest.note}
        older = table.c.size <= newest.size
        writing = self._engine.execution_options(immediate=True)  # it reads before it writes
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
        found: bytes | None = self._one(query)
        return found


class StateStore(SqlLog):
    """The state log beside another, and the buckets of its map."""

    def commit(self, _batch: StorageBatch) -> None:
        raise AssertionError("the state log moves in the transactions of the log it stands beside")

    def roots(self) -> Mapping[int, bytes]:
        """The root of every bucket that is not empty."""
        table = self._tables.bucket
        with self._engine.connect() as connection:
            found = connection.execute(select(table.c.number, table.c.root))
            return {row[0]: row[1] for row in found}

    def records(self, numbers: Collection[int]) -> Mapping[int, bytes]:
        """The records of these buckets, of those that are not empty."""
        table, wanted = self._tables.bucket, [*numbers]
        if len(wanted) == 1:  # one customer's act: a list would be taken apart anew each time
            one = self._bytes(select(table.c.records).where(table.c.number == wanted[0]))
            return {} if one is None else {wanted[0]: one}
        query = select(table.c.number, table.c.records)
        found: dict[int, bytes] = {}
        with self._engine.connect() as connection:
            for at in range(0, len(wanted), _AT_ONCE):
                some = query.where(table.c.number.in_(wanted[at : at + _AT_ONCE]))
                found |= {row[0]: row[1] for row in connection.execute(some)}
        return found

    def buckets(self) -> Iterator[tuple[int, bytes, bytes]]:
        """Number, root and records of every bucket."""
        table = self._tables.bucket
        with self._engine.connect() as connection:
            for row in connection.execute(select(table).order_by(table.c.number)):
                yield row[0], row[1], row[2]


class SqlStore(SqlLog):
    """See `ledger.storage.interface.Store`. `BEGIN IMMEDIATE` and a check of the head: one writer
    wins."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        super().__init__(engine(path))
        SQLModel.metadata.create_all(self._engine, tables=self._tables.all)

    def beside(self) -> StateStore:
        """The state log in this database; its tables are made if they are not there."""
        made = tables(BESIDE)
        made.head.metadata.create_all(self._engine, tables=made.all)
        return StateStore(self._engine, BESIDE)

    def commit(self, batch: StorageBatch) -> None:
        writing = self._engine.execution_options(immediate=True)
        with writing.begin() as connection:
            _put(connection, self._tables, batch)
            if batch.beside is not None:
                _put(connection, tables(BESIDE), batch.beside)
        # Crash before the commit above: nothing is there. After it: everything is.

    def sealed(self, tag: bytes) -> tuple[int, bytes] | None:
        """Index and sealed bytes of the event with this tag."""
        query = select(SEALED.c["index"], SEALED.c.data).where(SEALED.c.tag == tag)
        with self._engine.connect() as connection:
            found = connection.execute(query).first()
        return None if found is None else (found[0], found[1])

    def sealed_of(self, tags: Sequence[bytes]) -> dict[bytes, tuple[int, bytes]]:
        """Index and sealed bytes of those events with these tags that are there."""
        query = select(SEALED.c.tag, SEALED.c["index"], SEALED.c.data)
        found: dict[bytes, tuple[int, bytes]] = {}
        with self._engine.connect() as connection:
            for at in range(0, len(tags), _AT_ONCE):
                some = query.where(SEALED.c.tag.in_(tags[at : at + _AT_ONCE]))
                found |= {row[0]: (row[1], row[2]) for row in connection.execute(some)}
        return found

    def tags(self) -> set[bytes]:
        """The tag of every sealed event."""
        with self._engine.connect() as connection:
            return {row[0] for row in connection.execute(select(SEALED.c.tag))}

    def sealed_between(self, lo: int, hi: int) -> dict[int, bytes]:
        """The sealed bytes of the events at [lo, hi)."""
        query = select(SEALED.c["index"], SEALED.c.data)
        query = query.where(SEALED.c["index"] >= lo, SEALED.c["index"] < hi)
        with self._engine.connect() as connection:
            return {row[0]: row[1] for row in connection.execute(query)}

    def sealed_tags(self, lo: int, hi: int) -> dict[int, bytes]:
        """The tags of the sealed events at [lo, hi)."""
        query = select(SEALED.c["index"], SEALED.c.tag)
        query = query.where(SEALED.c["index"] >= lo, SEALED.c["index"] < hi)
        with self._engine.connect() as connection:
            return {row[0]: row[1] for row in connection.execute(query)}

    def idempotent(self, key: str) -> tuple[bytes, int] | None:
        """Digest of the request recorded under `key`, and its first entry."""
        query = select(IDEMPOTENCY).where(IDEMPOTENCY.c.key == key)
        with self._engine.connect() as connection:
            found = connection.execute(query).first()
        return None if found is None else (found[1], found[2])


def engine(path: Path) -> Engine:
    """SQLite, durable: WAL, every commit synchronised, deleted bytes overwritten."""
    made = create_engine(f"sqlite:///{path}", connect_args={"check_same_thread": False})

    @event.listens_for(made, "connect")
    def _connect(raw: Any, _record: object) -> None:
        raw.isolation_level = None  # transactions begin below, not in the driver
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "secure_delete=ON"):
            raw.execute(f"PRAGMA {pragma}")
        raw.execute("PRAGMA busy_timeout=10000")
        raw.execute(f"PRAGMA wal_autocheckpoint={FOLDED}")

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
    return table.to_metadata(_BESIDE, name=f"{prefix}{name}") if prefix else table


def _head(connection: Connection, within: LogTables) -> Head | None:
    found = connection.execute(within.newest).first()
    return None if found is None else Head(found[0], found[1])


def _put(connection: Connection, within: LogTables, batch: StorageBatch) -> None:
    """Write a batch of one log. Raises ForkError unless it was built on what is there."""
    head = _head(connection, within)
    found = head.size if head else 0
    if found != batch.previous:
        raise ForkError(f"the log has {found} entries, want {batch.previous}")
    for statement, rows in zip(within.statements, _rows(batch), strict=True):
        if rows:
            connection.exec_driver_sql(statement, rows)


def _rows(batch: StorageBatch) -> tuple[list[tuple[Any, ...]], ...]:
    """The rows of a batch, in the order of `Tables.statements`."""
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


_BESIDE = MetaData()

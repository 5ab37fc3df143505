"""A log in a SQL database: SQLite in WAL mode with full synchronisation."""

from pathlib import Path
from typing import Any

from sqlalchemy import BigInteger, Integer, Table, event, insert, or_, select
from sqlalchemy import Insert as StandardInsert
from sqlalchemy.dialects.sqlite import Insert
from sqlalchemy.dialects.sqlite import insert as upsert
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.sql.functions import count
from sqlmodel import Field, SQLModel, create_engine

from ledger import tile
from ledger.stores import Batch, ForkError, Head

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
    first: int = Field(sa_type=Number)
    count: int


TABLES = [
    SQLModel.metadata.tables[name] for name in ("head", "bundle", "tile", "sealed", "idempotency")
]
HEAD, BUNDLE, TILE, SEALED, IDEMPOTENCY = TABLES


class SqlStore:
    """See `ledger.stores.Store`. `BEGIN IMMEDIATE` and a check of the head: one writer wins."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._engine = engine(path)
        SQLModel.metadata.create_all(self._engine, tables=TABLES)

    def head(self) -> Head | None:
        with self._engine.connect() as connection:
            return _head(connection)

    def commit(self, batch: Batch) -> None:
        writing = self._engine.execution_options(immediate=True)
        with writing.begin() as connection:
            head = _head(connection)
            found = head.size if head else 0
            if found != batch.previous:
                raise ForkError(f"the log has {found} entries, want {batch.previous}")
            _write(connection, batch)
        # Crash before the commit above: nothing is there. After it: everything is.

    def tile(self, level: int, index: int) -> bytes | None:
        query = select(TILE.c.data).where(TILE.c.level == level, TILE.c["index"] == index)
        return self._bytes(query)

    def bundle(self, index: int) -> bytes | None:
        return self._bytes(select(BUNDLE.c.data).where(BUNDLE.c["index"] == index))

    def sealed(self, tag: bytes) -> tuple[int, bytes] | None:
        """Index and sealed bytes of the event with this tag."""
        query = select(SEALED.c["index"], SEALED.c.data).where(SEALED.c.tag == tag)
        with self._engine.connect() as connection:
            found = connection.execute(query).first()
        return None if found is None else (found[0], found[1])

    def has_tag(self, tag: bytes) -> bool:
        query = select(SEALED.c["index"]).where(SEALED.c.tag == tag)
        return self._one(query) is not None

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

    def beyond(self, size: int) -> tuple[int, int]:
        """How many bundles and tiles a log of `size` entries has no use for."""
        bundles = [BUNDLE.c["index"] >= _tiles(size, 0)]
        tiles = [
            (TILE.c.level == level) & (TILE.c["index"] >= _tiles(size, level)) for level in range(8)
        ]
        with self._engine.connect() as connection:
            counts = [
                connection.execute(
                    select(count()).select_from(table).where(or_(*where))
                ).scalar_one()
                for table, where in ((BUNDLE, bundles), (TILE, tiles))
            ]
        return counts[0], counts[1]

    def idempotent(self, key: str) -> tuple[bytes, int, int] | None:
        """Digest of the request recorded under `key`, its first entry and how many."""
        query = select(IDEMPOTENCY).where(IDEMPOTENCY.c.key == key)
        with self._engine.connect() as connection:
            found = connection.execute(query).first()
        return None if found is None else (found[1], found[2], found[3])

    def close(self) -> None:
        self._engine.dispose()

    def _one(self, query: Any) -> Any:
        with self._engine.connect() as connection:
            return connection.execute(query).scalar()

    def _bytes(self, query: Any) -> bytes | None:
        found: bytes | None = self._one(query)
        return found


def engine(path: Path) -> Engine:
    """SQLite, durable: WAL, every commit synchronised, deleted bytes overwritten."""
    made = create_engine(f"sqlite:///{path}", connect_args={"check_same_thread": False})

    @event.listens_for(made, "connect")
    def _connect(raw: Any, _record: object) -> None:
        raw.isolation_level = None  # transactions begin below, not in the driver
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "secure_delete=ON"):
            raw.execute(f"PRAGMA {pragma}")
        raw.execute("PRAGMA busy_timeout=10000")

    @event.listens_for(made, "begin")
    def _begin(connection: Connection) -> None:
        immediate = connection.get_execution_options().get("immediate", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")

    return made


def _tiles(size: int, level: int) -> int:
    return -(-(size >> tile.HEIGHT * level) // tile.WIDTH)


def _head(connection: Connection) -> Head | None:
    found = connection.execute(_HEAD).first()
    return None if found is None else Head(found[0], found[1])


def _write(connection: Connection, batch: Batch) -> None:
    head = [{"id": 1, "size": batch.head.size, "note": batch.head.note}]
    bundles = [{"index": index, "data": data} for index, data in batch.bundles.items()]
    tiles = [
        {"level": level, "index": index, "data": data}
        for (level, index), data in batch.tiles.items()
    ]
    sealed = [
        {"index": index, "tag": tag, "data": data} for tag, (index, data) in batch.sealed.items()
    ]
    kept = [
        {"key": key, "digest": digest, "first": first, "count": many}
        for key, (digest, first, many) in batch.idempotency.items()
    ]
    rows = (head, bundles, tiles, sealed, kept)
    for statement, each in zip(_STATEMENTS, rows, strict=True):
        if each:
            connection.execute(statement, each)


def _upsert(table: Table, *new: str) -> Insert:
    statement = upsert(table)
    changed = {name: statement.excluded[name] for name in new}
    return statement.on_conflict_do_update([*table.primary_key], set_=changed)


# Built once: building a statement costs more than running it.
_HEAD = select(HEAD.c.size, HEAD.c.note)
_STATEMENTS: tuple[Insert | StandardInsert, ...] = (
    _upsert(HEAD, "size", "note"),
    _upsert(BUNDLE, "data"),
    _upsert(TILE, "data"),
    insert(SEALED),
    insert(IDEMPOTENCY),
)

"""What a witness remembers: the newest checkpoint of each log, in a SQLite file of its own."""

from dataclasses import dataclass, replace
from pathlib import Path

from sqlalchemy import Column, Engine, LargeBinary, MetaData, Table, Text, bindparam, select
from sqlalchemy.engine import Connection

from ledger.storage.database import Database, Schema, SchemaVersionError, upsert
from ledger.storage.log_rows import Number

_METADATA = MetaData()
SEEN = Table(
    "seen",
    _METADATA,
    Column("origin", Text, primary_key=True),
    Column("size", Number, nullable=False),
    Column("root", LargeBinary, nullable=False),
    Column("note", Text, nullable=False),
)
WITNESS = Schema(
    "witness",
    "witness.sqlite",
    _METADATA,
    "0001",
    "ledger.storage.witness_migrations",
    busy_ms=60_000,
)
_OF = select(SEEN.c.size, SEEN.c.root, SEEN.c.note).where(SEEN.c.origin == bindparam("of"))
_REMEMBER = upsert("sqlite", SEEN)


@dataclass(frozen=True, slots=True)
class Seen:
    """The newest checkpoint of a log that was cosigned."""

    size: int
    root: bytes
    note: str


def opened(path: Path) -> Engine:
    """The file at `path`, created if there is none. Raises SchemaVersionError, DatabaseError.

    One of an earlier version is migrated here: a witness has no data directory, and no command.
    """
    database, schema = Database(path.parent), replace(WITNESS, file=path.name)
    try:
        return database.engine(schema)
    except SchemaVersionError:
        from ledger.storage.migration import migrate

        migrate(database, schema)
        return database.engine(schema)


def seen(connection: Connection, origin: str) -> Seen | None:
    row = connection.execute(_OF, {"of": origin}).first()
    return None if row is None else Seen(*row)


def remember(connection: Connection, origin: str, newest: Seen) -> None:
    row = {"origin": origin, "size": newest.size, "root": newest.root, "note": newest.note}
    connection.execute(_REMEMBER, row)

"""Copies the tables of a schema from one kind of database to the other, row by row."""

from pathlib import Path

from sqlalchemy import Connection, delete, func, insert, select

from ledger.storage import snapshot
from ledger.storage.database import (
    OWNER_ONLY,
    Database,
    Schema,
    remove_version,
    sqlite_engine,
    stamp,
    writing,
)
from ledger.storage.snapshot import SchemaSnapshot

ROWS = 2_000  # at a time


class NotEmptyError(Exception):
    """There are tables already where a schema should be copied to. Nothing was changed."""


def to_file(taken: SchemaSnapshot, schema: Schema, path: Path) -> None:
    """Write a snapshot to a new SQLite file, complete by itself, for its owner only.

    Durable on return. Raises FileExistsError, and as `ledger.storage.snapshot.taken` does.
    """
    if taken.file is not None:
        snapshot.copy(taken.file, path)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=OWNER_ONLY, exist_ok=False)
    made = sqlite_engine(path, rollback_journal=True)
    try:
        with writing(made) as target, taken.connected() as source:
            _fill(source, target, schema)
    finally:
        made.dispose()
    snapshot.synchronise(path)


def to_database(source: Database, target: Database, schema: Schema) -> None:
    """Copy the tables of a schema to a database that has none of them, in one transaction.

    Raises NotEmptyError, SchemaVersionError, DatabaseError.
    """
    if target.exists(schema):
        raise NotEmptyError(f"{target.place(schema)} has tables already: want an empty database")
    made = target.unchecked(schema)
    try:
        with source.engine(schema).connect() as rows, writing(made) as connection:
            _fill(rows, connection, schema)
    finally:
        made.dispose()


def remove(target: Database, schema: Schema) -> None:
    """Remove the tables that `to_database` made."""
    made = target.unchecked(schema)
    try:
        with writing(made) as connection:
            schema.metadata.drop_all(connection)
            remove_version(connection)
    finally:
        made.dispose()


def _fill(source: Connection, target: Connection, schema: Schema) -> None:
    schema.metadata.create_all(target)
    for table in schema.metadata.sorted_tables:
        if target.execute(select(table).limit(1)).first():  # some are made with a first row
            target.execute(delete(table))
        found = source.execution_options(yield_per=ROWS).execute(select(table))
        for part in found.mappings().partitions():
            target.execute(insert(table), [dict(row) for row in part])
        number = table.autoincrement_column
        if number is not None and target.dialect.name == "postgresql":
            sequence = func.pg_get_serial_sequence(table.name, number.name)
            last = select(func.max(number)).scalar_subquery()
            follows = sequence.is_not(None), last >= 1
            target.execute(select(func.setval(sequence, last)).where(*follows))
    stamp(target, schema.version)

"""The tables of people's keys, and of who is leaving.

Passkeys for signing in, ids of keys that sign consent, and what binds the signing keys of customers
who were erased, should they return (portal.auth.returning_keys). Requests to be erased wait in
`departure` until they are carried out or stopped (portal.storage.departures).

home/passkeys.sqlite     SQLite; in PostgreSQL the schema people
"""

from collections.abc import Mapping
from contextlib import closing
from typing import Any

from sqlalchemy import (
    Column,
    Engine,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from ledger.storage.database import Schema
from ledger.storage.log_rows import Number

_METADATA = MetaData()
PERSON = Table(
    "person",
    _METADATA,
    Column("subject", String, primary_key=True),
    Column("handle", LargeBinary, nullable=False, unique=True),
)
PASSKEY = Table(
    "passkey",
    _METADATA,
    Column("id", LargeBinary, primary_key=True),
    Column("subject", String, nullable=False),
    Column("key", LargeBinary, nullable=False),
    Column("count", Integer, nullable=False),
    Column("copied", Integer, nullable=False),
    Column("added", String, nullable=False),
    Column("eligible", Integer),
    Index("by_subject", "subject", "added"),
)
CONSENT_CREDENTIAL = Table(
    "consent_credential",
    _METADATA,
    Column("id", LargeBinary, primary_key=True),
    Column("subject", String, nullable=False),
    Column("key", LargeBinary, nullable=False),
    Index("credential_by_subject", "subject"),
)
DEPARTURE = Table(
    "departure",
    _METADATA,
    Column("subject", String, primary_key=True),
    Column("requested", Number, nullable=False),  # Unix seconds, like `due`
    Column("due", Number, nullable=False),
    Column("locale", String, nullable=False),  # of the words that the customer saw
)
RETURNING_KEY = Table(
    "returning_key",
    _METADATA,
    Column("tag", LargeBinary, primary_key=True),
    Column("sealed", LargeBinary, nullable=False),
)
PEOPLE = Schema("people", "passkeys.sqlite", _METADATA, "0003", "portal.storage.migrations.people")


def insert_new(connection: Connection, table: Table, row: Mapping[str, Any]) -> bool:
    """Insert a row unless there is one with its key; returns whether it was inserted."""
    dialect = {"sqlite": sqlite, "postgresql": postgresql}[connection.dialect.name]
    statement = dialect.insert(table).on_conflict_do_nothing()
    connection = connection.execution_options(preserve_rowcount=True)
    return connection.execute(statement, dict(row)).rowcount == 1


def clear_deleted(engine: Engine) -> None:
    """Remove the bytes of deleted rows from SQLite's files.

    PostgreSQL removes them when it next vacuums the table.
    """
    if engine.dialect.name == "sqlite":
        with closing(engine.raw_connection()) as connection:  # outside of a transaction
            connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")

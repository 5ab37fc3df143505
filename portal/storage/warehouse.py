"""The state of consent for the company's warehouse, as it was last exported.

    home/warehouse.sqlite     SQLite; in PostgreSQL the schema warehouse

A warehouse reads the view `consent` of the schema and nothing else: grant it USAGE on the schema
and SELECT on the view. Each export replaces all rows in one transaction, so a reader sees the one
before or the new one.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path

from sqlalchemy import Column, DateTime, MetaData, String, Table, delete, event, text
from sqlalchemy.engine import Connection

from ledger.storage import database
from ledger.storage.database import Schema, writing

VIEW = (
    "CREATE VIEW consent AS SELECT scene, status, since, version, pseudonym FROM exported_consent"
)
CHUNK = 1000  # rows of one statement
_METADATA = MetaData()
CONSENT = Table(
    "exported_consent",
    _METADATA,
    Column("pseudonym", String, primary_key=True),
    Column("scene", String, primary_key=True),
    Column("status", String, nullable=False),
    Column("since", DateTime(timezone=True), nullable=False),  # UTC
    Column("version", String, nullable=False),
)
WAREHOUSE = Schema(
    "warehouse", "warehouse.sqlite", _METADATA, "0001", "portal.storage.migrations.warehouse"
)


@event.listens_for(CONSENT, "after_create")
def _view(_table: Table, connection: Connection, **_: object) -> None:
    connection.execute(text(VIEW))


def replace(home: Path, rows: Sequence[tuple[str, str, datetime, str, str]]) -> None:
    """Replace the exported state. Durable on return. `rows`: in the order of the view's columns."""
    names = ("scene", "status", "since", "version", "pseudonym")
    with writing(database.of(home).engine(WAREHOUSE)) as connection:
        connection.execute(delete(CONSENT))
        for first in range(0, len(rows), CHUNK):
            some = [dict(zip(names, row, strict=True)) for row in rows[first : first + CHUNK]]
            connection.execute(CONSENT.insert(), some)


def forget(home: Path, pseudonyms: Iterable[str]) -> None:
    """Remove the rows of a customer who is erased; nothing, where nothing was ever exported."""
    opened = database.of(home)
    if opened.exists(WAREHOUSE):
        with writing(opened.engine(WAREHOUSE)) as connection:
            connection.execute(delete(CONSENT).where(CONSENT.c.pseudonym.in_([*pseudonyms])))

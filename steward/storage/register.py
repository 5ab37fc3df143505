"""The tables of the register: its entries, and the proposals that wait for a person.

home/register.sqlite, or the schema `register`
"""

from typing import Any

from sqlalchemy import Column, Index, LargeBinary, MetaData, Table, Text, event
from sqlalchemy.engine import Connection

from ledger.storage.database import Schema
from ledger.storage.log_rows import Number
from steward.storage import append_only

_METADATA = MetaData()

ENTRY = Table(  # steward.oversight.register says what the columns contain
    "entry",
    _METADATA,
    Column("number", Number, primary_key=True, autoincrement=False),
    Column("at", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("about", Text, nullable=False),
    Column("open", Text, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Index("entry_about", "about", "kind", "number"),
    Index("entry_kind", "kind", "number"),
    sqlite_strict=True,
)
WAITING = Table(  # proposals without a decision
    "waiting",
    _METADATA,
    Column("number", Number, primary_key=True, autoincrement=False),
    Column("subject", Text, nullable=False),  # empty: the customer was erased
    Column("deadline", Number, nullable=False),  # Unix seconds
)


@event.listens_for(ENTRY, "after_create")
def _protect(_table: Table, connection: Connection, **_: Any) -> None:
    names = ("entry_stays", "entry_remains")
    append_only.protect(connection, ENTRY.name, "the register is append-only", names)


REGISTER = Schema(
    "register", "register.sqlite", _METADATA, "0001", "steward.storage.migrations.register"
)

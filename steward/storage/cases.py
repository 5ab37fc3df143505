"""The tables of cases: the position in the consent log, cases, and the outbox.

    home/steward.sqlite, or the schema `cases`

They are one schema, so that the cursor, a case and its notice are written together or not at all.
They contain masked names, log indexes and tags derived from customers' keys, never a customer's id.
Times are texts in UTC that sort by time, as steward.cases.case_store.stamp writes them.
"""

from typing import Any

from sqlalchemy import (
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    event,
    func,
    insert,
    literal_column,
)
from sqlalchemy.engine import Connection

from ledger.storage.database import Schema
from ledger.storage.log_rows import Number
from steward.storage import append_only

_METADATA = MetaData()


def _text(name: str) -> Column[str]:
    return Column(name, Text, nullable=False)


def _number(name: str) -> Column[int]:
    return Column(name, Number, nullable=False)


def _case() -> Column[int]:
    return Column("number", Number, ForeignKey("cases.id"), nullable=False)


CURSOR = Table(  # one row
    "cursor",
    _METADATA,
    Column("only", Integer, CheckConstraint('"only" = 1'), primary_key=True),
    _number("size"),  # entries of the consent log that were followed
    _number("minute"),  # to which time was followed
)
CASE = Table(
    "cases",
    _METADATA,
    Column("id", Number, primary_key=True),
    _text("scene"),
    _text("kind"),
    _number("count"),  # customers
    _number("told"),  # the count that the last notice gave
    _number("live"),  # customers with a live grant when it began
    _text("fields"),  # JSON: items lost; []: the whole scene
    _text("fallback"),
    Column("loss", Text),
    _text("opened"),
    _text("gathers_until"),
    _text("due"),
    _text("status"),
    _text("responsible"),
    Column("escalated", Text),
    Column("holder", Text),  # who works on it, while it is taken
    Column("closed", Text),
    Column("closed_by", Text),
    Index("case_of_scene", "scene", "kind", "id"),
    Index("case_by_due", "status", "due", "id"),
    Index("case_by_age", "status", "opened", "id"),
    Index("case_due", "due", "id"),
    Index("case_age", "opened", "id"),
    Index("case_of_holder", "holder", "due", "id"),
    sqlite_autoincrement=True,
)
# Written out, not bound: only so do SQLite's partial indexes serve a query.
ACTIVE = CASE.c.status != literal_column("'closed'")
for _index, _column in (("case_active_due", CASE.c.due), ("case_active_age", CASE.c.opened)):
    Index(_index, _column, CASE.c.id, sqlite_where=ACTIVE, postgresql_where=ACTIVE)
ASSIGNEE = Table(  # one row for each person who signed in at the desk
    "assignee",
    _METADATA,
    Column("name", Text, primary_key=True),
    _text("role"),
    _text("seen"),  # when they last signed in
)
CHANGE = Table(
    "change",
    _METADATA,
    Column("seq", Number, primary_key=True),
    _case(),
    _text("scene"),
    _text("kind"),
    Column("entry", Number),  # of the consent log
    _number("minute"),
    _number("count"),
    _text("masked"),  # JSON: whose, as far as a notice names them
    Index("change_of_case", "number"),
)
# The entry of a change, -1 for one that has none: what a unique index can compare.
ENTRY = func.coalesce(CHANGE.c.entry, literal_column("-1"))
Index("change_once", CHANGE.c.scene, CHANGE.c.kind, ENTRY, CHANGE.c.minute, unique=True)
CONCERNED = Table(
    "concerned",
    _METADATA,
    Column("number", Number, ForeignKey("cases.id"), primary_key=True, autoincrement=False),
    # A customer, in this case alone, as long as their key exists.
    Column("tag", LargeBinary, primary_key=True),
    sqlite_with_rowid=False,
)
ACT = Table(
    "act",
    _METADATA,
    Column("seq", Number, primary_key=True),
    _case(),
    _text("act"),
    _text("by"),
    _text("at"),
    _text("note"),
    Index("act_of_case", "number"),
)
OUTBOX = Table(
    "outbox",
    _METADATA,
    Column("seq", Number, primary_key=True),
    # The same at every attempt: receivers drop duplicates by it.
    Column("id", Text, nullable=False, unique=True),
    _case(),
    _text("type"),
    _text("channel"),
    Column("body", LargeBinary, nullable=False),  # the CloudEvent, the same at every attempt
    _text("state"),  # waiting, delivered or dead
    _number("attempts"),
    _text("next_at"),
    _text("error"),
    sqlite_autoincrement=True,
)
UNDELIVERED = OUTBOX.c.state != literal_column("'delivered'")
Index("outbox_waiting", OUTBOX.c.seq, sqlite_where=UNDELIVERED, postgresql_where=UNDELIVERED)
Index(
    "outbox_order",
    OUTBOX.c.number,
    OUTBOX.c.channel,
    OUTBOX.c.seq,
    sqlite_where=UNDELIVERED,
    postgresql_where=UNDELIVERED,
)


@event.listens_for(CURSOR, "after_create")
def _begin(_table: Table, connection: Connection, **_: Any) -> None:
    connection.execute(insert(CURSOR), {"only": 1, "size": 0, "minute": 0})


@event.listens_for(ACT, "after_create")
def _protect(_table: Table, connection: Connection, **_: Any) -> None:
    names = ("acts_stay", "acts_are_kept")
    append_only.protect(connection, ACT.name, "acts are only added", names)


CASES = Schema("cases", "steward.sqlite", _METADATA, "0003", "steward.storage.migrations.cases")

"""Number changes and acts in their order: until now SQLite's own row numbers gave it."""

from alembic import op
from sqlalchemy import BigInteger, Column, ForeignKey, Integer, Text, column, insert, select, table
from sqlalchemy import text as sql

from steward.storage import append_only

revision = "0002"
down_revision = "0001"

NUMBER = BigInteger().with_variant(Integer, "sqlite")
CHANGE = ("number", "scene", "kind", "entry", "minute", "count", "masked")
ACT = ("number", "act", "by", "at", "note")


def upgrade() -> None:
    op.rename_table("change", "change_before")
    op.create_table(
        "change",
        Column("seq", NUMBER, primary_key=True),
        Column("number", NUMBER, ForeignKey("cases.id"), nullable=False),
        *(Column(name, Text, nullable=False) for name in ("scene", "kind")),
        Column("entry", NUMBER),
        *(Column(name, NUMBER, nullable=False) for name in ("minute", "count")),
        Column("masked", Text, nullable=False),
    )
    _move("change", CHANGE)
    op.create_index("change_of_case", "change", ["number"])
    each = sql("coalesce(entry, -1)")  # 0001 as SQLite has it says ifnull, which is the same
    op.create_index("change_once", "change", ["scene", "kind", each, "minute"], unique=True)

    op.rename_table("act", "act_before")
    op.create_table(
        "act",
        Column("seq", NUMBER, primary_key=True),
        Column("number", NUMBER, ForeignKey("cases.id"), nullable=False),
        *(Column(name, Text, nullable=False) for name in ("act", "by", "at", "note")),
    )
    _move("act", ACT)
    op.create_index("act_of_case", "act", ["number"])
    names = ("acts_stay", "acts_are_kept")
    append_only.protect(op.get_bind(), "act", "acts are only added", names)


def _move(name: str, names: tuple[str, ...]) -> None:
    """Copy the rows in their order, and drop the table from before with its indexes."""
    rows = select(table(f"{name}_before", *map(column, names)))
    if op.get_bind().dialect.name == "sqlite":  # in PostgreSQL no program ever wrote 0001
        rows = rows.order_by(sql("rowid"))
    op.execute(insert(table(name, *map(column, names))).from_select(names, rows))
    op.drop_table(f"{name}_before")

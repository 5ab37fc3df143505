"""Number misses in their order, which SQLite's own row numbers gave until now.

Two parts of earlier programs created their own tables in one file, each when it was first used:
after `sovereign contracts check` alone there is no `trend`.
"""

from alembic import op
from sqlalchemy import BigInteger, Column, Integer, Text, column, insert, inspect, select, table
from sqlalchemy import text as sql

revision = "0002"
down_revision = "0001"

NUMBER = BigInteger().with_variant(Integer, "sqlite")
MISS = ("at", "scene", "field", "aspect", "wanted", "found")


def upgrade() -> None:
    existing = inspect(op.get_bind()).get_table_names()
    if "trend" not in existing:
        _trend()
    if "run" not in existing:
        _checks()
    if "miss" in existing:
        op.rename_table("miss", "miss_before")
    op.create_table(
        "miss", Column("seq", NUMBER, primary_key=True), *(Column(name, Text) for name in MISS)
    )
    if "miss" in existing:
        _move()
    op.create_index("miss_by_time", "miss", ["at"])


def _move() -> None:
    rows = select(table("miss_before", *map(column, MISS)))
    if op.get_bind().dialect.name == "sqlite":  # in PostgreSQL no program ever wrote 0001
        rows = rows.order_by(sql("rowid"))
    op.execute(insert(table("miss", *map(column, MISS))).from_select(MISS, rows))
    op.drop_table("miss_before")


def _trend() -> None:
    op.create_table(
        "trend",
        Column("day", Text, primary_key=True),
        Column("customers", NUMBER, nullable=False),
        *(Column(name, NUMBER) for name in ("coverage", "freshness", "dependence")),
    )


def _checks() -> None:
    op.create_table("run", Column("at", Text, primary_key=True))
    op.create_table(
        "attained",
        *(Column(name, Text) for name in ("at", "scene")),
        *(Column(name, NUMBER) for name in ("checks", "kept")),
    )
    op.create_index("attained_by_time", "attained", ["at"])
    op.create_table(
        "streak",
        *(Column(name, Text, primary_key=True) for name in ("scene", "field")),
        Column("misses", NUMBER),
        Column("since", Text),
    )

"""The index of owners, the marks of who was erased, and the count of tombstones.

Programs between the two revisions made these tables at their first use, so each may be there. One
from before the first revision has `customer` alone.
"""

from typing import Any

from alembic import op
from sqlalchemy import BigInteger, CheckConstraint, Column, Integer, LargeBinary, Text

revision = "0002"
down_revision = "0001"

NUMBER = BigInteger().with_variant(Integer, "sqlite")
SINGLE: dict[str, list[tuple[str, Any]]] = {
    "kek": [("generation", Text)],
    "erased": [("lines", NUMBER)],
    "tombstone": [("lines", NUMBER)],
    "owner_key": [("wrapped", LargeBinary), ("complete", Integer)],
}


def upgrade() -> None:
    for name, columns in SINGLE.items():
        op.create_table(
            name,
            Column("only", Integer, primary_key=True, autoincrement=False),
            *(Column(column, kind, nullable=False) for column, kind in columns),
            CheckConstraint('"only" = 1', f"{name}_only"),
            if_not_exists=True,
        )
    op.create_table(
        "owner",
        Column("handle", LargeBinary, primary_key=True),
        Column("subject", Text),
        Column("seq", NUMBER, nullable=False),
        sqlite_with_rowid=False,
        if_not_exists=True,
    )
    op.create_table(
        "ended",
        Column("line", NUMBER, nullable=False),
        Column("mark", LargeBinary, nullable=False),
        if_not_exists=True,
    )
    op.create_index("ended_line", "ended", ["line"], if_not_exists=True)

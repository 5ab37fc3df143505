"""The entries of the register, and the proposals that wait for a person."""

from alembic import op
from sqlalchemy import BigInteger, Column, Integer, LargeBinary, Text

from steward.storage import append_only

revision = "0001"
down_revision = None

NUMBER = BigInteger().with_variant(Integer, "sqlite")


def upgrade() -> None:
    op.create_table(
        "entry",
        Column("number", NUMBER, primary_key=True, autoincrement=False),
        *(Column(name, Text, nullable=False) for name in ("at", "kind", "about", "open")),
        *(Column(name, LargeBinary, nullable=False) for name in ("sealed", "digest")),
        sqlite_strict=True,
    )
    op.create_index("entry_about", "entry", ["about", "kind", "number"])
    op.create_index("entry_kind", "entry", ["kind", "number"])
    names = ("entry_stays", "entry_remains")
    append_only.protect(op.get_bind(), "entry", "the register is append-only", names)
    op.create_table(
        "waiting",
        Column("number", NUMBER, primary_key=True, autoincrement=False),
        Column("subject", Text, nullable=False),
        Column("deadline", NUMBER, nullable=False),
    )

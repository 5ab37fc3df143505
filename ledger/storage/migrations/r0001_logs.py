"""The tables of the consent log and of the state log."""

from alembic import op
from sqlalchemy import BigInteger, Column, Integer, LargeBinary, String

revision = "0001"
down_revision = None

NUMBER = BigInteger().with_variant(Integer, "sqlite")


def upgrade() -> None:
    for prefix in ("", "state_"):
        for name in ("head", "cosigned"):
            op.create_table(
                f"{prefix}{name}",
                Column("id", Integer, primary_key=True),
                Column("size", NUMBER, nullable=False),
                Column("note", String, nullable=False),
            )
        op.create_table(
            f"{prefix}bundle",
            Column("index", NUMBER, primary_key=True),
            Column("data", LargeBinary, nullable=False),
        )
        op.create_table(
            f"{prefix}tile",
            Column("level", Integer, primary_key=True),
            Column("index", NUMBER, primary_key=True),
            Column("data", LargeBinary, nullable=False),
        )
    op.create_table(
        "sealed",
        Column("index", NUMBER, primary_key=True),
        Column("tag", LargeBinary, nullable=False, index=True),
        Column("data", LargeBinary, nullable=False),
    )
    op.create_table(
        "idempotency",
        Column("key", String, primary_key=True),
        Column("digest", LargeBinary, nullable=False),
        Column("first", NUMBER, nullable=False),
    )
    op.create_table(
        "state_bucket",
        Column("number", Integer, primary_key=True),
        Column("root", LargeBinary, nullable=False),
        Column("records", LargeBinary, nullable=False),
    )

"""The tables of a read log and of its private index."""

from alembic import op
from sqlalchemy import BigInteger, Column, Integer, LargeBinary, String

revision = "0001"
down_revision = None

NUMBER = BigInteger().with_variant(Integer, "sqlite")


def upgrade() -> None:
    _log()
    for names, runs in (("owner", "run"), ("member", "member_run")):
        op.create_table(
            names,
            Column("bundle", NUMBER, primary_key=True, autoincrement=False),
            Column("names", LargeBinary, nullable=False),
        )
        op.create_table(
            runs,
            Column("number", NUMBER, primary_key=True, autoincrement=False),
            Column("heads", LargeBinary, nullable=False),
            Column("at", LargeBinary, nullable=False),
        )
    op.create_table(
        "list",
        Column("entry", NUMBER, primary_key=True, autoincrement=False),
        Column("first", NUMBER, nullable=False, unique=True),
        Column("data", LargeBinary, nullable=False),
    )


def _log() -> None:
    for name in ("head", "cosigned"):
        op.create_table(
            name,
            Column("id", Integer, primary_key=True),
            Column("size", NUMBER, nullable=False),
            Column("note", String, nullable=False),
        )
    op.create_table(
        "bundle",
        Column("index", NUMBER, primary_key=True),
        Column("data", LargeBinary, nullable=False),
    )
    op.create_table(
        "tile",
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

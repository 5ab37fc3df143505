"""API keys of services, and which entries of read logs each was used for."""

from alembic import op
from sqlalchemy import BigInteger, Column, Integer, String

revision = "0001"
down_revision = None

NUMBER = BigInteger().with_variant(Integer, "sqlite")


def upgrade() -> None:
    op.create_table(
        "api_key",
        Column("id", String, primary_key=True),
        Column("service", String, nullable=False),
        Column("digest", String, nullable=False),
        Column("scenes", String, nullable=False),
        Column("endpoints", String, nullable=False),
        Column("created", String, nullable=False),
        Column("expires", String, nullable=False),
        Column("revoked", String),
        Column("replaces", String),
    )
    op.create_table(
        "use",
        Column("log", String, primary_key=True),
        Column("first", NUMBER, primary_key=True, autoincrement=False),
        Column("count", NUMBER, nullable=False),
        Column("api_key", String, nullable=False),
        Column("at", String, nullable=False),
    )

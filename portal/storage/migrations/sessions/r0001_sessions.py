"""Sessions, and values that can be taken once."""

from alembic import op
from sqlalchemy import BigInteger, Column, Integer, LargeBinary, String

revision = "0001"
down_revision = None

NUMBER = BigInteger().with_variant(Integer, "sqlite")


def upgrade() -> None:
    op.create_table(
        "session",
        Column("digest", LargeBinary, primary_key=True),
        Column("kind", String, nullable=False),
        Column("subject", String, nullable=False),
        Column("began", NUMBER, nullable=False),
        Column("used", NUMBER, nullable=False, index=True),
        Column("generation", Integer, nullable=False),
        Column("content", LargeBinary, nullable=False),
    )
    op.create_index("ix_session_subject", "session", ["kind", "subject"])
    op.create_table(
        "one_time",
        Column("digest", LargeBinary, primary_key=True),
        Column("kind", String, nullable=False),
        Column("owner", LargeBinary, index=True),
        Column("expires", NUMBER, nullable=False, index=True),
        Column("content", LargeBinary, nullable=False),
    )

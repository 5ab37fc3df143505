"""Adds requests to be erased that wait, and what binds the keys of customers who return."""

from alembic import op
from sqlalchemy import BigInteger, Column, Integer, LargeBinary, String

revision = "0003"
down_revision = "0002"
_NUMBER = BigInteger().with_variant(Integer, "sqlite")


def upgrade() -> None:
    op.create_table(
        "departure",
        Column("subject", String, primary_key=True),
        Column("requested", _NUMBER, nullable=False),
        Column("due", _NUMBER, nullable=False),
        Column("locale", String, nullable=False),
    )
    op.create_table(
        "returning_key",
        Column("tag", LargeBinary, primary_key=True),
        Column("sealed", LargeBinary, nullable=False),
    )

"""The newest checkpoint of each log."""

from alembic import op
from sqlalchemy import BigInteger, Column, Integer, LargeBinary, Text

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "seen",
        Column("origin", Text, primary_key=True),
        Column("size", BigInteger().with_variant(Integer, "sqlite"), nullable=False),
        Column("root", LargeBinary, nullable=False),
        Column("note", Text, nullable=False),
    )

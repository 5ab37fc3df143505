"""What became of each answer; of those of earlier versions nothing is known."""

from alembic import op
from sqlalchemy import BigInteger, Column, Integer, LargeBinary

revision = "0003"
down_revision = "0002"

NUMBER = BigInteger().with_variant(Integer, "sqlite")


def upgrade() -> None:
    op.create_table(
        "delivery",
        Column("bundle", NUMBER, primary_key=True, autoincrement=False),
        Column("marks", LargeBinary, nullable=False),
        Column("missed", LargeBinary, nullable=False),
    )

"""How much of each quota is reserved in its window."""

from alembic import op
from sqlalchemy import BigInteger, Column, Integer, String

revision = "0001"
down_revision = None

NUMBER = BigInteger().with_variant(Integer, "sqlite")


def upgrade() -> None:
    op.create_table(
        "reserved",
        Column("service", String, primary_key=True),
        Column("scene", String, primary_key=True),
        Column("counter", String, primary_key=True),
        Column("window", NUMBER, nullable=False),
        Column("amount", NUMBER, nullable=False),
    )

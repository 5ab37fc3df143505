"""The customers' wrapped data keys, the active generation, and the applied erasures."""

from alembic import op
from sqlalchemy import BigInteger, CheckConstraint, Column, Integer, LargeBinary, Text

revision = "0001"
down_revision = None

NUMBER = BigInteger().with_variant(Integer, "sqlite")


def upgrade() -> None:
    op.create_table(
        "customer",
        Column("subject", Text, primary_key=True),
        Column("wrapped", LargeBinary, nullable=False),
    )
    for name, column in (
        ("kek", Column("generation", Text, nullable=False)),
        ("erased", Column("lines", NUMBER, nullable=False)),
    ):
        op.create_table(
            name,
            Column("only", Integer, primary_key=True, autoincrement=False),
            column,
            CheckConstraint('"only" = 1', f"{name}_only"),
        )

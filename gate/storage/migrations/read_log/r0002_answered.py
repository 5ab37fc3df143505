"""Which set of customers an entry about many of them names.

Entries of earlier versions name no such set, so there are no rows for them.
"""

from alembic import op
from sqlalchemy import BigInteger, Column, Integer, LargeBinary

revision = "0002"
down_revision = "0001"

NUMBER = BigInteger().with_variant(Integer, "sqlite")


def upgrade() -> None:
    op.create_table(
        "answered",
        Column("entry", NUMBER, primary_key=True, autoincrement=False),
        Column("digest", LargeBinary, nullable=False),
    )

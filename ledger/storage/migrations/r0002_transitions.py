"""The transitions of the map. Earlier ones were not recorded: the map is stored as it is."""

from alembic import op
from sqlalchemy import BigInteger, Column, Integer, LargeBinary, column, insert, select, table

revision = "0002"
down_revision = "0001"

NUMBER = BigInteger().with_variant(Integer, "sqlite")
TRANSITION = table("state_transition", column("index", NUMBER), column("data", LargeBinary))
HEAD = table("state_head", column("size", NUMBER))
BUCKET = table("state_bucket", column("number", Integer), column("records", LargeBinary))
BASE = b"\x00"  # ledger.statemap.transition


def upgrade() -> None:
    op.create_table(
        "state_transition",
        Column("index", NUMBER, primary_key=True),
        Column("data", LargeBinary, nullable=False),
    )
    connection = op.get_bind()
    size = connection.execute(select(HEAD.c.size)).scalar()
    if size:
        records = connection.execute(select(BUCKET.c.records).order_by(BUCKET.c.number))
        base = BASE + b"".join(row[0] for row in records)
        connection.execute(insert(TRANSITION).values({"index": size - 1, "data": base}))

"""The history of contract checks, and of agreements' health by day."""

from alembic import op
from sqlalchemy import BigInteger, Column, Integer, Text

revision = "0001"
down_revision = None

NUMBER = BigInteger().with_variant(Integer, "sqlite")


def upgrade() -> None:
    op.create_table("run", Column("at", Text, primary_key=True))
    op.create_table(
        "attained",
        *(Column(name, Text) for name in ("at", "scene")),
        *(Column(name, NUMBER) for name in ("checks", "kept")),
    )
    op.create_index("attained_by_time", "attained", ["at"])
    op.create_table(
        "miss",
        *(Column(name, Text) for name in ("at", "scene", "field", "aspect", "wanted", "found")),
    )
    op.create_index("miss_by_time", "miss", ["at"])
    op.create_table(
        "streak",
        *(Column(name, Text, primary_key=True) for name in ("scene", "field")),
        Column("misses", NUMBER),
        Column("since", Text),
    )
    op.create_table(
        "trend",
        Column("day", Text, primary_key=True),
        Column("customers", NUMBER, nullable=False),
        *(Column(name, NUMBER) for name in ("coverage", "freshness", "dependence")),
    )

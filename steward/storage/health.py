"""The tables of health: the history of contract checks, and of agreements' health by day.

    home/health.sqlite, or the schema `health`

Times are texts in UTC that sort by time.
"""

from sqlalchemy import Column, Index, MetaData, Table, Text

from ledger.storage.database import Schema
from ledger.storage.log_rows import Number

_METADATA = MetaData()

RUN = Table("run", _METADATA, Column("at", Text, primary_key=True))
ATTAINED = Table(  # of one run and scene: checks, and how many of them were met
    "attained",
    _METADATA,
    Column("at", Text),
    Column("scene", Text),
    Column("checks", Number),
    Column("kept", Number),
    Index("attained_by_time", "at"),
)
MISS = Table(
    "miss",
    _METADATA,
    Column("seq", Number, primary_key=True),
    Column("at", Text),
    Column("scene", Text),
    Column("field", Text),
    Column("aspect", Text),
    Column("wanted", Text),
    Column("found", Text),
    Index("miss_by_time", "at"),
)
STREAK = Table(  # of consecutive misses of a field, the first at `since`
    "streak",
    _METADATA,
    Column("scene", Text, primary_key=True),
    Column("field", Text, primary_key=True),
    Column("misses", Number),
    Column("since", Text),
)
TREND = Table(  # shares in ten-thousandths; NULL: no use to count
    "trend",
    _METADATA,
    Column("day", Text, primary_key=True),
    Column("customers", Number, nullable=False),
    Column("coverage", Number),
    Column("freshness", Number),
    Column("dependence", Number),
)

HEALTH = Schema("health", "health.sqlite", _METADATA, "0002", "steward.storage.migrations.health")

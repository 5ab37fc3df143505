"""The history of agreement health: one row per day, the last count of that day.

Table `trend` of the schema `health`:  day, customers, coverage, freshness, dependence
"""

from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

from sqlalchemy import bindparam, delete, insert, select

from ledger.storage import database
from steward.agreements.health import HealthReport
from steward.storage.health import HEALTH, TREND

_REMOVE = delete(TREND).where(TREND.c.day == bindparam("on"))
_ADD = insert(TREND)
_LAST = select(TREND).order_by(TREND.c.day.desc()).limit(bindparam("days"))


@dataclass(frozen=True, slots=True)
class Day:
    """One day's shares in ten-thousandths; None where there were no uses to count."""

    day: date
    customers: int
    coverage: int | None
    freshness: int | None
    dependence: int | None


class Trend:
    """Stores the daily counts of the data directory `home`. Thread-safe.

    Raises SchemaVersionError, DatabaseError.
    """

    def __init__(self, home: Path) -> None:
        self._database = database.of(home)
        self._engine = self._database.engine(HEALTH)

    def note(self, customers: int, total: HealthReport, at: datetime) -> None:
        """Store the counts at `at`, replacing an earlier count of the same day. Durable."""
        day = at.date().isoformat()
        row = {
            "day": day,
            "customers": customers,
            "coverage": total.coverage,
            "freshness": total.freshness,
            "dependence": total.dependence,
        }
        with database.exclusive(self._engine) as connection:
            connection.execute(_REMOVE, {"on": day})
            connection.execute(_ADD, row)

    def last(self, days: int) -> list[Day]:
        """The last `days` counted days, oldest first."""
        with database.reading(self._engine) as connection:
            rows = connection.execute(_LAST, {"days": days}).all()
        return [Day(date.fromisoformat(day), *figures) for day, *figures in reversed(rows)]

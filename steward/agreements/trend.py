"""The history of agreement health: one row per day, the last count of that day.

home/health.sqlite, table trend:  day, customers, coverage, freshness, dependence
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

from steward.agreements.health import HealthReport

_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS trend (day TEXT PRIMARY KEY, customers INTEGER NOT NULL,"
    " coverage INTEGER, freshness INTEGER, dependence INTEGER)"
)


@dataclass(frozen=True, slots=True)
class Day:
    """One day's shares in ten-thousandths; None where there were no uses to count."""

    day: date
    customers: int
    coverage: int | None
    freshness: int | None
    dependence: int | None


class Trend:
    """Stores daily counts. Thread-safe; durable when `note` returns."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with self._database() as database:
            database.execute(_SCHEMA)

    def note(self, customers: int, total: HealthReport, at: datetime) -> None:
        """Store the counts at `at`, replacing an earlier count of the same day."""
        figures = total.coverage, total.freshness, total.dependence
        row = [at.date().isoformat(), customers, *figures]
        with self._database() as database:
            database.execute("INSERT OR REPLACE INTO trend VALUES (?, ?, ?, ?, ?)", row)

    def last(self, days: int) -> list[Day]:
        """The last `days` counted days, oldest first."""
        query = "SELECT * FROM trend ORDER BY day DESC LIMIT ?"
        with self._database() as database:
            rows = database.execute(query, [days]).fetchall()
        return [Day(date.fromisoformat(day), *figures) for day, *figures in reversed(rows)]

    @contextmanager
    def _database(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self._path, isolation_level=None, timeout=30)) as database:
            yield database

"""Monthly totals and their trend from `/v1/series`, with intervals and the true error."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from examples.crm import database
from examples.crm.gate_calls import Desk

SCENE, SERIES, SERVICE = "contact-statistics", "contacts", "capacity-office"
KINDS = ("call", "payment")
COVERED_BY_BAR = 2.0  # a bar of the gate is two standard deviations of the noise: 95 %


@dataclass(frozen=True, slots=True)
class MonthTotal:
    """Events in a month. `bar`: half of the interval of 95 %. `truth`: in the CRM's own rows."""

    start: date
    count: float
    bar: float
    truth: int

    @property
    def error(self) -> float:
        """Relative; of a month without events, infinite unless none were counted."""
        difference = abs(self.count - self.truth)
        return difference / self.truth if self.truth else float("inf") if difference else 0.0


@dataclass(frozen=True, slots=True)
class Trend:
    """Events more or fewer from month to month. `bar`: half of the interval of 95 %."""

    slope: float
    bar: float
    truth: float


def months(folder: Path, desk: Desk) -> list[MonthTotal]:
    """All measured months, in order; none before the first release. Raises CallError."""
    truth = _truth(folder)
    return [
        MonthTotal(
            start := date.fromisoformat(each["start"]),
            float(each["total"]["count"]),
            float(each["total"]["bar"]),
            truth.get(start, 0),
        )
        for each in desk.series(SCENE, SERIES)
    ]


def trend(totals: Sequence[MonthTotal]) -> Trend:
    """The straight line of least squares. Its bar is that of the noise alone. At least two."""
    at = np.arange(len(totals)) - (len(totals) - 1) / 2
    spread = float(at @ at)
    noise = max(each.bar for each in totals) / COVERED_BY_BAR
    counted, true = (
        float(at @ np.array(figures, dtype=float)) / spread
        for figures in ([t.count for t in totals], [t.truth for t in totals])
    )
    return Trend(counted, COVERED_BY_BAR * noise / spread**0.5, true)


def lines(totals: Sequence[MonthTotal]) -> Iterator[str]:
    """What is printed."""
    for each in totals:
        low, high = each.count - each.bar, each.count + each.bar
        yield (
            f"{each.start:%Y-%m}  {each.count:9.0f}  {low:.0f} to {high:.0f}"
            f"  true {each.truth}  error {each.error:.2%}"
        )
    if len(totals) > 1:
        line = trend(totals)
        yield (
            f"trend {line.slope:+.1f} a month, {line.slope - line.bar:+.1f} to"
            f" {line.slope + line.bar:+.1f}, true {line.truth:+.1f}"
        )
        worst = max(each.error for each in totals)
        yield f"worst month: {worst:.2%} from the truth; the goal is 3.20 %"


def _truth(folder: Path) -> Mapping[date, int]:
    query = (
        "SELECT substr(happened_at, 1, 7) AS month, count(*) AS events FROM event"
        " WHERE kind IN (?, ?) GROUP BY month"
    )
    with database.reading(folder) as connection:
        rows: list[Any] = connection.execute(query, KINDS).fetchall()
    return {date.fromisoformat(f"{row['month']}-01"): int(row["events"]) for row in rows}

"""Clause T1 of specs/health.md."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from steward.agreements.health import HealthReport
from steward.agreements.trend import Day, Trend

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


def report(granted: int) -> HealthReport:
    """A report of so many granted uses out of ten."""
    return HealthReport(10, granted, 0, 0, 0)


def test_t1_the_last_count_of_a_day_stands_for_it(home: Path) -> None:
    trend = Trend(home)
    trend.note(3, report(4), NOON)
    trend.note(5, report(6), NOON + timedelta(hours=11))
    trend.note(5, report(7), NOON + timedelta(days=2))
    again = Trend(home)
    assert again.last(90) == [
        Day(date(2026, 11, 21), 5, 6_000, None, report(6).dependence),
        Day(date(2026, 11, 23), 5, 7_000, None, report(7).dependence),
    ]


def test_t1_only_the_last_days_are_shown_oldest_first(home: Path) -> None:
    trend = Trend(home)
    for day in range(5):
        trend.note(day, report(5), NOON + timedelta(days=day))
    assert [each.customers for each in trend.last(3)] == [2, 3, 4]

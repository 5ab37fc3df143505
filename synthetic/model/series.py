"""A time series over events: one noisy count for each period, and for each category if it has any.

    {"name": "contacts", "every": "month", "zone": "Europe/Berlin", "start": "2026-10-01",
     "end": "2026-11-01", "categories": ["call", "visit"], "noise": "discrete gaussian",
     "scale": "60/1", "sensitivity": 7, "values": [7011, 812]}

Of one customer at most `sensitivity` events of a period are counted, over all categories together.
So a customer moves the vector of counts by at most that in L1 norm, and hence in L2 norm, which is
reached if all their events are of one category: rho = sensitivity² / (2 scale²) for each period
(Canonne, Kamath & Steinke 2020, Theorem 4, on the multivariate discrete Gaussian). The periods of a
customer add up. A series without categories has one value.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from fractions import Fraction
from math import ceil, sqrt
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from synthetic.privacy.budget import GAUSSIAN_NOISE, PrivacyLoss, exact, gaussian_loss, parse_exact

COVERED = 2  # standard deviations on each side of a value: they hold 95.4 % of the noise


class Every(StrEnum):
    """The length of a period: a calendar month, or a week from Monday on."""

    MONTH = "month"
    WEEK = "week"

    @property
    def a_year(self) -> int:
        """The most periods that end in one calendar year."""
        return 12 if self is Every.MONTH else 53

    def begins(self, day: date) -> bool:
        """Whether a period begins on this day."""
        return day.day == 1 if self is Every.MONTH else day.weekday() == 0

    def after(self, start: date) -> date:
        """The beginning of the next period."""
        if self is Every.WEEK:
            return start + timedelta(days=7)
        years, month = divmod(start.month, 12)
        return date(start.year + years, month + 1, 1)


@dataclass(frozen=True, slots=True)
class SeriesTerms:
    """What is measured in every period. `sigma`: standard deviation of the noise of each value."""

    name: str
    every: Every
    zone: str  # IANA, in which periods begin
    at_most: int  # events that are counted of one customer in one period
    sigma: int
    categories: tuple[str, ...] = ()

    @property
    def loss(self) -> PrivacyLoss:
        """Of one period."""
        return gaussian_loss(self.at_most, Fraction(self.sigma) ** 2)

    def ended(self, since: date, until: date | None, at: datetime) -> Iterator["Period"]:
        """The periods from `since` on that have ended at `at`, none beyond `until`."""
        start = since
        while True:
            end = self.every.after(start)
            period = Period(start, end)
            if (until is not None and end > until) or period.bounds(self.zone)[1] > at:
                return
            yield period
            start = end


@dataclass(frozen=True, slots=True)
class Period:
    """Days [start, end)."""

    start: date
    end: date

    def bounds(self, zone: str) -> tuple[datetime, datetime]:
        """Its instants [from, to), aware."""
        here = ZoneInfo(zone)
        return (
            datetime.combine(self.start, time(), here),
            datetime.combine(self.end, time(), here),
        )


@dataclass(frozen=True, slots=True)
class PeriodCounts:
    """Exact counts of one period, clipped for each customer: personal data, never released."""

    terms: SeriesTerms
    period: Period
    values: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class PeriodMeasurement:
    """Noisy counts of one period. `values`: int64, one for each category; may be negative."""

    terms: SeriesTerms
    period: Period
    values: NDArray[np.int64]

    @property
    def loss(self) -> PrivacyLoss:
        return self.terms.loss

    @property
    def bar(self) -> int:
        """Each value is off by noise of at most this, with probability 0.95 or more."""
        return COVERED * self.terms.sigma

    @property
    def total(self) -> int:
        return int(self.values.sum())

    @property
    def total_bar(self) -> int:
        """The total is off by noise of at most this, with probability 0.95 or more."""
        return ceil(COVERED * self.terms.sigma * sqrt(len(self.values)))

    def shown(self, category: str) -> int | None:
        """A category's count, not below 0; None if the period was measured without it."""
        if category not in self.terms.categories:
            return None
        return max(0, int(self.values[self.terms.categories.index(category)]))

    def body(self) -> dict[str, object]:
        terms = self.terms
        return {
            "name": terms.name,
            "every": terms.every.value,
            "zone": terms.zone,
            "start": self.period.start.isoformat(),
            "end": self.period.end.isoformat(),
            "categories": [*terms.categories],
            "noise": GAUSSIAN_NOISE,
            "scale": exact(Fraction(terms.sigma)),
            "sensitivity": terms.at_most,
            "values": self.values.tolist(),
        }


def from_body(body: Mapping[str, Any]) -> PeriodMeasurement:
    """The inverse of `PeriodMeasurement.body`. Raises KeyError, TypeError, ValueError."""
    categories = tuple(map(str, body["categories"]))
    scale, at_most = parse_exact(body["scale"]), int(body["sensitivity"])
    _require(body["noise"] == GAUSSIAN_NOISE, f"noise is {body['noise']!r}")
    _require(scale.denominator == 1 and scale > 0, f"scale is {scale}, want a whole number")
    _require(at_most > 0, f"sensitivity is {at_most}, want 1 or more")
    terms = SeriesTerms(
        str(body["name"]),
        Every(body["every"]),
        str(body["zone"]),
        at_most,
        int(scale),
        categories,
    )
    period = Period(date.fromisoformat(body["start"]), date.fromisoformat(body["end"]))
    aligned = terms.every.begins(period.start) and terms.every.after(period.start) == period.end
    _require(aligned, f"{period.start} to {period.end} is no {terms.every}")
    values = np.array(body["values"], dtype=np.int64)
    _require(values.shape == (max(1, len(categories)),), f"{values.shape} values")
    return PeriodMeasurement(terms, period, values)


def _require(condition: bool, otherwise: str) -> None:
    if not condition:
        raise ValueError(f"not a measured period of a series: {otherwise}")

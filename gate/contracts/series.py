"""The time series that a contract for statistics declares: which events are counted, and how.

- property: series
  value:
    - name: contacts
      title: {en: Contacts by month}
      table: event             # of the source, beside the customers' own
      customer: customer_id    # its column with the customer's id
      time: happened_at        # a date, or a time; one without an offset is in UTC
      category: {column: kind, values: [call, visit]}   # optional; other events do not count
      every: month             # or week, from Monday on
      zone: Europe/Berlin      # in which periods begin
      since: "2026-01-01"      # the first period
      until: "2027-01-01"      # optional: no period ends later
      at_most: 7               # events counted of one customer in one period
      sigma: 60                # standard deviation of the noise of each value
      a_year: 24               # optional: the most periods that are measured in one year
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from gate.contracts import odcs
from gate.contracts.odcs import ContractError, Text
from synthetic.model.series import Every, SeriesTerms
from synthetic.privacy.budget import PrivacyLoss

KEYS = frozenset(
    {"a_year", "at_most", "category", "customer", "every", "name", "sigma", "since", "table"}
    | {"time", "title", "until", "zone"}
)
OPTIONAL = frozenset({"a_year", "category", "until"})
MAX_CATEGORIES = 20
MAX_A_YEAR = 520  # periods: ten years of weeks
MAX_SIGMA = 2**20  # with noise of a million events a value is useless


@dataclass(frozen=True, slots=True)
class EventSeries:
    """One declared series. `category`: the column of `terms.categories`, if there are any."""

    terms: SeriesTerms
    title: Text
    table: str
    customer: str
    time: str
    category: str | None
    since: date
    until: date | None
    a_year: int  # the most periods that are measured in one calendar year

    @property
    def name(self) -> str:
        return self.terms.name

    @property
    def yearly(self) -> PrivacyLoss:
        """The most that it costs a customer in a calendar year."""
        return PrivacyLoss(Fraction(self.a_year) * self.terms.loss.rho)


def declared(values: Any) -> tuple[EventSeries, ...]:
    """The series of a contract. Raises ContractError."""
    found = tuple(_series(each) for each in odcs.sequence(values, "series"))
    names = [each.name for each in found]
    odcs.want(len({*names}) == len(names), f"two series have one name: {names}; rename one")
    return found


def _series(declared: Any) -> EventSeries:
    with odcs.at(odcs.line(declared)):
        odcs.require_keys(declared, KEYS, "a series")
        missing = sorted(KEYS - OPTIONAL - declared.keys())
        odcs.want(not missing, f"a series lacks {missing}: add them")
        every = odcs.one_of(Every, declared["every"], "every")
        column, categories = _category(declared["category"]) if "category" in declared else ("", ())
        terms = SeriesTerms(
            odcs.slug(declared["name"]),
            every,
            _zone(declared["zone"]),
            _limited(declared["at_most"], "at_most", MAX_SIGMA),
            _limited(declared["sigma"], "sigma", MAX_SIGMA),
            categories,
        )
        day = partial(_day, every=every)
        since = day(declared["since"], "since")
        until = day(declared["until"], "until") if "until" in declared else None
        odcs.want(until is None or until > since, f"until is {until}, want a day after {since}")
        return EventSeries(
            terms,
            odcs.text(declared["title"]),
            odcs.string(declared["table"], "table"),
            odcs.string(declared["customer"], "customer"),
            odcs.string(declared["time"], "time"),
            column or None,
            since,
            until,
            _limited(declared.get("a_year", every.a_year), "a_year", MAX_A_YEAR),
        )


def _category(declared: Any) -> tuple[str, tuple[str, ...]]:
    odcs.require_keys(declared, ("column", "values"), "the category of a series")
    odcs.want({*declared} == {"column", "values"}, "a category wants its column and its values")
    values: Sequence[str] = odcs.strings(declared["values"], "values")
    odcs.want(
        0 < len(values) <= MAX_CATEGORIES,
        f"{len(values)} values of a category, want 1 to {MAX_CATEGORIES}",
    )
    return odcs.string(declared["column"], "column"), tuple(values)


def _zone(name: Any) -> str:
    try:
        return ZoneInfo(odcs.string(name, "zone")).key
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ContractError(f"zone is {name!r}, want one such as UTC or Europe/Berlin") from error


def _limited(number: Any, name: str, most: int) -> int:
    found = odcs.positive(number, name)
    odcs.want(found <= most, f"{name} is {found}, want at most {most}")
    return found


def _day(value: Any, name: str, every: Every) -> date:
    """The day on which a period begins."""
    try:
        day = date.fromisoformat(str(value))
    except ValueError as error:
        raise ContractError(f"{name} is {value!r}, want a day such as 2026-01-01") from error
    kind = "the first of a month" if every is Every.MONTH else "a Monday"
    odcs.want(every.begins(day), f"{name} is {day}, want {kind}: no {every} begins on it")
    return day

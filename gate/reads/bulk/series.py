"""Counts the events of a period inside the source, at most so many of each customer.

    counted = series.clipped(table, declared, period, people)
    measure.events(counted, noise)  # noisy counts are all that leaves

Call it for people whom an entry of the read log names: see gate.reads.bulk.statistics. Of a
customer with more events than are counted, the earliest are kept: the choice depends on that
customer's events alone. Events without a customer or a time do not count.
"""

from datetime import UTC, date, datetime
from typing import Any, Protocol

import numpy as np

from gate.contracts.series import EventSeries
from gate.reads.bulk.authorised import reported
from gate.reads.sources.interface import SourceUnavailableError
from synthetic.model.series import Period, PeriodCounts


class EventTables(Protocol):
    """The tables of a source. Read-only, thread-safe."""

    def open(self, name: str, /) -> Any | None:
        """A table as an Ibis expression on a connection of its own; None if there is none."""
        ...


def clipped(tables: EventTables, series: EventSeries, period: Period, people: Any) -> PeriodCounts:
    """The counts of one period. `people`: an Arrow array of the ids that are counted, as texts.

    Raises SourceUnavailableError.
    """
    with reported():
        events = _first_of_each(_within(_events(tables, series), series, period), series, people)
        return PeriodCounts(series.terms, period, _counts(events, series))


def _events(tables: EventTables, series: EventSeries) -> Any:
    """Customer, time and category of every event."""
    table = tables.open(series.table)
    if table is None:
        raise SourceUnavailableError(
            f"the source has no table {series.table!r}, which the series {series.name} counts: "
            "correct the contract, or keep the events in a DuckDB file or PostgreSQL"
        )
    wanted = [each for each in (series.customer, series.time, series.category) if each]
    if missing := [each for each in wanted if each not in table.columns]:
        raise SourceUnavailableError(
            f"table {series.table!r} has no column {', '.join(missing)}; correct the series "
            f"{series.name} of the contract"
        )
    columns = {"customer": table[series.customer].cast("string"), "at": table[series.time]}
    if series.category:
        columns["category"] = table[series.category].cast("string")
    return table.select(**columns)


def _within(events: Any, series: EventSeries, period: Period) -> Any:
    kind = events["at"].type()
    if not (kind.is_date() or kind.is_timestamp()):
        raise SourceUnavailableError(
            f"column {series.time!r} of table {series.table!r} is {kind}, want a date or a time"
        )
    begin, end = _bounds(kind, series, period)
    at = events["at"]
    events = events.filter(events["customer"].notnull(), at >= begin, at < end)
    if series.category:
        events = events.filter(events["category"].isin(series.terms.categories))
    return events


def _bounds(kind: Any, series: EventSeries, period: Period) -> tuple[date, date]:
    """In the column's own type. A date is one of the zone, a time without an offset is in UTC."""
    if kind.is_date():
        return period.start, period.end
    begin, end = (each.astimezone(UTC) for each in period.bounds(series.terms.zone))
    return (begin, end) if kind.timezone else (_naive(begin), _naive(end))


def _naive(at: datetime) -> datetime:
    return at.replace(tzinfo=None)


def _first_of_each(events: Any, series: EventSeries, people: Any) -> Any:
    """Of each of these people the first events, at most as many as are counted."""
    import ibis
    import pyarrow as pa

    counted = ibis.memtable(pa.table({"customer": people}))
    theirs = events.semi_join(counted, "customer")
    order = [theirs[name] for name in theirs.columns if name != "customer"]
    place = ibis.row_number().over(ibis.window(group_by=theirs["customer"], order_by=order))
    numbered = theirs.mutate(place=place)
    return numbered.filter(numbered["place"] < series.terms.at_most)


def _counts(events: Any, series: EventSeries) -> Any:
    """int64, one for each category in the order of the contract."""
    if not series.category:
        return np.array([int(events.count().to_pyarrow().as_py())], dtype=np.int64)
    found = events.group_by("category").aggregate(events=events.count()).to_pyarrow().to_pydict()
    known = dict(zip(found["category"], found["events"], strict=True))
    return np.array([known.get(each, 0) for each in series.terms.categories], dtype=np.int64)

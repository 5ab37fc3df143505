"""Probes a source for contract health; no personal row leaves the source.

It observes the table's columns and types, the number of null values, and the last delivery of each
system, from the table of deliveries that the source contract names:

    system        as_of                 arrived
    core-banking  2026-11-21 05:00:00   2026-11-21 06:10:00     UTC
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from gate.contracts.sla import WHOLE
from gate.contracts.source import SourceContract
from gate.reads.sources.interface import SourceUnavailableError

LOGICAL = {  # Ibis type -> ODCS logicalType; other types keep their name
    "Boolean": "boolean",
    "Date": "date",
    "String": "string",
    "Timestamp": "timestamp",
    "Array": "array",
    "Struct": "object",
}
DELIVERY = {"system", "as_of", "arrived"}


class SourceTables(Protocol):
    """The tables of a source, as Ibis expressions: DuckDB, PostgreSQL, Spark and others."""

    def open(self, name: str) -> Any | None:
        """The table, or None if there is none. Raises SourceUnavailableError."""
        ...


@dataclass(frozen=True, slots=True)
class SourceDelivery:
    as_of: datetime  # the time that the values describe
    arrived: datetime


@dataclass(frozen=True, slots=True)
class SourceFacts:
    """Observations: `types` (ODCS names) and `nulls` by column, `rows`, `deliveries` by system."""

    types: Mapping[str, str]
    rows: int
    nulls: Mapping[str, int]
    deliveries: Mapping[str, SourceDelivery]


def observe(tables: SourceTables, source: SourceContract) -> SourceFacts:
    """Observe the source, with one scan for null values. Raises SourceUnavailableError."""
    table = tables.open(WHOLE)
    if table is None:
        raise SourceUnavailableError(f"no table {WHOLE!r}: restore it, or correct the contract")
    types = {name: _logical(kind) for name, kind in table.schema().items()}
    known = [name for name in source.items if name in types]
    rows, *nulls = _counts(table, known)
    counted = dict(zip(known, nulls, strict=True))
    return SourceFacts(types, rows, counted, _deliveries(tables, source.deliveries))


def _counts(table: Any, columns: list[str]) -> list[int]:
    """The number of rows, followed by the number of null values per column."""
    nulls = [table[name].isnull().sum().name(f"n{i}") for i, name in enumerate(columns)]
    counts = _fetched(table.aggregate([table.count().name("rows"), *nulls]))[0]
    return [int(each or 0) for each in counts.values()]


def _deliveries(tables: SourceTables, name: str | None) -> dict[str, SourceDelivery]:
    """The last delivery of each system; empty without a table of deliveries."""
    if name is None or (table := tables.open(name)) is None:
        return {}
    if missing := DELIVERY - {*table.columns}:
        raise SourceUnavailableError(f"table {name!r} has no {sorted(missing)}, want {DELIVERY}")
    newest = table.group_by("system").aggregate(
        as_of=table.as_of.argmax(table.arrived), arrived=table.arrived.max()
    )
    return {
        str(row["system"]): SourceDelivery(_utc(row["as_of"]), _utc(row["arrived"]))
        for row in _fetched(newest)
    }


def _fetched(expression: Any) -> list[dict[str, Any]]:
    try:
        rows: list[dict[str, Any]] = expression.to_pyarrow().to_pylist()
    except Exception as error:  # each engine raises its own
        raise SourceUnavailableError(f"the source cannot be read: {error}") from error
    return rows


def _logical(kind: Any) -> str:
    if kind.is_integer():
        return "integer"
    if kind.is_floating() or kind.is_decimal():
        return "number"
    name = type(kind).__name__
    return LOGICAL.get(name, name.lower())


def _utc(at: datetime) -> datetime:
    """Truncate to whole seconds, like our clock, so that a fresh delivery is not in the future."""
    known = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    return known.replace(microsecond=0)

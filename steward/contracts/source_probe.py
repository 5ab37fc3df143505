"""Probes a source for contract health; no personal row leaves the source.

It observes the table's columns and types, the number of missing values, whether the key is unique,
and the last delivery of each system, from the table of deliveries that the source contract names:

    system        as_of                 arrived
    core-banking  2026-11-21 05:00:00   2026-11-21 06:10:00     UTC
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Protocol

from gate.contracts.quality import Metric, QualityRule
from gate.contracts.source import RelatedTable, SourceContract
from gate.reads.sources.interface import SourceUnavailableError, without_values
from synthetic.model import counts

LOGICAL = {  # Ibis type -> ODCS logicalType; other types keep their name
    "Boolean": "boolean",
    "Date": "date",
    "String": "string",
    "Timestamp": "timestamp",
    "Array": "array",
    "Struct": "object",
}
TIMES = frozenset({"as_of", "arrived"})
DELIVERY = TIMES | {"system"}


class SourceTables(Protocol):
    """The tables of a source, as Ibis expressions: DuckDB, PostgreSQL, Spark and others."""

    @property
    def key(self) -> str:
        """The column with the customer's id."""
        ...

    def open(self, name: str) -> Any | None:
        """The table, or None if there is none. Raises SourceUnavailableError."""
        ...


@dataclass(frozen=True, slots=True)
class SourceDelivery:
    as_of: datetime  # the time that the values describe
    arrived: datetime


@dataclass(frozen=True, slots=True)
class KeyFacts:
    """The column with the customer's id: how many rows have none, and how many are surplus rows of
    a customer. None: there is no such column."""

    column: str
    nulls: int | None = 0
    surplus: int | None = 0

    @property
    def sound(self) -> bool:
        return self.nulls == 0 and self.surplus == 0


@dataclass(frozen=True, slots=True)
class SourceFacts:
    """Observations: `types` (ODCS names) and `nulls` by column, `rows`, `deliveries` by system.

    `nulls` counts NaN as well. `missing`: by column and rule, what its `missingValues` counts.
    `key`: None if it was not checked. `related`: the keys of further tables, by table.
    """

    types: Mapping[str, str]
    rows: int
    nulls: Mapping[str, int]
    deliveries: Mapping[str, SourceDelivery]
    key: KeyFacts | None = None
    related: Mapping[str, KeyFacts] = field(default_factory=dict)
    missing: Mapping[tuple[str, QualityRule], int] = field(default_factory=dict)


def observe(tables: SourceTables, source: SourceContract) -> SourceFacts:
    """Observe the source, with one scan for null values. Raises SourceUnavailableError."""
    table = _opened(tables, source.table)
    types = {name: _logical(kind) for name, kind in table.schema().items()}
    known = [name for name in source.items if name in types]
    ruled = [
        (name, rule)
        for name in known
        for rule in source.items[name].rules
        if rule.metric is Metric.MISSING_VALUES
    ]
    nulls = [counts.missing(table[name]) for name in known]
    listed = [_counted_as_missing(table[name], rule.missing) for name, rule in ruled]
    rows, *missing = _counts(table, [*nulls, *listed])
    return SourceFacts(
        types,
        rows,
        dict(zip(known, missing, strict=False)),
        _deliveries(tables, source.deliveries),
        _key(table, tables.key),
        {each.name: _related_key(tables, each) for each in source.related},
        dict(zip(ruled, missing[len(known) :], strict=True)),
    )


def key_facts(tables: SourceTables, name: str) -> KeyFacts:
    """Whether each row of the table has a customer of its own. Raises SourceUnavailableError."""
    return _key(_opened(tables, name), tables.key)


def _opened(tables: SourceTables, name: str) -> Any:
    if (table := tables.open(name)) is None:
        raise SourceUnavailableError(f"no table {name!r}: restore it, or correct the contract")
    return table


def _counts(table: Any, tests: list[Any]) -> list[int]:
    """The number of rows, followed by the number of those that pass each test."""
    sums = [test.sum().name(f"n{i}") for i, test in enumerate(tests)]
    row = _fetched(table.aggregate([table.count().name("rows"), *sums]))[0]
    return [int(each or 0) for each in row.values()]


def _counted_as_missing(column: Any, values: tuple[str | None, ...]) -> Any:
    texts = [each for each in values if each is not None]
    listed = column.cast("string").isin(texts).fill_null(False)
    return listed | counts.missing(column) if None in values else listed


def _key(table: Any, key: str) -> KeyFacts:
    """Whether each row has a customer of its own. A blank id is none."""
    if key not in table.columns:
        return KeyFacts(key, None, None)
    column = table[key]
    lacking = counts.missing(column) | (column.cast("string").strip() == "").fill_null(False)
    (sums,) = _fetched(
        table.aggregate(
            rows=table.count(), nulls=lacking.sum(), customers=column.nunique(where=~lacking)
        )
    )
    nulls = int(sums["nulls"] or 0)
    return KeyFacts(key, nulls, int(sums["rows"]) - nulls - int(sums["customers"] or 0))


def _related_key(tables: SourceTables, related: RelatedTable) -> KeyFacts:
    found = _key(_opened(tables, related.name), related.key)
    return replace(found, column=f"{related.name}.{related.key}")


def _deliveries(tables: SourceTables, name: str | None) -> dict[str, SourceDelivery]:
    """The last delivery of each system; empty without a table of deliveries.

    A row that lacks its system or one of its times is no delivery.
    """
    if name is None or (table := tables.open(name)) is None:
        return {}
    if missing := DELIVERY - {*table.columns}:
        raise SourceUnavailableError(
            f"table {name!r} has no {sorted(missing)}, want {sorted(DELIVERY)}"
        )
    for each in sorted(TIMES):
        if not (kind := table[each].type()).is_timestamp():
            raise SourceUnavailableError(
                f"table {name!r}, column {each!r}: found {_logical(kind)}, want timestamp"
            )
    whole = table.filter(table.system.notnull() & table.as_of.notnull() & table.arrived.notnull())
    newest = whole.group_by("system").aggregate(
        as_of=whole.as_of.argmax(whole.arrived), arrived=whole.arrived.max()
    )
    return {
        str(row["system"]): SourceDelivery(_utc(row["as_of"]), _utc(row["arrived"]))
        for row in _fetched(newest)
    }


def _fetched(expression: Any) -> list[dict[str, Any]]:
    try:
        rows: list[dict[str, Any]] = expression.to_pyarrow().to_pylist()
    except Exception as error:  # each engine raises its own
        raise SourceUnavailableError(
            f"the source cannot be read: {without_values(error)}"
        ) from error
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

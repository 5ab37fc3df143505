"""Joins further tables of one row a customer to the table of customers, in SQL of either engine.

    SELECT t0."id", t0."name", t1."minutes"
    FROM "customer" AS t0 LEFT JOIN "usage" AS t1 ON t1."customer" = t0."id"

A customer whom a further table does not have has null there. A customer whom it has twice would be
read twice: this is refused when the source is opened, and found by the checks of contracts.
"""

from collections.abc import Collection, Mapping, Sequence

from gate.contracts.source import RelatedTable
from gate.reads.sources.interface import SourceUnavailableError

Types = Mapping[str, str]  # column -> the engine's name of its type


def quoted(name: str) -> str:
    """A name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def select(
    relation: str, key: str, columns: Types, related: Sequence[tuple[RelatedTable, str, Types]]
) -> str:
    """SQL over both engines. `relation`: the table of customers; of each further table likewise.

    An item that the contract has in a further table hides a column of the same name in the table
    of customers. Raises SourceUnavailableError for a column that does not exist.
    """
    moved = {item for table, _, _ in related for item in table.items}
    parts = [f"t0.{quoted(name)}" for name in columns if name not in moved]
    joins = [f"{relation} AS t0"]
    for number, (table, place, types) in enumerate(related, 1):
        require(table.name, types, (table.key, *table.items))
        require("customers", columns, (key,))
        parts += [f"t{number}.{quoted(item)}" for item in table.items]
        ours, theirs = f"t0.{quoted(key)}", f"t{number}.{quoted(table.key)}"
        if columns[key] != types[table.key]:  # an id has one spelling
            ours, theirs = f"CAST({ours} AS varchar)", f"CAST({theirs} AS varchar)"
        joins.append(f"LEFT JOIN {place} AS t{number} ON {theirs} = {ours}")
    return f"SELECT {', '.join(parts)} FROM {' '.join(joins)}"  # noqa: S608 - quoted names


def unsound(relation: str, key: str) -> str:
    """SQL for the number of rows without a customer, and of those beyond a customer's first."""
    column = quoted(key)
    return (
        f"SELECT count(*) - count({column}), count({column}) - count(DISTINCT {column})"  # noqa: S608 - quoted
        f" FROM {relation}"
    )


def require_sound(table: RelatedTable, nulls: int, surplus: int) -> None:
    """Raises SourceUnavailableError unless the table has at most one row a customer."""
    if nulls or surplus:
        raise SourceUnavailableError(
            f"table {table.name!r}, key {table.key!r}: want one row a customer, found {nulls} rows "
            f"without a customer and {surplus} beyond a customer's first: correct the table"
        )


def require(table: str, known: Collection[str], names: Sequence[str]) -> None:
    """Raises SourceUnavailableError for a column that the table does not have."""
    if missing := [each for each in names if each not in known]:
        raise SourceUnavailableError(
            f"table {table!r} has no column {', '.join(missing)}; correct the source contract"
        )

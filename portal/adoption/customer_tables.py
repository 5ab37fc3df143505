"""Finds the tables of a source that have customers' items, by names, keys and references alone.

    customer (id PRIMARY KEY)                       the customers' table
    contact  (customer_id UNIQUE REFERENCES …)      joined: one row a customer
    ticket   (id PRIMARY KEY, customer_id REFERENCES …)   not joined: several rows a customer

A contract's further tables have at most one row a customer (specs/portal.md, "Contracts").
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from gate.reads.sources import catalog, description
from gate.reads.sources.catalog import TableKeys
from gate.reads.sources.description import DescribedColumn
from portal.adoption import starter
from portal.adoption.codebook import normal
from portal.adoption.starter import StarterError, StarterTable

USUAL = ("customer", "customers")


class Rows(Enum):
    """How many rows of one customer a table may have, by what it declares."""

    ONE = "declared"
    SEVERAL = "several"
    UNKNOWN = "undeclared"


@dataclass(frozen=True, slots=True)
class CustomerTables:
    """`tables`: the customers' first. `notes`: what was left out or is not sure, and why."""

    tables: Sequence[StarterTable]
    notes: Sequence[str]


def find(source: str, table: str | None, key: str | None) -> CustomerTables:
    """Raises StarterError and SourceUnavailableError."""
    declared = catalog.tables(source)
    name = table or _customers(declared)
    columns = description.describe(source, name)
    key = key or starter.key_of(columns)
    found, notes = [StarterTable(name, key, columns)], list[str]()
    for other, keys in declared.items():
        names = {each.name for each in description.describe(source, other)}
        joined = _joined(keys, (name, key), names, declared[name])
        if other == name or joined is None:
            continue
        column, rows = joined
        if rows is Rows.SEVERAL:
            notes.append(
                f"table {other} is left out: it may have several rows a customer; make a view or "
                "table of one row a customer, then add it to the source contract"
            )
            continue
        if rows is Rows.UNKNOWN:
            notes.append(f"table {other}: nothing says that {column} is unique; `check` counts")
        made, left = _without_others(source, other, column, keys, found)
        notes += [f"table {other}: {each}" for each in left]
        found += [made] if len(made.columns) > 1 else []
    return CustomerTables(found, notes)


def _customers(declared: Mapping[str, TableKeys]) -> str:
    """The customers' table: the one so called, the only one, or the one that others refer to."""
    if usual := [each for each in USUAL if each in declared]:
        return usual[0]
    targets = {to for keys in declared.values() for to, _ in keys.references.values()}
    for candidates in ([*declared], [each for each in declared if each in targets]):
        if len(candidates) == 1:
            return candidates[0]
    if declared:
        found = ", ".join(sorted(declared))
        raise StarterError(f"want the table of customers, found {found}: name it with --table")
    return USUAL[0]


def _joined(
    keys: TableKeys, customers: tuple[str, str], columns: Collection[str], main: TableKeys
) -> tuple[str, Rows] | None:
    """The column by which a table is joined, and what the table says of its rows.

    `customers`: the customers' table and its key. `id` alone is no sign: any table may have one.
    """
    key = customers[1]
    by_reference = [c for c, to in keys.references.items() if to == customers]
    same = [key] if key in columns and (key != "id" or key in by_reference) else []
    candidates = by_reference or same
    if unique := [each for each in candidates if each in keys.unique]:
        return unique[0], Rows.ONE
    if not candidates:
        return None
    undeclared = not by_reference and not keys.primary and not main.primary
    return candidates[0], Rows.UNKNOWN if undeclared else Rows.SEVERAL


def _without_others(
    source: str, table: str, column: str, keys: TableKeys, found: Sequence[StarterTable]
) -> tuple[StarterTable, list[str]]:
    """The table with what may be an item: no second key, no name that is taken or that is odd."""
    taken = {each.name for known in found for each in known.columns}
    kept, left = list[DescribedColumn](), list[str]()
    for each in description.describe(source, table):
        if each.name == column:
            kept.append(each)
        elif each.name in keys.primary or each.name in keys.references:
            left.append(f"{each.name} is left out: it is a key")
        elif each.name in taken:
            left.append(f"{each.name} is left out: another table has an item of this name")
        elif normal(each.name) != each.name:
            left.append(f"{each.name} is left out: want small letters, digits and underscores")
        else:
            kept.append(replace(each, required=False))  # a customer may have no row there
    return StarterTable(table, column, kept), left

"""Marginals counted where the data lives: Ibis expressions, one pass per batch, no row in Python.

Values become codes of the public domain inside the query; whatever is not declared becomes `other`.
The counts returned are exact and personal: they go into `measure` and nowhere else.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthetic.domain import Categories, Column, Dates, Domain, DomainError, Numbers, spec
from synthetic.marginal import Clique

Counts = NDArray[np.int64]


def count(table: Any, domain: Domain, cliques: Sequence[Clique]) -> dict[Clique, Counts]:
    """The marginal over each clique, shaped like `domain.shape(clique)`. `table`: an Ibis table.

    One query, one pass over the data, whatever the number of cliques (GROUPING SETS). Memory is
    that of the marginals. Raises DomainError when the table lacks a column of the domain.
    """
    found = {clique: np.zeros(domain.shape(clique), dtype=np.int64) for clique in cliques}
    names = [name for name in domain.columns if any(name in clique for clique in cliques)]
    for codes, number in _grouped(table, domain, names, cliques):
        # Codes are never null, so what is null in a group was not grouped by.
        clique = tuple(n for n, c in zip(names, codes, strict=True) if c is not None)
        found[clique][tuple(c for c in codes if c is not None)] = number
    return found


def encode(table: Any, domain: Domain) -> Any:
    """The table as codes: one small integer column per column of the domain, never null."""
    missing = [name for name in domain.columns if name not in table.columns]
    if missing:
        raise DomainError(f"the table has no columns {missing}, found {list(table.columns)}")
    for name, column in domain.columns.items():
        _require_comparable(name, table[name].type(), column)
    return table.select(**{name: code(table[name], c) for name, c in domain.columns.items()})


def code(value: Any, column: Column) -> Any:
    """The code of one Ibis value under its column's declaration."""
    match column:
        case Categories(values):
            coded = _category(value, values, column.other_code)
        case Numbers(_, _, edges):
            coded = _bin(value.cast("float64"), edges)
        case Dates(_, _, edges):
            coded = _bin(value.cast("date"), edges)
    return _null_to(coded, value, column)


def unknown(table: Any, domain: Domain) -> dict[str, int]:
    """Per column, how many values were outside the domain. Exact: for the steward's eyes only."""
    outside = {name: _outside(table[name], c).sum() for name, c in domain.columns.items()}
    row: Mapping[str, Any] = table.aggregate(**outside).to_pyarrow().to_pylist()[0]
    return {name: int(row[name] or 0) for name in domain.columns}


def _require_comparable(name: str, kind: Any, column: Column) -> None:
    """A declaration that no value of the column's type can meet is a mistake, not a population."""
    as_text = {"true", "false"}
    if kind.is_boolean() and not (isinstance(column, Categories) and as_text & {*column.values}):
        raise DomainError(
            f"column {name!r} is boolean, but its domain declares neither 'true' nor 'false': "
            f"found {spec(column)}; declare those, or serve the column as text"
        )


def _category(value: Any, values: Sequence[str], other: int) -> Any:
    branches = [(text, index) for index, text in enumerate(values) if index != other]
    if not branches:
        return value.isnull().ifelse(other, other)
    return value.cast("string").cases(*branches, else_=other)


def _bin(value: Any, edges: Sequence[Any]) -> Any:
    """How many edges lie at or below the value."""
    if not edges:
        return value.isnull().ifelse(0, 0)
    above = [(value < edge, index) for index, edge in enumerate(edges)]
    import ibis

    return ibis.cases(*above, else_=len(edges))


def _null_to(coded: Any, value: Any, column: Column) -> Any:
    return value.isnull().ifelse(column.null_code, coded).cast("int32")


def _outside(value: Any, column: Column) -> Any:
    """True where the value is none that the column declares."""
    unexpected = value.isnull() & (not column.nullable)
    match column:
        case Categories(values):
            return unexpected | value.cast("string").notin(values).fill_null(False)
        case Numbers(lower, upper) | Dates(lower, upper):
            comparable = value.cast("float64" if isinstance(column, Numbers) else "date")
            return unexpected | (~comparable.between(lower, upper)).fill_null(False)


def _grouped(
    table: Any, domain: Domain, names: Sequence[str], cliques: Sequence[Clique]
) -> list[tuple[Sequence[int | None], int]]:
    """Rows (code or None per name, count). The columns are renamed: names may be SQL keywords."""
    if not cliques:
        return []
    coded = encode(table, domain.restricted(names))
    column = {name: f"c{index}" for index, name in enumerate(names)}
    coded = coded.rename({column[name]: name for name in names})
    listed = ", ".join(column.values())
    sets = ", ".join(f"({', '.join(column[n] for n in c)})" for c in dict.fromkeys(cliques))
    engine = table._find_backend()  # noqa: SLF001 - Ibis offers GROUPING SETS only through its backend
    sql = (
        f"WITH coded AS ({engine.compile(coded)}) SELECT {listed}, COUNT(*) AS n "  # noqa: S608 - names are c0, c1, …
        f"FROM coded GROUP BY GROUPING SETS ({sets})"
    )
    coded.limit(0).to_pyarrow()  # brings in-memory tables to the engine: raw SQL does not
    result = engine.raw_sql(sql)
    rows = result.fetchall() if hasattr(result, "fetchall") else result.collect()
    return [(row[:-1], row[-1]) for row in rows]

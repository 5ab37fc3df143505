"""Count marginals inside the database with Ibis: no rows in Python, time linear in what is counted.

The query encodes values by the public domain; undeclared values become `other`. The returned counts
are exact and personal: they may only be passed to `measure` and `select`.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from secrets import token_hex
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthetic.model.domain import Categories, Column, Dates, Domain, DomainError, Numbers, spec
from synthetic.model.marginals import Clique

Counts = NDArray[np.int64]

AT_ONCE = 64  # marginals of one query: engines plan longer ones slowly
_MANY = 2**15  # codes, which 16 bits do not hold
_BLOCK = 8  # columns: two blocks have as many pairs as are counted at once, so few are encoded
_OWNER, _CONTENTS, _TIME, _LOT, _PLACE = (  # added columns, which no domain has
    f"sovereign {name}" for name in ("whose", "told", "time", "lot", "place")
)
_ALL = "sovereign all"
_KINDS = {Numbers: "number", Dates: "day (2026-01-31)"}
_NUMBER = (
    r"^ *([+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,2})?"
    r"|[nN][aA][nN]|[+-]?[iI][nN][fF]([iI][nN][iI][tT][yY])?) *$"
)
_DAY = (
    r"^([0-9]{4}-(0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|[0-9]{4}-(0[469]|11)-(0[1-9]|[12][0-9]|30)"
    r"|[0-9]{4}-02-(0[1-9]|1[0-9]|2[0-8])|([0-9]{2}(0[48]|[2468][048]|[13579][26])|([02468][048]"
    r"|[13579][26])00)-02-29)([ T][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]+)?)?)?$"
)


def count(table: Any, domain: Domain, cliques: Sequence[Clique]) -> dict[Clique, Counts]:
    """The marginal over each clique, of shape `domain.shape(clique)`. `table`: an Ibis table.

    Rows are encoded once where the engine can keep them meanwhile. A query counts AT_ONCE marginals
    in one pass over their columns (GROUPING SETS); cliques inside others are summed afterwards.
    Time grows with rows times marginals, memory with the marginals' cells, and the engine's with
    rows times columns, of which it may put on disk what it has no room for. Raises DomainError if
    the table lacks a column of the domain.
    """
    covers = covering(domain, cliques)
    by_cover = {clique: np.zeros(domain.shape(clique), dtype=np.int64) for clique in covers}
    names = [name for name in domain.columns if any(name in clique for clique in covers)]
    if names:
        with _coded(encode(table, domain.restricted(names))) as (engine, codes):
            for start in range(0, len(covers), AT_ONCE):
                some = covers[start : start + AT_ONCE]
                for clique, cell, rows in _grouped(engine, codes, names, some):
                    by_cover[clique][cell] = rows
    containing = _by_column(covers)
    return {clique: _summed(by_cover, containing, clique) for clique in cliques}


@contextmanager
def _coded(coded: Any) -> Iterator[tuple[Any, str]]:
    """The engine, and what its SQL selects the codes from, named c0, c1, … in their order.

    Columns are renamed because names may be SQL keywords. Only DuckDB keeps the codes meanwhile: a
    source in PostgreSQL is read in a session that may write nothing, not even a temporary table.
    """
    renamed = coded.select(**{f"c{i}": coded[name] for i, name in enumerate(coded.columns)})
    engine = renamed._find_backend()  # noqa: SLF001 - Ibis has no GROUPING SETS
    sql = engine.compile(renamed)
    renamed.limit(0).to_pyarrow()  # loads in-memory tables into the engine, which raw SQL does not
    if engine.name != "duckdb":
        yield engine, f"({sql}) AS codes"
        return
    table = f"codes_{token_hex(8)}"
    engine.raw_sql(f"CREATE TEMP TABLE {table} AS {sql}")
    try:
        yield engine, table
    finally:
        engine.raw_sql(f"DROP TABLE {table}")


def bounded(table: Any, domain: Domain, customer: str, contribution: int) -> Any:
    """A table with at most `contribution` rows of each customer, and the domain's columns.

    `customer` names the column that identifies the customer of a row; rows where it is null are
    left out. The choice of rows is pseudo-random: it is ordered by a digest of the customer and the
    row's contents, so it is the same at each count and on every engine, and does not depend on
    other customers' rows. Raises DomainError.
    """
    if customer not in table.columns:
        raise DomainError(
            f"there is no column {customer!r} to identify the customer of a row, found "
            f"{list(table.columns)}"
        )
    import ibis

    owned = table.filter(~missing(table[customer]))
    encode(owned, domain)  # refuses missing columns and columns of another type
    names = [*domain.columns]
    contents = _joined([code(owned[name], c).cast("string") for name, c in domain.columns.items()])
    rows = owned.select(*names, **{_OWNER: owned[customer].cast("string"), _CONTENTS: contents})
    alike = ibis.window(group_by=[_OWNER, _CONTENTS], order_by=_CONTENTS)
    rows = rows.mutate(**{_TIME: ibis.row_number().over(alike).cast("string")})
    rows = rows.mutate(
        **{_LOT: _joined([rows[each] for each in (_OWNER, _CONTENTS, _TIME)]).hexdigest("md5")}
    )
    theirs = ibis.window(group_by=_OWNER, order_by=_LOT)
    rows = rows.mutate(**{_PLACE: ibis.row_number().over(theirs)})
    return rows.filter(rows[_PLACE] < contribution).select(*names)


def covering(domain: Domain, cliques: Sequence[Clique]) -> tuple[Clique, ...]:
    """The cliques that are inside no other. Neighbours in the order share most of their columns."""
    covers: list[Clique] = []
    containing: dict[str, list[frozenset[str]]] = {name: [] for name in domain.columns}
    for clique in sorted(dict.fromkeys(cliques), key=len, reverse=True):
        wanted = frozenset(clique)
        if any(wanted <= cover for cover in containing[clique[0]]):
            continue
        covers.append(tuple(name for name in domain.columns if name in wanted))
        for name in clique:
            containing[name].append(wanted)
    places = {name: place for place, name in enumerate(domain.columns)}
    return tuple(sorted(covers, key=lambda cover: _where(places, cover)))


def _where(places: Mapping[str, int], cover: Clique) -> tuple[list[int], list[int]]:
    found = [places[name] for name in cover]
    return [place // _BLOCK for place in found], found


def encode(table: Any, domain: Domain) -> Any:
    """Encode the table: one small integer column per column of the domain, never null."""
    missing = [name for name in domain.columns if name not in table.columns]
    if missing:
        raise DomainError(f"the table has no columns {missing}, found {list(table.columns)}")
    for name, column in domain.columns.items():
        _require_comparable(name, table[name].type(), column)
    return table.select(**{name: code(table[name], c) for name, c in domain.columns.items()})


def missing(value: Any) -> Any:
    """Whether an Ibis value is missing: null, or a number that is none (NaN). Never null.

    Engines sort NaN above every number, so that unnoticed it would count as the highest.
    """
    kind = value.type()
    if kind.is_floating():
        return value.isnull() | value.isnan().fill_null(False)
    if kind.is_decimal():  # PostgreSQL's numeric has a NaN; as a float a large one would overflow
        return value.isnull() | (value.cast("string") == "NaN").fill_null(False)
    return value.isnull()


def require_readable(table: Any, domain: Domain) -> None:
    """Raise DomainError unless every text of a column of numbers or dates is one.

    The message has the column, what is wanted, and how many values are something else; no value.
    """
    texts = {
        name: column
        for name, column in domain.columns.items()
        if name in table.columns
        and not isinstance(column, Categories)
        and table[name].type().is_string()
    }
    if not texts:
        return
    unreadable = {name: (~_readable(table[name], texts[name])).sum() for name in texts}
    row = table.aggregate(**{_ALL: table.count()}, **unreadable).to_pyarrow().to_pylist()[0]
    problems = [
        f"column {name!r}: {row[name]} of {row[_ALL]} values are no {_KINDS[type(column)]}"
        for name, column in texts.items()
        if row[name]
    ]
    if problems:
        raise DomainError("; ".join(problems) + ": correct them, or leave them empty")


def code(value: Any, column: Column) -> Any:
    """The code of an Ibis value by its column's declaration."""
    match column:
        case Categories(values):
            coded, lacking = _category(value, values, column.other_code), missing(value)
        case Numbers(_, _, edges):
            number = _number(value)
            coded, lacking = _bin(number, edges), missing(number)
        case Dates(_, _, edges):
            coded, lacking = _bin(value.cast("date"), edges), missing(value)
    kind = "int16" if column.size < _MANY else "int32"
    return lacking.ifelse(column.null_code, coded).cast(kind)


def unknown(table: Any, domain: Domain) -> dict[str, int]:
    """The number of values outside the domain, by column. Exact: for the steward only."""
    outside = {name: _outside(table[name], c).sum() for name, c in domain.columns.items()}
    row: Mapping[str, Any] = table.aggregate(**outside).to_pyarrow().to_pylist()[0]
    return {name: int(row[name] or 0) for name in domain.columns}


def _require_comparable(name: str, kind: Any, column: Column) -> None:
    """Raise DomainError for a declaration that no value of the column's type can match."""
    as_text = {"true", "false"}
    if kind.is_boolean() and not (isinstance(column, Categories) and as_text & {*column.values}):
        raise DomainError(
            f"column {name!r} is boolean, but its domain declares neither 'true' nor 'false': "
            f"found {spec(column)}; declare those, or serve the column as text"
        )


def _joined(texts: Sequence[Any]) -> Any:
    joined = texts[0]
    for text in texts[1:]:
        joined = joined + "|" + text
    return joined


def _category(value: Any, values: Sequence[str], other: int) -> Any:
    branches = [(text, index) for index, text in enumerate(values) if index != other]
    if not branches:
        return value.isnull().ifelse(other, other)
    return value.cast("string").cases(*branches, else_=other)


def _bin(value: Any, edges: Sequence[Any]) -> Any:
    """The number of edges at or below the value."""
    if not edges:
        return value.isnull().ifelse(0, 0)
    above = [(value < edge, index) for index, edge in enumerate(edges)]
    import ibis

    return ibis.cases(*above, else_=len(edges))


def _outside(value: Any, column: Column) -> Any:
    """True where the value is not one that the column declares."""
    comparable = value
    if isinstance(column, Numbers):
        comparable = _number(value)
    elif isinstance(column, Dates):
        comparable = value.cast("date")
    lacking = missing(comparable)
    match column:
        case Categories(values):
            beyond = value.cast("string").notin(values)
        case Numbers(lower, upper) | Dates(lower, upper):
            beyond = ~comparable.between(lower, upper)
    return lacking.ifelse(not column.nullable, beyond.fill_null(False))


def _number(value: Any) -> Any:
    return value if value.type().is_floating() else value.cast("float64")


def _readable(text: Any, column: Column) -> Any:
    """Whether a text is null, or spells a value of the column's kind; never null."""
    spelling = _NUMBER if isinstance(column, Numbers) else _DAY
    return text.isnull() | text.re_search(spelling).fill_null(False)


def _by_column(covers: Sequence[Clique]) -> Mapping[str, Sequence[Clique]]:
    found: dict[str, list[Clique]] = {}
    for cover in covers:
        for name in cover:
            found.setdefault(name, []).append(cover)
    return found


def _summed(
    by_cover: Mapping[Clique, Counts], containing: Mapping[str, Sequence[Clique]], clique: Clique
) -> Counts:
    """The marginal over `clique`, summed from the smallest cover that contains it."""
    if clique in by_cover:
        return by_cover[clique]
    inside = [cover for cover in containing[clique[0]] if {*clique} <= {*cover}]
    cover = min(inside, key=lambda each: by_cover[each].size)
    away = tuple(axis for axis, name in enumerate(cover) if name not in clique)
    return np.asarray(by_cover[cover].sum(axis=away))


def _grouped(
    engine: Any, codes: str, names: Sequence[str], covers: Sequence[Clique]
) -> Iterator[tuple[Clique, tuple[Counts, ...], Counts]]:
    """Per cover: the codes of its cells, one array per column, and the number of rows of each.

    Codes are never null, so null in a group means that the column was not grouped by.
    """
    column = {n: f"c{i}" for i, n in enumerate(names) if any(n in cover for cover in covers)}
    listed = ", ".join(f"COALESCE({each}, -1) AS {each}" for each in column.values())
    sets = ", ".join(f"({', '.join(column[n] for n in c)})" for c in covers)
    sql = f"SELECT {listed}, COUNT(*) AS n FROM {codes} GROUP BY GROUPING SETS ({sets})"  # noqa: S608 - names are c0, c1, …
    groups = _fetched(engine.raw_sql(sql), [*column.values(), "n"])
    for cover in covers:
        mine = np.logical_and.reduce([(groups[c] >= 0) == (n in cover) for n, c in column.items()])
        yield cover, tuple(groups[column[n]][mine] for n in cover), groups["n"][mine]


def _fetched(result: Any, names: Sequence[str]) -> dict[str, Counts]:
    """The columns of a result of DuckDB, a DB-API cursor or Spark, as arrays."""
    if hasattr(result, "fetchnumpy"):
        arrays = result.fetchnumpy()
        return {name: np.asarray(arrays[name], dtype=np.int64) for name in names}
    rows = result.fetchall() if hasattr(result, "fetchall") else result.collect()
    array = np.array([tuple(row) for row in rows], dtype=np.int64).reshape(-1, len(names))
    return {name: array[:, index] for index, name in enumerate(names)}

"""Many columns and many rows: counting all pairs, and a whole fit. `SIZES=24000x50,24000x100`.

The rows are drawn from five factors that all columns share, so that every pair is correlated.
"""

import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import combinations, pairwise
from typing import Any, TypeVar

import ibis
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from synthetic.fitting.fit import fit
from synthetic.model import counts
from synthetic.model.domain import Domain, Numbers

SIZES = "24000x50,24000x100,1000000x100,10000000x20"
FITTED_ROWS = 50_000  # larger tables are only counted
EDGES = (-1.2, -0.8, -0.5, -0.2, 0.0, 0.2, 0.5, 0.8, 1.2)
FACTORS, GROUP_BYS, TRENDS = 5, 10, 5
EPSILON, DELTA = 1, "0.000001"
T = TypeVar("T")


def main() -> None:
    print("\nCounting and fitting wide and long tables, ten bins a column, seconds")
    print(f"  {'rows x columns':>18}{'pairs':>8}{'counted':>10}{'numpy':>8}{'ratio':>7}{'fit':>8}")
    for size in os.environ.get("SIZES", SIZES).split(","):
        rows, columns = map(int, size.split("x"))
        _line(rows, columns)


def _line(rows: int, columns: int) -> None:
    names = [f"x{number}" for number in range(columns)]
    domain = Domain({name: Numbers(-9, 9, EDGES, integer=False) for name in names})
    table = _table(rows, names)
    pairs = [*combinations(names, 2)]
    ours, found = _timed(lambda: counts.count(table, domain, pairs))
    theirs, expected = _timed(lambda: _numpy(table, names))
    assert all(np.array_equal(found[pair], expected[pair]) for pair in pairs)
    fitted = f"{_timed(lambda: _fit(table, domain))[0]:.1f}" if rows <= FITTED_ROWS else "-"
    print(
        f"  {f'{rows:,} x {columns}':>18}{len(pairs):>8,}{ours:>10.2f}{theirs:>8.2f}"
        f"{ours / theirs:>7.2f}{fitted:>8}",
        flush=True,
    )


def _table(rows: int, names: list[str]) -> Any:
    generator = np.random.default_rng(7)
    shared = generator.normal(size=(FACTORS, rows)).astype(np.float32)
    loads = generator.normal(size=(len(names), FACTORS)).astype(np.float32) / FACTORS**0.5
    own = {name: generator.normal(size=rows).astype(np.float32) for name in names}
    columns = {n: (loads[i] @ shared + own[n]) / 2**0.5 for i, n in enumerate(names)}
    connection = ibis.duckdb.connect()
    connection.con.register("drawn", pa.table(columns))
    connection.con.execute("CREATE TABLE customers AS SELECT * FROM drawn")
    connection.con.unregister("drawn")
    return connection.table("customers")


def _numpy(table: Any, names: list[str]) -> dict[tuple[str, str], NDArray[np.int64]]:
    """The peer: all rows in memory, one histogram a pair."""
    values, width = table.to_pyarrow(), len(EDGES) + 1
    edges = np.array(EDGES, np.float32)  # as the engine compares them with 32-bit values
    code = {n: np.searchsorted(edges, values[n].to_numpy(), side="right") for n in names}
    return {
        (a, b): np.bincount(code[a] * width + code[b], minlength=width**2).reshape(width, width)
        for a, b in combinations(names, 2)
    }


def _fit(table: Any, domain: Domain) -> object:
    names = [*domain.columns]
    workload = [*pairwise(names)][:GROUP_BYS]
    found = fit(
        table,
        scene="wide",
        domain=domain,
        workload=[*workload, *((name,) for name in names[:TRENDS])],
        loss=(EPSILON, float(DELTA)),
        at=datetime.now(UTC).replace(microsecond=0),
        ledger_size=0,
    )
    found.sample(1, names[:1])  # builds the model
    return found


def _timed(work: Callable[[], T]) -> tuple[float, T]:
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result

"""Time and memory: fit, refit, draw, condition, count. Rates of one process on this machine."""

import resource
import time
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.synthetic_quality import DataSet, load, release
from gate.contracts.source import load_source
from synthetic.fitting.release import Release
from synthetic.model import conditional, counts, sample
from synthetic.model.domain import Domain, Numbers
from synthetic.model.inference import estimate
from tests.bank import SOURCE_CONTRACT

BANK = Path(__file__).parents[1] / "portal" / "demo" / "sources" / "bank.csv.gz"
COUNTED_ROWS = 10_000_000
MARGINALS = 100
HIDDEN = ("job", "balance", "y")


def main() -> None:
    data = load("bank")
    if data is None:
        return
    print(f"\nSynthesiser, bank, {len(data.train):,} rows, {len(data.columns)} columns")
    cold, first = _timed(lambda: _whole_fit(data, None))
    refit, _ = _timed(lambda: _whole_fit(data, first))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    _line("cold fit, imports and model included", f"{cold:.2f} s")
    _line("refit with kept marginals", f"{refit:.2f} s, peak memory so far {peak:.2f} GB")
    few, _ = _timed(lambda: _inference(first, 1))
    many, _ = _timed(lambda: _inference(first, 1000))
    _line("inference, 1 and 1,000 times the rows", f"{few:.2f} s, {many:.2f} s")
    _line("rows drawn", f"{_drawing(first):,.0f}/s")
    _line("rows conditioned, three fields hidden", f"{_conditioning(data, first):,.0f}/s")
    _line("one surrogate, all columns", f"{_surrogate(first) * 1e6:,.0f} µs")
    spent = _counting()
    _line(f"{MARGINALS} marginals over {COUNTED_ROWS:,} rows on DuckDB", f"{spent:.2f} s")


def _whole_fit(data: DataSet, like: Release | None) -> Release:
    found = release(data, data.train, like=like)
    found.sample(1, ["age"])  # builds the model
    return found


def _inference(found: Release, scale: int) -> object:
    from dataclasses import replace

    grown = [replace(m, values=m.values * scale) for m in found.measurements]
    return estimate(found.domain, grown)


def _drawing(found: Release) -> float:
    rows, generator = 1_000_000, np.random.default_rng()
    model = found._model  # noqa: SLF001 - codes, not values
    return rows / _timed(lambda: sample.draw(model, rows, sample.balanced(generator)))[0]


def _conditioning(data: DataSet, found: Release) -> float:
    rows, generator = len(data.train), np.random.default_rng()
    known = {n: data.train[:, i] for i, n in enumerate(data.columns) if n not in HIDDEN}
    work: Callable[[], object] = lambda: conditional.draw(  # noqa: E731 - timed twice
        found.beliefs, known, lambda _name: generator.random(rows)
    )
    work()
    return rows / _timed(work)[0]


def _surrogate(found: Release) -> float:
    columns = [*found.domain.columns]
    found.surrogate(columns, b"k" * 32, ["warm"])
    return _timed(lambda: found.surrogate(columns, b"k" * 32, ["customer"]))[0]


def _counting() -> float:
    """The demonstration's customers, repeated: values as they are stored, not codes."""
    import ibis

    source = load_source(SOURCE_CONTRACT)
    domain = Domain({name: each.domain for name, each in source.items.items() if each.domain})
    connection = ibis.duckdb.connect()
    once = connection.read_csv(BANK, all_varchar=True)
    domain = domain.restricted([name for name in domain.columns if name in once.columns])
    numbers = [n for n, column in domain.columns.items() if isinstance(column, Numbers)]
    typed = once.mutate(**{name: once[name].cast("int64") for name in numbers})
    connection.create_view("customers", typed)
    times = COUNTED_ROWS // 45_211 + 1
    connection.con.execute(
        f"CREATE TABLE many AS SELECT customers.* FROM customers, range({times}) "
        f"LIMIT {COUNTED_ROWS}"
    )
    every = [*((name,) for name in domain.columns), *combinations(domain.columns, 2)]
    many = connection.table("many")
    return float(_timed(lambda: counts.count(many, domain, every[:MARGINALS]))[0])


def _timed(work: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def _line(what: str, figure: str) -> None:
    print(f"  {what:46}{figure}")

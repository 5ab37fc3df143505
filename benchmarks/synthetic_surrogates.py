"""One to three fields withdrawn by 30 % of the customers at random: what stands in for them.

The rows keep what is still authorised; the fields withdrawn are drawn from the release, given the
others (conditional) or given nothing (marginal). Segment errors of the whole table after five runs
on one release each; the rate is that of the conditional draws, on one processor.
"""

import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from benchmarks.synthetic_quality import DataSet, Rows, load, release, segment_errors
from synthetic.fitting.release import Release
from synthetic.model import conditional, sample

RUNS = 5
SHARE = 0.3
HIDDEN = {
    "adult": (("income",), ("age", "income"), ("age", "occupation", "income")),
    "bank": (("balance",), ("balance", "y"), ("job", "balance", "y")),
}

Codes = Mapping[str, NDArray[np.int64]]
Draw = Callable[[Release, Codes, Sequence[str], np.random.Generator], Codes]


def main() -> None:
    for name, groups in HIDDEN.items():
        data = load(name)
        if data is None:
            continue
        print(f"\nSurrogates, {name}, {SHARE:.0%} at random withdrew some fields, {RUNS} runs")
        fitted = [release(data, data.train) for _ in range(RUNS)]
        for hidden in groups:
            print(f"  {', '.join(hidden)}")
            for kind, draw in (("conditional", given), ("marginal", alone)):
                _line(kind, *_measured(data, fitted, hidden, draw))


def _line(kind: str, errors: list[float], rate: float) -> None:
    interval = 1.96 * float(np.std(errors, ddof=1)) / RUNS**0.5
    print(f"    {kind:14}segments {np.mean(errors):6.2%} ± {interval:.2%}   {rate:>11,.0f} rows/s")


def _measured(
    data: DataSet, fitted: Sequence[Release], hidden: Sequence[str], draw: Draw
) -> tuple[list[float], float]:
    errors, rows, spent = [], 0, 0.0
    for run, found in enumerate(fitted):
        generator = np.random.default_rng(run)
        gone = generator.random(len(data.train)) < SHARE
        known = {
            name: data.train[gone, index]
            for index, name in enumerate(data.columns)
            if name not in hidden
        }
        draw(found, known, hidden, generator)  # builds what is kept of the model
        start = time.perf_counter()
        drawn = draw(found, known, hidden, generator)
        spent, rows = spent + time.perf_counter() - start, rows + int(gone.sum())
        errors.append(float(segment_errors(data, _served(data, gone, drawn)).mean()))
    return errors, rows / spent


def _served(data: DataSet, gone: NDArray[np.bool_], drawn: Codes) -> Rows:
    served = data.train.copy()
    for name, codes in drawn.items():
        served[gone, data.columns.index(name)] = codes
    return served


def given(
    found: Release, known: Codes, hidden: Sequence[str], generator: np.random.Generator
) -> Codes:
    rows = len(next(iter(known.values())))
    drawn = conditional.draw(found.beliefs, known, lambda _name: generator.random(rows))
    return {name: drawn[name] for name in hidden}


def alone(
    found: Release, known: Codes, hidden: Sequence[str], generator: np.random.Generator
) -> Codes:
    rows = len(next(iter(known.values())))
    uniforms = sample.independently(lambda _name: generator.random(rows))
    drawn = sample.draw(found._model, rows, uniforms)  # noqa: SLF001 - codes, not values
    return {name: drawn[name] for name in hidden}

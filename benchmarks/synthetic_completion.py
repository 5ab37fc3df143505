"""The table view after withdrawal: segment errors of every completion mode, 30 % withdrawn.

Ten runs each, with fresh noise and a fresh choice of who leaves; mean and its 95 % interval.
"""

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from benchmarks.synthetic_quality import (
    LABELS,
    WORKLOADS,
    DataSet,
    Rows,
    as_table,
    load,
    release,
    segment_errors,
)
from synthetic.completion import completion
from synthetic.completion.completion import CompletionTask
from synthetic.completion.mode import Mode
from synthetic.fitting.release import Release
from synthetic.model.measure import Measurement
from synthetic.privacy.budget import PrivacyLoss

RUNS = 10
SHARE = 0.3
CONTROL_LOSS = PrivacyLoss(Fraction(1, 120))  # of the counts of those who left: epsilon about 0.5
MODES = (Mode.RELEASE_ANCHORED, Mode.DP_COUNTS, Mode.NAIVE)
DRIVERS = ("at random", "by age", "by age and label")


def main() -> None:
    for name in WORKLOADS:
        data = load(name)
        if data is None:
            continue
        first = release(data, data.train)
        for driver in DRIVERS:
            print(f"\nTable view, {name}, {SHARE:.0%} withdrawn {driver}, {RUNS} runs")
            errors = _runs(data, driver, first)
            for served, found in errors.items():
                means = np.array([each.mean() for each in found])
                p95 = float(np.mean([np.quantile(each, 0.95) for each in found]))
                interval = 1.96 * means.std(ddof=1) / RUNS**0.5
                print(f"  {served:20}mean {means.mean():6.2%} ± {interval:.2%}   p95 {p95:6.1%}")


def _runs(data: DataSet, driver: str, first: Release) -> dict[str, list[NDArray[np.float64]]]:
    errors: dict[str, list[NDArray[np.float64]]] = {mode.value: [] for mode in MODES}
    errors["drop, rescaled"] = []
    for run in range(RUNS):
        gone = _withdrawn(data, driver, np.random.default_rng(run))
        stayed = data.train[~gone]
        task = CompletionTask(
            as_table(data, stayed),
            len(data.train),
            current=release(data, stayed, like=first),
            anchor=release(data, data.train, like=first),
            controls=_controls(data, data.train[gone]),
        )
        for mode in MODES:
            added = completion.complete(task, mode).codes
            rows = np.stack([added[name] for name in data.columns], axis=1)
            errors[mode.value].append(segment_errors(data, np.concatenate([stayed, rows])))
        errors["drop, rescaled"].append(segment_errors(data, stayed))
    return errors


def _controls(data: DataSet, left: Rows) -> Measurement:
    clique: Sequence[str] = [n for n in data.columns if n in ("age", LABELS[data.name])]
    return completion.measure_controls(
        as_table(data, left), data.domain, tuple(clique), CONTROL_LOSS
    )


def _withdrawn(data: DataSet, driver: str, generator: np.random.Generator) -> NDArray[np.bool_]:
    """The younger, and those with a positive label the less, leave more readily."""
    age = data.train[:, data.columns.index("age")]
    label = data.train[:, data.columns.index(LABELS[data.name])]
    weight = np.ones(len(data.train))
    if driver != "at random":
        weight *= np.exp(-age / 4)
    if driver == "by age and label":
        weight *= np.where(label == 1, 0.4, 1.0)
    return np.asarray(generator.random(len(weight)) < _scaled(weight))


def _scaled(weight: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probabilities of at most 0.9, in proportion to `weight` below that, SHARE on average."""
    low, high = 0.0, 100.0
    for _ in range(60):
        middle = (low + high) / 2
        small = np.minimum(0.9, middle * weight).mean() < SHARE
        low, high = (middle, high) if small else (low, middle)
    return np.minimum(0.9, low * weight)

"""Synthetic quality at epsilon 1: ours beside independent histograms and a spanning tree (MST).

Train-on-synthetic is scored on a fifth of the rows that no release has seen. Needs the coded data
sets in a `shared/data` folder above the repository; skipped with a reason otherwise.
"""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthetic import sample
from synthetic.domain import Categories, Domain
from synthetic.fit import fit
from synthetic.model import GRAPHICAL, INDEPENDENT
from synthetic.release import Release

Rows = NDArray[np.int64]

EPSILON = 1
GOAL = 0.032
AT = datetime(2026, 11, 21, tzinfo=UTC)
WORKLOADS: dict[str, tuple[tuple[str, ...], ...]] = {
    "adult": (
        ("age", "sex"),
        ("age", "income"),
        ("education_num", "income"),
        ("occupation", "income"),
        ("marital_status", "income"),
        ("workclass", "income"),
        ("sex", "income"),
        ("race", "sex"),
        ("hours_per_week", "income"),
        ("age", "marital_status"),
        ("occupation", "sex"),
        ("relationship", "income"),
    ),
    "bank": (
        ("age", "job"),
        ("age", "marital"),
        ("age", "y"),
        ("job", "education"),
        ("job", "y"),
        ("education", "balance"),
        ("age", "balance"),
        ("housing", "loan"),
        ("poutcome", "y"),
        ("contact", "month"),
        ("month", "y"),
        ("age", "housing", "y"),
    ),
}
LABELS = {"adult": "income", "bank": "y"}
TRENDS = {"adult": ("age", "education_num", "hours_per_week"), "bank": ("age", "month", "balance")}


@dataclass(frozen=True, slots=True)
class DataSet:
    """Integer-coded rows, split at random into `train` (four fifths) and `test`."""

    name: str
    domain: Domain
    train: Rows
    test: Rows

    @property
    def columns(self) -> list[str]:
        return [*self.domain.columns]

    @property
    def delta(self) -> float:
        return float(len(self.train) ** -1.1)

    def marginal(self, rows: Rows, clique: Sequence[str]) -> NDArray[np.float64]:
        """Scaled to the size of `train`, flat."""
        shape = self.domain.shape(clique)
        cells = np.ravel_multi_index([rows[:, self.columns.index(n)] for n in clique], shape)
        counts = np.bincount(cells, minlength=int(np.prod(shape)))
        return counts * (len(self.train) / len(rows))


def load(name: str) -> DataSet | None:
    """None, with a printed reason, when the data set is not there."""
    folders = [parent / "shared" / "data" for parent in Path(__file__).resolve().parents]
    found = next((f for f in folders if (f / f"{name}-coded.csv").exists()), None)
    if found is None:
        print(f"  skipped {name}: no shared/data/{name}-coded.csv above this repository")
        return None
    path = found / f"{name}-coded.csv"
    with path.open() as file:
        columns = file.readline().strip().split(",")
    rows = np.loadtxt(path, delimiter=",", skiprows=1, dtype=np.int64)
    sizes = json.loads((found / f"{name}-domain.json").read_text())
    domain = Domain({c: Categories(tuple(map(str, range(sizes[c]["size"]))), "0") for c in columns})
    order = np.random.default_rng(7).permutation(len(rows))
    cut = len(rows) * 4 // 5
    return DataSet(name, domain, rows[order[:cut]], rows[order[cut:]])


def as_table(data: DataSet, rows: Rows) -> Any:
    import ibis
    import pyarrow as pa

    connection = ibis.duckdb.connect()
    columns = {name: rows[:, index] for index, name in enumerate(data.columns)}
    connection.con.register("customers", pa.table(columns))
    return connection.table("customers")


def release(
    data: DataSet, rows: Rows, mechanism: str = GRAPHICAL, like: Release | None = None
) -> Release:
    return fit(
        as_table(data, rows),
        scene=data.name,
        domain=data.domain,
        workload=[*WORKLOADS[data.name], *((name,) for name in TRENDS[data.name])],
        loss=(EPSILON, Fraction(str(data.delta))),
        at=AT,
        ledger_size=0,
        mechanism=mechanism,
        like=like,
    )


def drawn(found: Release, rows: int) -> Rows:
    codes = sample.draw(found._model, rows, sample.balanced(np.random.default_rng()))  # noqa: SLF001 - codes, not values
    return np.stack([codes[name] for name in found.domain.columns], axis=1)


def ours(data: DataSet) -> Rows:
    return drawn(release(data, data.train), len(data.train))


def histograms(data: DataSet) -> Rows:
    return drawn(release(data, data.train, INDEPENDENT), len(data.train))


def spanning_tree(data: DataSet) -> Rows:
    """MST (McKenna, Miklau & Sheldon 2021) over mbi's mirror descent; zCDP; numpy's noise."""
    import jax

    jax.config.update("jax_enable_x64", True)
    import mbi

    from synthetic.budget import loss_within

    generator = np.random.default_rng()
    rho = float(loss_within(Fraction(EPSILON), Fraction(str(data.delta))).rho) / 3
    domain = mbi.Domain(data.columns, data.domain.shape(data.columns))
    alone = [(name,) for name in data.columns]
    measured = _measured(data, alone, rho, generator)
    total = float(np.mean([each.noisy_measurement.sum() for each in measured]))
    first = mbi.estimation.MirrorDescent().estimate(domain, measured, known_total=total)
    edges = _spanning_edges(data, first, rho, generator)
    measured += _measured(data, edges, rho, generator)
    model = mbi.estimation.MirrorDescent().estimate(domain, measured, known_total=total)
    rows = model.synthetic_data(rows=len(data.train))
    return np.stack([np.asarray(rows.data[name]) for name in data.columns], axis=1)


def _measured(
    data: DataSet, cliques: Sequence[tuple[str, ...]], rho: float, generator: np.random.Generator
) -> list[Any]:
    import mbi

    sigma = (len(cliques) / (2 * rho)) ** 0.5
    noisy = [data.marginal(data.train, c) for c in cliques]
    noisy = [each + generator.normal(0, sigma, each.shape) for each in noisy]
    pairs = zip(noisy, cliques, strict=True)
    return [mbi.LinearMeasurement(values, clique, stddev=sigma) for values, clique in pairs]


def _spanning_edges(
    data: DataSet, model: Any, rho: float, generator: np.random.Generator
) -> list[tuple[str, ...]]:
    """Columns joined one after the other by the exponential mechanism."""
    scores = {}
    for pair in combinations(data.columns, 2):
        expected = np.asarray(model.project(pair).datavector())
        scores[pair] = float(np.abs(data.marginal(data.train, pair) - expected).sum())
    epsilon = (8 * rho / (len(data.columns) - 1)) ** 0.5
    groups, edges = {name: {name} for name in data.columns}, []
    while len(edges) < len(data.columns) - 1:
        open_pairs = [pair for pair in scores if groups[pair[0]] is not groups[pair[1]]]
        noisy = [scores[pair] * epsilon / 2 + generator.gumbel() for pair in open_pairs]
        edge = open_pairs[int(np.argmax(noisy))]
        edges.append(edge)
        merged = groups[edge[0]] | groups[edge[1]]
        groups.update(dict.fromkeys(merged, merged))
    return edges


def segment_errors(data: DataSet, rows: Rows) -> NDArray[np.float64]:
    """Relative errors of all declared segments of at least 1 % of the rows."""
    errors = []
    for clique in WORKLOADS[data.name]:
        real, served = data.marginal(data.train, clique), data.marginal(rows, clique)
        large = real >= 0.01 * len(data.train)
        errors.append(np.abs(served - real)[large] / real[large])
    return np.concatenate(errors)


def trend_error(data: DataSet, rows: Rows) -> float:
    pairs = [
        (data.marginal(data.train, (name,)), data.marginal(rows, (name,)))
        for name in TRENDS[data.name]
    ]
    large = [(real, served, real >= 0.01 * len(data.train)) for real, served in pairs]
    return float(np.mean(np.concatenate([(abs(s - r) / np.maximum(r, 1))[k] for r, s, k in large])))


def distance(data: DataSet, rows: Rows, size: int) -> float:
    every = [*combinations(data.columns, size)]
    chosen = every if len(every) <= 200 else every[:: len(every) // 200]
    halves = [np.abs(data.marginal(data.train, c) - data.marginal(rows, c)).sum() for c in chosen]
    return float(np.mean(halves) / 2 / len(data.train))


def utility(data: DataSet, rows: Rows) -> float:
    """AUC on unseen real rows of gradient boosting trained on `rows`."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.metrics import roc_auc_score

    label = data.columns.index(LABELS[data.name])
    inputs = [index for index in range(len(data.columns)) if index != label]
    model = HistGradientBoostingClassifier(random_state=0).fit(rows[:, inputs], rows[:, label])
    scores = model.predict_proba(data.test[:, inputs])[:, 1]
    return float(roc_auc_score(data.test[:, label], scores))


PEERS: dict[str, Callable[[DataSet], Rows]] = {
    "ours (graphical)": ours,
    "independent histograms": histograms,
    "MST over mbi": spanning_tree,
}
ABSENT = {
    "AIM over mbi": "not in mbi's wheel, and some six minutes a fit",
    "dpmm": "wants an environment of its own",
    "smartnoise-synth": "wants an environment of its own",
}


def main() -> None:
    for name in WORKLOADS:
        data = load(name)
        if data is None:
            continue
        real = utility(data, data.train)
        print(f"\nSynthetic quality, {name}, {len(data.train):,} rows, epsilon {EPSILON}, one fit")
        print(f"  {'':24}{'segments':>9}{'p95':>7}{'in 3.2 %':>9}{'trends':>8}", end="")
        print(f"{'tvd-1':>8}{'tvd-2':>8}{'tvd-3':>8}{'AUC':>7}{'gap':>7}{'seconds':>9}")
        for peer, synthesise in PEERS.items():
            start = time.perf_counter()
            rows = synthesise(data)
            spent = time.perf_counter() - start
            errors, auc = segment_errors(data, rows), utility(data, rows)
            print(
                f"  {peer:24}{errors.mean():>9.2%}{np.quantile(errors, 0.95):>7.1%}"
                f"{(errors <= GOAL).mean():>9.1%}{trend_error(data, rows):>8.2%}"
                f"{distance(data, rows, 1):>8.4f}{distance(data, rows, 2):>8.4f}"
                f"{distance(data, rows, 3):>8.4f}{auc:>7.3f}{real - auc:>7.3f}{spent:>9.1f}"
            )
        for peer, reason in ABSENT.items():
            print(f"  {peer:24}skipped: {reason}")

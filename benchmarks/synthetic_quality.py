"""Synthetic quality at epsilon 1: ours beside independent histograms and other synthesisers.

    python -m benchmarks synthetic_quality [--sets adult,bank] [--only PATTERN] [--more 5]
                                           [--limit 900] [--keep FOLDER]

Train-on-synthetic is scored on a fifth of the rows that no release has seen, everybody's from as
many synthetic rows as there were real ones; `--more 5` adds a column from five times as many, which
cost nothing once a model is fitted. Needs the coded data sets in a `shared/data` folder above the
repository; skipped with a reason otherwise. Foreign peers: `make peers`. Where CPU s is well below
seconds, others used the machine.
"""

import argparse
import json
import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.peers_synthetic.exchange import Answer, Task
from benchmarks.synthetic_peers import LIMIT_S, PEERS, Absence, Made
from benchmarks.synthetic_peers import synthesise as peer_rows
from synthetic.fitting.fit import fit
from synthetic.fitting.release import Release
from synthetic.model import sample
from synthetic.model.domain import Categories, Domain
from synthetic.model.graphical_model import GRAPHICAL, INDEPENDENT

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
    ordinal: frozenset[str] = frozenset()  # columns whose codes are in an order

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
        return np.asarray(counts * (len(self.train) / len(rows)), np.float64)


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
    ordinal = frozenset(c for c in columns if sizes[c]["kind"] == "ord")
    return DataSet(name, domain, rows[order[:cut]], rows[order[cut:]], ordinal)


def declared(name: str) -> tuple[tuple[str, ...], ...]:
    """The group-bys and the trends that a contract would name; everybody is told of them."""
    return (*WORKLOADS[name], *((column,) for column in TRENDS[name]))


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
        workload=declared(data.name),
        loss=(EPSILON, Fraction(str(data.delta))),
        at=AT,
        ledger_size=0,
        targets=(LABELS[data.name],),
        mechanism=mechanism,
        like=like,
    )


def drawn(found: Release, rows: int) -> Rows:
    codes = sample.draw(found._model, rows, sample.balanced(np.random.default_rng()))  # noqa: SLF001 - codes, not values
    return np.stack([codes[name] for name in found.domain.columns], axis=1)


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


def within(mechanism: str) -> Callable[[DataSet, int], Made]:
    """What is fitted here: ours, and independent histograms by the same code."""

    def synthesise(data: DataSet, more: int) -> Made:
        wall, processor = time.perf_counter(), time.process_time()
        found = release(data, data.train, mechanism)
        rows = drawn(found, len(data.train))
        spent = time.perf_counter() - wall, time.process_time() - processor
        return Made(Answer(rows, drawn(found, more) if more else None, *spent))

    return synthesise


OURS = {"ours": within(GRAPHICAL), "independent histograms": within(INDEPENDENT)}


def task_of(data: DataSet, method: str, more: int) -> Task:
    shape = map(int, data.domain.shape(data.columns))
    return Task(
        method=method,
        sizes=dict(zip(data.columns, shape, strict=True)),
        epsilon=float(EPSILON),
        delta=data.delta,
        rows=len(data.train),
        more=more,
        workload=declared(data.name),
    )


def every(data: DataSet, asked: argparse.Namespace) -> Iterator[tuple[str, Made | Absence]]:
    """By name, one after the other, so that each has the machine to itself."""
    more = asked.more * len(data.train) if asked.more > 1 else 0
    wanted = re.compile(asked.only, re.IGNORECASE)
    for name, synthesise in OURS.items():
        if wanted.search(name):
            yield name, synthesise(data, more)
    for peer in PEERS:
        if wanted.search(peer.name):
            task = task_of(data, peer.method, more)
            yield peer.name, peer_rows(peer, task, data.train, asked.limit, asked.keep)


def head(data: DataSet, real: float, more: int) -> str:
    load_now = f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors"
    title = f"Synthetic quality, {data.name}, {len(data.train):,} rows, epsilon {EPSILON}, one fit"
    columns = f"{'segments':>9}{'p95':>7}{'in 3.2 %':>9}{'trends':>8}{'tvd-1':>8}{'tvd-2':>8}"
    columns += f"{'tvd-3':>8}{'AUC':>7}{'gap':>7}"
    columns += f"{f'AUC {more}x':>8}{'gap':>7}" if more > 1 else ""
    return (
        f"\n{title}; real AUC {real:.3f}; {load_now}\n  {'':24}{columns}{'seconds':>9}{'CPU s':>8}"
    )


def line(data: DataSet, name: str, made: Made, real: float) -> str:
    rows, more = made.answer.rows, made.answer.more
    errors, auc = segment_errors(data, rows), utility(data, rows)
    text = f"  {name:24}{errors.mean():>9.2%}{np.quantile(errors, 0.95):>7.1%}"
    text += f"{(errors <= GOAL).mean():>9.1%}{trend_error(data, rows):>8.2%}"
    text += "".join(f"{distance(data, rows, size):>8.4f}" for size in (1, 2, 3))
    text += f"{auc:>7.3f}{real - auc:>7.3f}"
    if more is not None:
        richer = utility(data, more)
        text += f"{richer:>8.3f}{real - richer:>7.3f}"
    text += f"{made.answer.seconds:>9.1f}{made.answer.processor_s:>8.1f}"
    return text + (f"  kept, {made.kept_since}" if made.kept_since else "")


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks synthetic_quality")
    parser.add_argument("--sets", default="adult,bank", help="data sets, by comma")
    parser.add_argument("--only", default="", help="a pattern; the methods whose names match")
    parser.add_argument("--more", type=int, default=1, help="draw this many times as many rows too")
    parser.add_argument("--limit", type=float, default=LIMIT_S, help="seconds for each peer")
    parser.add_argument("--keep", type=Path, help="where rows of peers are kept and looked for")
    return parser.parse_known_args()[0]


def main() -> None:
    asked = options()
    for data in filter(None, map(load, asked.sets.split(","))):
        real = utility(data, data.train)
        print(head(data, real, asked.more))
        for name, found in every(data, asked):
            match found:
                case Made():
                    print(line(data, name, found, real), flush=True)
                case Absence(reason):
                    print(f"  {name:24}{reason}", flush=True)

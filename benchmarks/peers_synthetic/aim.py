"""AIM over mbi 2, which brings the inference and not the mechanism.

McKenna, Mullins, Sheldon & Miklau: "AIM: an adaptive and iterative mechanism for differentially
private synthetic data", VLDB 2022, algorithm 4, its parameters as there (T = 16 d, alpha = 0.9,
80 MB). One-way marginals first; then, round by round, the candidate of the workload's downward
closure that the model answers worst, chosen by the exponential mechanism, is measured. A round that
brought less than its own noise halves the noise of the next ones. The noise is numpy's: this is a
peer to be compared with, not something to publish.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, combinations
from math import pi, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray
from opt_einsum import contract

from benchmarks.peers_synthetic.exchange import Rows
from benchmarks.peers_synthetic.inference import mbi

Clique = tuple[str, ...]

ROUNDS_PER_COLUMN = 16
MEASURED_SHARE = 0.9  # of each round's rho; the rest chooses
LARGEST_MB = 80.0
ITERATIONS = 1000


@dataclass(frozen=True, slots=True)
class Costs:
    """Of one round: the noise of its measurement, and the epsilon of its choice (section 2.2)."""

    sigma: float
    epsilon: float

    @property
    def rho(self) -> float:
        return 1 / (2 * self.sigma**2) + self.epsilon**2 / 8

    def halved(self) -> "Costs":
        return Costs(self.sigma / 2, self.epsilon * 2)


def combined(
    earlier: mbi.LinearMeasurement | None, later: mbi.LinearMeasurement
) -> mbi.LinearMeasurement:
    """Two measurements of one marginal as the single one of the same likelihood. The cliques stay
    as they were, so mbi need not compile its estimation again, which is where the time goes."""
    if earlier is None:
        return later
    precisions = np.array([earlier.stddev**-2, later.stddev**-2])
    values = np.stack([earlier.noisy_measurement, later.noisy_measurement])
    mean = precisions @ values / precisions.sum()
    return mbi.LinearMeasurement(mean, later.clique, stddev=float(precisions.sum() ** -0.5))


def costs_of(rho: float) -> Costs:
    """One round that spends all of `rho`."""
    return Costs(1 / sqrt(2 * MEASURED_SHARE * rho), sqrt(8 * (1 - MEASURED_SHARE) * rho))


@dataclass(slots=True)
class Run:
    """What is known so far. `spent` never passes `rho`: see tests/benchmarks/test_aim.py."""

    sizes: Mapping[str, int]
    train: Rows
    rho: float
    weights: Mapping[Clique, float]  # of the candidates
    generator: np.random.Generator
    spent: float = 0.0
    noise: list[tuple[Clique, float]] = field(default_factory=list)  # of each measurement, in order
    measured: dict[Clique, mbi.LinearMeasurement] = field(default_factory=dict)
    model: Any = None
    counted: dict[Clique, NDArray[np.float64]] = field(default_factory=dict)

    @property
    def domain(self) -> mbi.Domain:
        return mbi.Domain(list(self.sizes), list(self.sizes.values()))

    def counts(self, clique: Clique) -> NDArray[np.float64]:
        if clique not in self.counted:
            self.counted[clique] = counts(self.sizes, self.train, clique)
        return self.counted[clique]

    def measure(self, clique: Clique, sigma: float) -> None:
        exact = self.counts(clique)
        noisy = exact + self.generator.normal(0, sigma, exact.shape)
        self.noise.append((clique, sigma))
        fresh = mbi.LinearMeasurement(noisy, clique, stddev=sigma)
        self.measured[clique] = combined(self.measured.get(clique), fresh)

    def estimate(self) -> None:
        self.model = mbi.estimation.MirrorDescent().estimate(
            self.domain, [*self.measured.values()], iters=ITERATIONS, warm_start=self.model
        )

    def answers(self, cliques: Sequence[Clique]) -> dict[Clique, NDArray[np.float64]]:
        return answers(self.model, cliques)

    def answer(self, clique: Clique) -> NDArray[np.float64]:
        return self.answers([clique])[clique]


def fit(
    sizes: Mapping[str, int],
    train: Rows,
    rho: float,
    workload: Mapping[Clique, float],
    generator: np.random.Generator,
) -> Run:
    """`workload` gives each group-by its weight; `rho` of zCDP is spent to the last."""
    run = Run(sizes, train, rho, candidates(workload), generator)
    rounds = ROUNDS_PER_COLUMN * len(sizes)
    costs = costs_of(rho / rounds)
    for clique in ((name,) for name in sizes):
        run.measure(clique, costs.sigma)
        run.spent += 1 / (2 * costs.sigma**2)
    run.estimate()
    while run.spent < rho:
        left = rho - run.spent
        last = left <= 2 * costs.rho
        costs = costs_of(left) if last else costs
        run.spent = rho if last else run.spent + costs.rho
        costs = _round(run, costs)
    return run


def counts(sizes: Mapping[str, int], train: Rows, clique: Clique) -> NDArray[np.float64]:
    shape = [sizes[name] for name in clique]
    columns = [*sizes]
    codes = [train[:, columns.index(name)] for name in clique]
    cells = np.ravel_multi_index(codes, shape)
    return np.bincount(cells, minlength=int(np.prod(shape))).astype(np.float64)


def candidates(workload: Mapping[Clique, float]) -> dict[Clique, float]:
    """Every part of a group-by, weighted by what it shares with all of them (section 4.2)."""
    parts = chain.from_iterable(
        combinations(clique, size) for clique in workload for size in range(1, len(clique) + 1)
    )
    return {
        part: sum(weight * len({*part} & {*clique}) for clique, weight in workload.items())
        for part in sorted({*parts}, key=lambda part: (len(part), part))
    }


def _round(run: Run, costs: Costs) -> Costs:
    """Choose, measure, estimate; the costs of the next round."""
    clique = choose(run, costs)
    before = run.answer(clique)
    run.measure(clique, costs.sigma)
    run.estimate()
    moved = float(np.abs(run.answer(clique) - before).sum())
    return costs.halved() if moved <= _expected_noise(before.size, costs.sigma) else costs


def choose(run: Run, costs: Costs) -> Clique:
    """The exponential mechanism over weighted errors less what noise alone would leave of them."""
    open_to = [*_affordable(run)]
    answered = run.answers(open_to)
    scores = np.array([_score(run, clique, answered[clique], costs.sigma) for clique in open_to])
    sensitivity = max(run.weights[clique] for clique in open_to)
    noisy = scores * costs.epsilon / (2 * sensitivity) + run.generator.gumbel(size=scores.shape)
    return open_to[int(np.argmax(noisy))]


def _score(run: Run, clique: Clique, answered: NDArray[np.float64], sigma: float) -> float:
    exact = run.counts(clique)
    error = float(np.abs(exact - answered).sum())
    return run.weights[clique] * (error - _expected_noise(exact.size, sigma))


def _expected_noise(cells: int, sigma: float) -> float:
    return sqrt(2 / pi) * sigma * cells


def _affordable(run: Run) -> Sequence[Clique]:
    """Candidates whose junction tree fits the share of 80 MB that the budget has reached."""
    known = [*run.measured]
    limit = LARGEST_MB * run.spent / run.rho
    size = mbi.junction_tree.hypothetical_model_size
    return [
        clique
        for clique in run.weights
        if any({*clique} <= {*one} for one in known) or size(run.domain, [*known, clique]) <= limit
    ]


def answers(model: Any, cliques: Sequence[Clique]) -> dict[Clique, NDArray[np.float64]]:
    """What `model` says of marginals, as `model.project` would, which compiles each one again."""
    names = {name: place for place, name in enumerate(model.domain.attributes)}
    factors = _factors(model)
    operands = [part for clique, values in factors.items() for part in (values, _at(names, clique))]
    found = {}
    for clique in cliques:
        values = np.asarray(contract(*operands, _at(names, clique), optimize="greedy")).ravel()
        found[clique] = values * (float(model.total) / values.sum())
    return found


def _factors(model: Any) -> dict[Clique, NDArray[np.float64]]:
    """The model's factors, each 1 at the row of most frequent values, so that none underflows."""
    likely = {name: int(np.argmax(model.project(name).values)) for name in model.domain.attributes}
    potentials = {clique: np.asarray(model.potentials[clique].values) for clique in model.cliques}
    return {
        clique: np.exp(values - values[tuple(likely[name] for name in clique)])
        for clique, values in potentials.items()
    }


def _at(names: Mapping[str, int], clique: Clique) -> list[int]:
    return [names[name] for name in clique]

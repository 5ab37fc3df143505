"""Estimate the marginals of customers who withdrew: earlier counts minus counts of who stayed.

The release made before they left has noisy counts of all customers; the authorised rows have exact
counts of those who stayed. The difference is a noisy count of those who left, as noisy as the
release. Most of that noise can be removed, because those who left resemble those who stayed:

1. The difference is split into components (see synthetic.model.consistency). The number of those
   who left is known.
2. The component of a single column is expected to be like that of those who stayed. The deviation
   is shrunk by its noise (James & Stein 1961).
3. A component of several columns is expected to be like that of those who stayed, reweighted to
   the single columns of step 2: people who leave because of their age, say, have the jobs of
   people of that age. The deviation is shrunk as in step 2.
4. No cell is shifted by much more than its noise, so that a small group that left for reasons of
   its own keeps most of its count (limited translation, Efron & Morris 1972).

All of it is post-processing of a release and of rows that may be read.
"""

from collections.abc import Mapping, Sequence
from math import prod, sqrt

import numpy as np

from synthetic.model.consistency import (
    Component,
    Floats,
    Noisy,
    Reconciled,
    assembled,
    centred,
    components,
    freedom,
)
from synthetic.model.counts import Counts
from synthetic.model.marginals import Clique

ROUNDS = 30  # of fitting a table to its margins
MAX_SHIFT = 1.0  # standard deviations of a cell's noise, before the sums are put right
LEAST = 1e-3  # rows assumed in a cell where nobody stayed, since somebody may have left it


def differences(
    before: Sequence[Noisy], stayed: Mapping[Clique, Counts], grown: float
) -> list[Reconciled]:
    """The counts `before`, scaled by `grown` to the current population, minus who stayed."""
    return [_difference(each, stayed[each.clique], grown) for each in before]


def marginals(
    left: Sequence[Noisy], stayed: Mapping[Clique, Counts], rows: int
) -> list[Reconciled]:
    """The estimated marginals of those who left, each clique once.

    `left`: noisy counts of the `rows` customers who left. `stayed`: exact counts of the others,
    over the same cliques.
    """
    shapes = {each.clique: each.values.shape for each in left}
    estimate = _ComponentEstimates(shapes, stayed, rows)
    for part, noisy in components(left).items():
        estimate.take(part, noisy)
    return [assembled(clique, shape, estimate.components) for clique, shape in shapes.items()]


def _difference(before: Noisy, stayed: Counts, grown: float) -> Reconciled:
    values = np.asarray(before.values * grown - stayed, dtype=np.float64)
    return Reconciled(before.clique, values, before.variance * grown**2)


class _ComponentEstimates:
    """The estimated components, computed from smaller to larger ones."""

    def __init__(
        self,
        shapes: Mapping[Clique, tuple[int, ...]],
        stayed: Mapping[Clique, Counts],
        rows: int,
    ) -> None:
        self.components: dict[Clique, Component] = {}
        self._sizes = {n: k for c, shape in shapes.items() for n, k in zip(c, shape, strict=True)}
        self._stayed, self._rows = stayed, rows
        self._singles: dict[str, Floats] = {}

    def take(self, part: Clique, noisy: Component) -> None:
        if not part:
            self.components[part] = Component(np.array(float(self._rows)), 0.0)
            return
        expected = centred(self._expected(part))
        spread = noisy.variance * freedom(part, self._sizes)
        free = prod(self._sizes[name] - 1 for name in part)
        deviation, believed = _shrunk(noisy.values - expected, spread, free)
        self.components[part] = Component(expected + deviation, noisy.variance * believed)
        if len(part) == 1:
            size = self._sizes[part[0]]
            single = expected + deviation + self._rows / size
            self._singles[part[0]] = np.maximum(single, LEAST)

    def _expected(self, part: Clique) -> Floats:
        """The expected counts of those who left, from those who stayed and known single columns."""
        stayed = self._margin(part)
        if len(part) == 1:
            return np.asarray(stayed * (self._rows / max(1.0, stayed.sum())))
        table = np.asarray(np.maximum(stayed, LEAST))
        return _fitted(table, [self._singles[name] for name in part])

    def _margin(self, part: Clique) -> Floats:
        inside = (clique for clique in self._stayed if {*part} <= {*clique})
        clique = min(inside, key=lambda each: self._stayed[each].size)
        away = tuple(axis for axis, name in enumerate(clique) if name not in part)
        return np.asarray(self._stayed[clique].sum(axis=away), dtype=np.float64)


def _shrunk(deviation: Floats, variance: float, free: int) -> tuple[Floats, float]:
    """The shrunk deviation, and the share of its variance that is left."""
    seen = float((deviation**2).sum())
    if seen <= 0:
        return deviation, 1.0
    believed = max(0.0, 1 - max(0, free - 2) * variance / seen)
    limit = MAX_SHIFT * sqrt(variance)
    moved = centred(np.clip(deviation * (1 - believed), -limit, limit))
    return deviation - moved, believed


def _fitted(table: Floats, margins: Sequence[Floats]) -> Floats:
    """The table nearest to `table` with these margins: iterative proportional fitting."""
    for _ in range(ROUNDS):
        for axis, margin in enumerate(margins):
            others = tuple(other for other in range(table.ndim) if other != axis)
            along = [-1 if other == axis else 1 for other in range(table.ndim)]
            table = table * (margin / table.sum(axis=others)).reshape(along)
    return table

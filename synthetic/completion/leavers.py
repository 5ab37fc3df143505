"""Estimate the marginals of customers who withdrew: earlier counts minus counts of who stayed.

The release made before they left has noisy counts of all customers; the authorised rows have exact
counts of those who stayed. The difference is a noisy count of those who left, as noisy as the
release. Most of that noise can be removed, because those who left resemble those who stayed:

1. The difference is split into components (see synthetic.model.consistency). The number of those
   who left is known.
2. The component of a single column is expected to be like that of those who stayed. The deviation
   is shrunk by its noise (James & Stein 1961), in each cell by its share of what is expected
   there (Efron & Morris 1973): in small groups fewer people can differ, so that more of a deviation
   is noise. How much people differ is estimated from all cells of the component together.
3. A component of several columns is expected to be like that of those who stayed, reweighted to
   the single columns of step 2: people who leave because of their age, say, have the jobs of
   people of that age. The deviation is shrunk as in step 2.
4. No cell is shifted by much more than its noise, so that a small group that left for reasons of
   its own keeps most of its count (limited translation, Efron & Morris 1972).

All of it is post-processing of a release and of rows that may be read.
"""

from collections.abc import Mapping, Sequence
from math import sqrt

import numpy as np

from synthetic.model.consistency import (
    Component,
    Components,
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
LEAST_BELIEVED = 0.1  # share of the variance: the model converges slowly to what has hardly any
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
    by_part = components(left)
    for part in by_part:
        estimate.take(part, by_part)
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

    def take(self, part: Clique, by_part: Components) -> None:
        noisy = by_part[part]
        if not part:
            self.components[part] = Component(np.array(float(self._rows)), 0.0)
            return
        table = self._expected(part)
        expected = centred(table)
        spread = noisy.variance * freedom(part, self._sizes)
        seen = assembled(part, noisy.values.shape, by_part).values
        people = np.maximum(np.maximum(table, seen), LEAST)
        deviation, believed = _shrunk(noisy.values - expected, spread, people)
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


def _shrunk(deviation: Floats, variance: float, expected: Floats) -> tuple[Floats, float]:
    """The shrunk deviation, and the mean share of its variance that is left.

    `variance`: of the noise of a cell. `expected`: people in each cell; the variance of how many
    they really are is taken to be proportional to it.
    """
    differing = max(0.0, float((deviation**2).sum()) - variance * deviation.size)
    real = differing / float(expected.sum()) * expected
    believed = real / (real + variance) if variance > 0 else np.ones_like(real)
    limit = MAX_SHIFT * sqrt(variance)
    moved = deviation - _balanced(deviation * believed, np.maximum(believed, LEAST))
    moved = centred(np.clip(moved, -limit, limit))
    return deviation - moved, max(LEAST_BELIEVED, float(believed.mean()))


def _balanced(table: Floats, variances: Floats) -> Floats:
    """The table moved so that it sums to 0 along each axis, most where it is least certain."""
    for _ in range(ROUNDS if table.ndim > 1 else 1):
        for axis in range(table.ndim):
            share = variances / variances.sum(axis=axis, keepdims=True)
            table = table - share * table.sum(axis=axis, keepdims=True)
    return table


def _fitted(table: Floats, margins: Sequence[Floats]) -> Floats:
    """The table nearest to `table` with these margins: iterative proportional fitting."""
    for _ in range(ROUNDS):
        for axis, margin in enumerate(margins):
            others = tuple(other for other in range(table.ndim) if other != axis)
            along = [-1 if other == axis else 1 for other in range(table.ndim)]
            table = table * (margin / table.sum(axis=others)).reshape(along)
    return table

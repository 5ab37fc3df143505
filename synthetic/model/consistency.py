"""Reconcile overlapping noisy marginals by least squares, so that they agree with each other.

A marginal over c is a sum of components, one for every subset A of c: the interaction of the
columns of A beyond that of fewer columns (the residuals of Xiao et al. 2023, "An Optimal and
Scalable Matrix Mechanism for Noisy Marginals", section 4; in statistics, the analysis of variance).
White noise of variance v on a marginal over c is independent white noise of variance
v prod(sizes of c - A) on each component. So the best linear unbiased estimate of a component is the
mean over all measured marginals that contain A, weighted by inverse variance. The components add up
to every measured marginal, each with less noise than it was measured with.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, combinations
from math import prod
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from synthetic.model.marginals import Clique

Floats = NDArray[np.float64]


class Noisy(Protocol):
    """A marginal with white noise: a measurement, or the combination of several."""

    @property
    def clique(self) -> Clique: ...
    @property
    def values(self) -> NDArray[np.int64] | Floats: ...
    @property
    def variance(self) -> float: ...


@dataclass(frozen=True, slots=True)
class Reconciled:
    """`values`: rows per cell, may be negative. `variance`: of one cell."""

    clique: Clique
    values: Floats
    variance: float


@dataclass(frozen=True, slots=True)
class Component:
    """The interaction of a subset of columns.

    `values`: one axis per column, sums to 0 along each. `variance`: of the noise on each cell
    before centring.
    """

    values: Floats
    variance: float


Components = Mapping[Clique, Component]


def reconciled(measured: Sequence[Noisy]) -> list[Reconciled]:
    """Every measured clique once, reconciled, in the order of its first measurement."""
    by_part = components(measured)
    cliques = {each.clique: each.values.shape for each in measured}
    return [assembled(clique, shape, by_part) for clique, shape in cliques.items()]


def components(measured: Sequence[Noisy]) -> dict[Clique, Component]:
    """The components of all subsets of measured cliques, smaller ones first."""
    every = dict.fromkeys(chain.from_iterable(parts(each.clique) for each in measured))
    return {
        part: _component(part, [each for each in measured if {*part} <= {*each.clique}])
        for part in sorted(every, key=len)
    }


def assembled(clique: Clique, shape: Sequence[int], by_part: Components) -> Reconciled:
    """The marginal over `clique`, of which every subset is in `by_part`."""
    sizes = dict(zip(clique, shape, strict=True))
    values, variance = np.zeros(tuple(shape)), 0.0
    for part in parts(clique):
        others = prod(size for name, size in sizes.items() if name not in part)
        along = [size if name in part else 1 for name, size in sizes.items()]
        values += by_part[part].values.reshape(along) / others
        variance += by_part[part].variance * freedom(part, sizes) / others**2
    return Reconciled(clique, values, variance)


def projected(measured: Noisy, columns: Collection[str]) -> Reconciled:
    """The marginal of a measurement over those of its columns that are in `columns`."""
    within = tuple(name for name in measured.clique if name in columns)
    values, others = _summed(measured, within), _others(measured, within)
    return Reconciled(within, values, measured.variance * others)


def centred(table: Floats) -> Floats:
    """The table minus the means along each axis: the interaction of all its columns."""
    for axis in range(table.ndim):
        table = table - table.mean(axis=axis, keepdims=True)
    return table


def freedom(part: Clique, sizes: Mapping[str, int]) -> float:
    """Degrees of freedom of a component, per cell of it."""
    return prod(1 - 1 / sizes[name] for name in part)


def parts(clique: Clique) -> list[Clique]:
    return [part for size in range(len(clique) + 1) for part in combinations(clique, size)]


def _component(part: Clique, measured: Sequence[Noisy]) -> Component:
    weights = [1 / (each.variance * _others(each, part)) for each in measured]
    weighted = (w * _summed(each, part) for w, each in zip(weights, measured, strict=True))
    return Component(centred(np.asarray(sum(weighted) / sum(weights))), 1 / sum(weights))


def _summed(measured: Noisy, within: Clique) -> Floats:
    away = tuple(axis for axis, name in enumerate(measured.clique) if name not in within)
    return np.asarray(measured.values.sum(axis=away), dtype=np.float64)


def _others(measured: Noisy, part: Clique) -> int:
    shape = zip(measured.clique, measured.values.shape, strict=True)
    return prod(size for name, size in shape if name not in part)

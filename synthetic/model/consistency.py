"""Overlapping noisy marginals -> marginals that agree with one another: the least squares answer.

A marginal over c is a sum of components, one for every subset A of c: what the columns of A say
together beyond what fewer of them say (the residuals of Xiao et al. 2023, "An Optimal and Scalable
Matrix Mechanism for Noisy Marginals", section 4; in statistics, the analysis of variance). White
noise of variance v on a marginal over c is white noise of variance v prod(sizes of c - A) on each
component, independently. So the best linear unbiased estimate of a component is the mean of what
all measured marginals that contain A say of it, weighted by inverse variance; and the components
together give every measured marginal back, each sharper than it was measured.
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
    """A marginal with white noise: a measurement, or what was made of several."""

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
    """What the columns of a subset say together. `values`: an axis per column, sums to 0 along
    each; noise of `variance` on each cell before it is centred."""

    values: Floats
    variance: float


Components = Mapping[Clique, Component]


def reconciled(measured: Sequence[Noisy]) -> list[Reconciled]:
    """Every measured clique once, in the order of its first measurement."""
    found = components(measured)
    cliques = {each.clique: each.values.shape for each in measured}
    return [assembled(clique, shape, found) for clique, shape in cliques.items()]


def components(measured: Sequence[Noisy]) -> dict[Clique, Component]:
    """Of every subset of every measured clique, smaller ones first."""
    every = dict.fromkeys(chain.from_iterable(parts(each.clique) for each in measured))
    return {
        part: _component(part, [each for each in measured if {*part} <= {*each.clique}])
        for part in sorted(every, key=len)
    }


def assembled(clique: Clique, shape: Sequence[int], found: Components) -> Reconciled:
    """The marginal over `clique`, of which every subset is in `found`."""
    sizes = dict(zip(clique, shape, strict=True))
    values, variance = np.zeros(tuple(shape)), 0.0
    for part in parts(clique):
        others = prod(size for name, size in sizes.items() if name not in part)
        along = [size if name in part else 1 for name, size in sizes.items()]
        values += found[part].values.reshape(along) / others
        variance += found[part].variance * freedom(part, sizes) / others**2
    return Reconciled(clique, values, variance)


def projected(measured: Noisy, columns: Collection[str]) -> Reconciled:
    """What the measurement says of these columns alone."""
    kept = tuple(name for name in measured.clique if name in columns)
    values, others = _summed(measured, kept), _others(measured, kept)
    return Reconciled(kept, values, measured.variance * others)


def centred(table: Floats) -> Floats:
    """The part of a table that fewer of its columns do not say."""
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


def _summed(measured: Noisy, kept: Clique) -> Floats:
    away = tuple(axis for axis, name in enumerate(measured.clique) if name not in kept)
    return np.asarray(measured.values.sum(axis=away), dtype=np.float64)


def _others(measured: Noisy, part: Clique) -> int:
    shape = zip(measured.clique, measured.values.shape, strict=True)
    return prod(size for name, size in shape if name not in part)

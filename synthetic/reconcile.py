"""Overlapping noisy marginals -> marginals that agree with one another: the least squares answer.

A marginal over c is a sum of components, one for every subset A of c: what the columns of A say
together beyond what fewer of them say (the residuals of Xiao et al. 2023, "An Optimal and Scalable
Matrix Mechanism for Noisy Marginals", section 4; in statistics, the analysis of variance). White
noise of variance v on a marginal over c is white noise of variance v prod(sizes of c - A) on each
component, independently. So the best linear unbiased estimate of a component is the mean of what
all measured marginals that contain A say of it, weighted by inverse variance; and the components
together give every measured marginal back, each sharper than it was measured.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, combinations
from math import prod
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from synthetic.marginal import Clique

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
class _Component:
    values: Floats  # one axis per column of its subset; sums to 0 along each
    variance: float  # before centring


def reconciled(measured: Sequence[Noisy]) -> list[Reconciled]:
    """Every measured clique once, in the order of its first measurement."""
    components = {
        part: _component(part, [each for each in measured if {*part} <= {*each.clique}])
        for part in dict.fromkeys(chain.from_iterable(_parts(m.clique) for m in measured))
    }
    cliques = {each.clique: each.values.shape for each in measured}
    return [_assembled(clique, shape, components) for clique, shape in cliques.items()]


def _component(part: Clique, measured: Sequence[Noisy]) -> _Component:
    weights = [1 / (each.variance * _others(each, part)) for each in measured]
    weighted = (w * _centred(each, part) for w, each in zip(weights, measured, strict=True))
    return _Component(np.asarray(sum(weighted) / sum(weights)), 1 / sum(weights))


def _centred(measured: Noisy, part: Clique) -> Floats:
    """The measurement's component over `part`."""
    away = tuple(axis for axis, name in enumerate(measured.clique) if name not in part)
    found = measured.values.sum(axis=away).astype(np.float64)
    for axis in range(len(part)):
        found = found - found.mean(axis=axis, keepdims=True)
    return np.asarray(found)


def _assembled(
    clique: Clique, shape: tuple[int, ...], components: Mapping[Clique, _Component]
) -> Reconciled:
    sizes = dict(zip(clique, shape, strict=True))
    values, variance = np.zeros(shape), 0.0
    for part in _parts(clique):
        others = prod(size for name, size in sizes.items() if name not in part)
        along = [size if name in part else 1 for name, size in sizes.items()]
        values += components[part].values.reshape(along) / others
        kept = prod(1 - 1 / sizes[name] for name in part)
        variance += components[part].variance * kept / others**2
    return Reconciled(clique, values, variance)


def _parts(clique: Clique) -> list[Clique]:
    return [part for size in range(len(clique) + 1) for part in combinations(clique, size)]


def _others(measured: Noisy, part: Clique) -> int:
    shape = zip(measured.clique, measured.values.shape, strict=True)
    return prod(size for name, size in shape if name not in part)

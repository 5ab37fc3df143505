"""Infer the smoothest distribution that explains noisy measurements, on a junction tree.

It minimises, over nonnegative tables mu (Poisson form, so that the total is estimated as well),

    sum over marginals c of  |mu_c - y_c|² / (2 sigma_c²)  +  t KL(mu, uniform)

where y_c are the measured marginals after reconciliation by least squares. The method is exact
block ascent in the dual: for one measurement at a time, the cells of its marginal m solve
m' + a ln(m'/m) = y - a theta with a = t sigma², that is m' = a omega((y - a theta)/a + ln(m/a)),
where omega is Wright's function. This is iterative proportional fitting that follows a marginal
only as far as its noise allows; it converges quickly because the marginals already agree. `t` is
reduced in stages. Nothing private is read and nothing is random.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthetic.model import junction_tree
from synthetic.model.consistency import Reconciled, reconciled
from synthetic.model.domain import Domain
from synthetic.model.junction_tree import JunctionTree
from synthetic.model.marginals import Clique
from synthetic.model.measure import Measurement, total_rows

Floats = NDArray[np.float64]

Stages = Sequence[tuple[float, int]]

STAGES: Stages = ((0.1, 10), (0.03, 30))  # (t, sweeps over the tree)
CLOSER: Stages = (*STAGES, (0.01, 30))  # follows the marginals further into their noise
SINGLE_TRUST = 0.03  # factor on their variance: one-way marginals need no smoothing
LEAST_VARIANCE = 1.0  # rows²: no cell is needed more precisely than to one row
TINY = 1e-200


@dataclass(frozen=True)
class Beliefs:
    """Consistent marginals of the tree's cliques, in rows. The arrays are not modified."""

    domain: Domain
    tree: JunctionTree
    tables: tuple[Floats, ...]

    @property
    def total(self) -> float:
        return float(self.tables[0].sum())

    def marginal(self, clique: Clique) -> Floats:
        """Expected rows per cell, axes in the order of `clique`, for any set of columns."""
        for index, names in enumerate(self.tree.cliques):
            if {*clique} <= {*names}:
                return _ordered(_margin(self.tables[index], names, clique), names, clique)
        return self._contracted(clique)

    def _contracted(self, clique: Clique) -> Floats:
        """The marginal from the smallest subtree with `clique`: cliques divided by separators."""
        import opt_einsum

        ids = {name: index for index, name in enumerate(self.domain.columns)}
        operands: list[Any] = []
        nodes = _subtree(self.tree, clique)
        for node in nodes:
            table, names = self.tables[node], self.tree.cliques[node]
            if self.tree.parents[node] in nodes:
                table = table / _spread(self._separator(node), names, self.tree.separators[node])
            operands += [table, [ids[name] for name in names]]
        wanted = [ids[name] for name in clique]
        return np.asarray(opt_einsum.contract(*operands, wanted, optimize="greedy"))

    def _separator(self, node: int) -> Floats:
        names, separator = self.tree.cliques[node], self.tree.separators[node]
        return np.maximum(_margin(self.tables[node], names, separator), TINY)


def estimate(domain: Domain, measurements: Sequence[Measurement]) -> Beliefs:
    """Fit the model to measurements. Deterministic; time does not depend on the row count."""
    rows = float(total_rows(list(measurements), domain))
    return believed(domain, reconciled(measurements), rows)


def believed(
    domain: Domain, marginals: Sequence[Reconciled], rows: float, stages: Stages = STAGES
) -> Beliefs:
    """Fit the model of about `rows` customers to marginals that agree with each other."""
    tree = junction_tree.build(sizes(domain), [each.clique for each in marginals])
    ascent = _Ascent(domain, tree, marginals, max(1.0, rows))
    for smoothing, sweeps in stages:
        for _ in range(sweeps):
            ascent.sweep(smoothing)
    ascent.distribute()
    return Beliefs(domain, tree, tuple(ascent.tables))


def sizes(domain: Domain) -> Mapping[str, int]:
    return {name: column.size for name, column in domain.columns.items()}


class _Ascent:
    """The state of the block ascent: tables of the cliques, separators, dual variables."""

    def __init__(
        self, domain: Domain, tree: JunctionTree, marginals: Sequence[Reconciled], rows: float
    ) -> None:
        self.tree = tree
        self.tables = [_uniform(domain.shape(clique), rows) for clique in tree.cliques]
        self._margins = [_uniform(domain.shape(each), rows) for each in tree.separators]
        self._measured: list[list[_Term]] = [[] for _ in tree.cliques]
        for each in marginals:
            self._measured[self._containing(each.clique)].append(_Term(each))

    def sweep(self, smoothing: float) -> None:
        """Update every measurement once, depth first, keeping neighbours consistent."""
        self._visit(0, smoothing)

    def distribute(self) -> None:
        for node, parent in enumerate(self.tree.parents):
            if parent >= 0:
                self._pass(parent, node, edge=node)

    def _visit(self, node: int, smoothing: float) -> None:
        for term in self._measured[node]:
            names = self.tree.cliques[node]
            ratio = term.update(_margin(self.tables[node], names, term.clique), smoothing)
            self.tables[node] *= _spread(ratio, names, term.clique)
        for child in self.tree.children[node]:
            self._pass(node, child, edge=child)
            self._visit(child, smoothing)
            self._pass(child, node, edge=child)

    def _pass(self, source: int, target: int, *, edge: int) -> None:
        """Make `target` agree with `source` on their separator (Hugin propagation)."""
        separator = self.tree.separators[edge]
        margin = np.maximum(
            _margin(self.tables[source], self.tree.cliques[source], separator), TINY
        )
        ratio = margin / self._margins[edge]
        self.tables[target] *= _spread(ratio, self.tree.cliques[target], separator)
        self._margins[edge] = margin

    def _containing(self, clique: Clique) -> int:
        """The smallest clique of the tree that contains a measured one."""
        inside = [i for i, names in enumerate(self.tree.cliques) if {*clique} <= {*names}]
        return min(inside, key=lambda i: self.tables[i].size)


class _Term:
    """One marginal and its dual variable."""

    def __init__(self, marginal: Reconciled) -> None:
        self.clique = marginal.clique
        self._values = marginal.values
        self._dual = np.zeros_like(self._values)
        trust = SINGLE_TRUST if len(self.clique) == 1 else 1.0
        self._variance = trust * max(marginal.variance, LEAST_VARIANCE)

    def update(self, margin: Floats, smoothing: float) -> Floats:
        """The factors for the cells of the current margin."""
        from scipy.special import wrightomega

        give = smoothing * self._variance
        now = np.maximum(margin, TINY)
        wanted = give * wrightomega(self._values / give - self._dual + np.log(now / give))
        change = np.log(np.maximum(wanted, TINY) / now)
        self._dual += change
        return np.asarray(np.exp(change))


def _uniform(shape: tuple[int, ...], rows: float) -> Floats:
    return np.full(shape, rows / np.prod(shape, dtype=np.float64))


def _margin(table: Floats, names: Clique, clique: Clique) -> Floats:
    """Summed over the columns not in `clique`; axes stay in the order of `kept`."""
    summed = tuple(axis for axis, name in enumerate(names) if name not in clique)
    return np.asarray(table.sum(axis=summed)) if summed else table


def _spread(values: Floats, names: Clique, clique: Clique) -> Floats:
    """A table over `clique`, axes in the order of `kept`, shaped to multiply one over `kept`."""
    sides = iter(values.shape)
    return values.reshape([next(sides) if name in clique else 1 for name in names])


def _ordered(margin: Floats, names: Clique, clique: Clique) -> Floats:
    have = [name for name in names if name in clique]
    return margin.transpose([have.index(name) for name in clique])


def _subtree(tree: JunctionTree, clique: Clique) -> set[int]:
    """The nodes left after removing, the least first, all leaves that add no column of `clique`."""
    alive, wanted = {*range(len(tree.cliques))}, {*clique}

    def neighbour(node: int) -> int | None:
        """The one neighbour of a leaf that adds nothing to it."""
        others = [other for other in tree.neighbours(node) if other in alive]
        needed = wanted.intersection(tree.cliques[node])
        if len(others) == 1 and needed.issubset(tree.cliques[others[0]]):
            return others[0]
        return None

    idle = [node for node in sorted(alive) if neighbour(node) is not None]  # sorted is a heap
    while idle:
        node = heappop(idle)
        beside = neighbour(node) if node in alive else None
        if beside is not None:
            alive.remove(node)
            heappush(idle, beside)  # nobody else's neighbours changed
    return alive

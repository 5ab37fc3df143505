"""Junction trees: sets of columns that a model stores jointly, so that each clique is inside one.

Greedy elimination of the cheapest column (Koller & Friedman 2009, algorithm 9.4, min-weight), then
a maximum spanning tree over the shared columns (ibid., section 10.4.2).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod

from synthetic.model.marginals import Clique

Sizes = Mapping[str, int]  # codes per column, in the order of the domain


@dataclass(frozen=True)
class JunctionTree:
    """`cliques` in depth-first order, the root first; `parents[i]` is the index of i's parent."""

    cliques: tuple[Clique, ...]
    parents: tuple[int, ...]  # -1 for the root

    @cached_property
    def children(self) -> tuple[tuple[int, ...], ...]:
        every = range(len(self.parents))
        return tuple(tuple(i for i in every if self.parents[i] == j) for j in every)

    @cached_property
    def separators(self) -> tuple[Clique, ...]:
        """What each clique shares with its parent; nothing for the root."""
        return tuple(
            tuple(n for n in clique if parent >= 0 and n in self.cliques[parent])
            for clique, parent in zip(self.cliques, self.parents, strict=True)
        )

    def neighbours(self, index: int) -> tuple[int, ...]:
        parent = self.parents[index]
        return self.children[index] + ((parent,) if parent >= 0 else ())


def build(sizes: Sizes, cliques: Sequence[Clique]) -> JunctionTree:
    """A tree over all columns in which every one of `cliques` is inside some clique."""
    maximal = _eliminate(sizes, cliques)
    parents = {0: -1}
    while len(parents) < len(maximal):
        child, parent = max(
            ((i, j) for i in range(len(maximal)) if i not in parents for j in parents),
            key=lambda edge: (len(maximal[edge[0]] & maximal[edge[1]]), -edge[0], -edge[1]),
        )
        parents[child] = parent
    order = _depth_first(parents)
    named = [tuple(name for name in sizes if name in maximal[i]) for i in order]
    return JunctionTree(
        tuple(named), tuple(-1 if parents[i] < 0 else order.index(parents[i]) for i in order)
    )


def cells(sizes: Sizes, cliques: Sequence[Clique]) -> int:
    """The number of cells of a model that stores each of `cliques` jointly."""
    return sum(prod(sizes[name] for name in clique) for clique in _eliminate(sizes, cliques))


def _eliminate(sizes: Sizes, cliques: Sequence[Clique]) -> list[set[str]]:
    left: dict[str, set[str]] = {name: set() for name in sizes}
    for clique in cliques:
        for name in clique:
            left[name] |= {*clique} - {name}
    maximal: list[set[str]] = []
    while left:
        name = min(left, key=lambda n: sizes[n] * prod(sizes[other] for other in left[n]))
        around = left.pop(name)
        for other in around:
            left[other] = (left[other] | around) - {name, other}
        if not any(around | {name} <= larger for larger in maximal):
            maximal.append(around | {name})
    return maximal[::-1]


def _depth_first(parents: Mapping[int, int]) -> list[int]:
    order, stack = [], [0]
    while stack:
        node = stack.pop()
        order.append(node)
        stack.extend(sorted((child for child in parents if parents[child] == node), reverse=True))
    return order

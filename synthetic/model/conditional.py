"""Draw missing columns exactly from the model's conditional, given columns that may be read.

The model is a product of clique tables divided by separators. A row's evidence selects slices along
its hidden columns. Belief propagation over these slices (hidden columns are summed out towards the
root, then drawn from the root down) gives the model's conditional joint without approximation. Rows
whose relevant evidence is equal share the work.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from synthetic.model.domain import Domain
from synthetic.model.inference import TINY, Beliefs
from synthetic.model.junction_tree import JunctionTree
from synthetic.model.marginals import Clique
from synthetic.model.sample import Codes, Floats, Uniforms

BLOCK_CELLS = 4_000_000  # numbers in memory per block of rows


@dataclass(frozen=True, slots=True)
class _Node:
    """A clique that has hidden columns. `table` is P(clique) / P(its separator)."""

    clique: Clique
    hidden: Clique
    shared: Clique  # hidden columns in common with the parent
    parent: int
    table: Floats


def draw(beliefs: Beliefs, evidence: Mapping[str, Codes], uniforms: Uniforms) -> dict[str, Codes]:
    """Draw every column without evidence, for each row from P(columns | evidence of the row).

    Evidence with probability 0 under the model is treated as if all codes were equally likely.
    """
    rows = len(next(iter(evidence.values()))) if evidence else 0
    nodes = _nodes(beliefs, {*beliefs.domain.columns} - {*evidence})
    felt = sorted({name for node in nodes for name in node.clique if name in evidence})
    distinct, which = _distinct(beliefs.domain, {name: evidence[name] for name in felt}, rows)
    uniform_by_node = {name: uniforms(name) for name in ("|".join(node.hidden) for node in nodes)}
    wide = max((_cells(beliefs.domain, node.hidden) for node in nodes), default=1)
    parts: list[dict[str, Codes]] = []
    order = np.argsort(which, kind="stable")
    for block in np.array_split(order, max(1, rows * wide // BLOCK_CELLS)):
        inside, local = np.unique(which[block], return_inverse=True)
        here = {name: codes[inside] for name, codes in distinct.items()}
        chance = {name: u[block] for name, u in uniform_by_node.items()}
        parts.append(_draw_block(beliefs.domain, nodes, here, local, chance))
    drawn: dict[str, Codes] = {}
    for name in parts[0]:
        drawn[name] = np.empty(rows, dtype=np.int64)
        drawn[name][order] = np.concatenate([part[name] for part in parts])
    return drawn


def probability(
    beliefs: Beliefs, evidence: Mapping[str, Codes], values: Mapping[str, Codes]
) -> Floats:
    """P(values | evidence) per row, where `values` has every column without evidence."""
    nodes = _nodes(beliefs, {*values})
    rows = len(next(iter(values.values())))
    here = {**evidence} or {"": np.zeros(rows, dtype=np.int64)}
    result, seen = np.ones(rows), set[str]()
    for node, belief in zip(nodes, _collect(beliefs.domain, nodes, here), strict=True):
        flat, free = _conditioned(beliefs.domain, node, belief, seen)
        cell = np.arange(rows)
        for name in (n for n in node.hidden if n in seen):
            cell = cell * beliefs.domain[name].size + values[name]
        if free:
            codes = np.ravel_multi_index([values[n] for n in free], beliefs.domain.shape(free))
            weights = flat[cell]
            result *= weights[np.arange(rows), codes] / weights.sum(axis=1)
        seen |= {*node.hidden}
    return result


def _draw_block(
    domain: Domain,
    nodes: Sequence[_Node],
    evidence: Mapping[str, Codes],
    local: Codes,
    chance: Mapping[str, Floats],
) -> dict[str, Codes]:
    drawn: dict[str, Codes] = {}
    beliefs = _collect(domain, nodes, evidence)
    for node, belief in zip(nodes, beliefs, strict=True):
        flat, free = _conditioned(domain, node, belief, {*drawn})
        if not free:
            continue
        cell = local
        for name in (n for n in node.hidden if n in drawn):
            cell = cell * domain[name].size + drawn[name]
        codes = _inverse(flat, cell, chance["|".join(node.hidden)])
        drawn.update(zip(free, np.unravel_index(codes, domain.shape(free)), strict=True))
    return drawn


def _conditioned(
    domain: Domain, node: _Node, belief: Floats, drawn: set[str]
) -> tuple[Floats, Clique]:
    """Weights over the node's free columns, one row per (row, codes of its drawn columns)."""
    given = [1 + i for i, name in enumerate(node.hidden) if name in drawn]
    free = tuple(name for name in node.hidden if name not in drawn)
    moved = np.moveaxis(belief, given, range(1, 1 + len(given)))
    return moved.reshape(-1, _cells(domain, free)), free


def _inverse(weights: Floats, cell: Codes, u: Floats) -> Codes:
    cumulative = np.cumsum(weights, axis=1)
    last = cumulative[:, -1:]
    cumulative /= np.where(last > 0, last, 1.0)
    return np.asarray((u[:, None] >= cumulative[cell, :-1]).sum(axis=1))


def _collect(domain: Domain, nodes: Sequence[_Node], evidence: Mapping[str, Codes]) -> list[Floats]:
    """Per node, unnormalised P(hidden columns of node, everything below | evidence) per row."""
    messages = [_slice(domain, node, evidence) for node in nodes]
    for index in range(len(nodes) - 1, -1, -1):
        node = nodes[index]
        if node.parent < 0:
            continue
        away = tuple(1 + i for i, name in enumerate(node.hidden) if name not in node.shared)
        message = messages[index].sum(axis=away) if away else messages[index]
        above = nodes[node.parent]
        shape = [domain[name].size if name in node.shared else 1 for name in above.hidden]
        messages[node.parent] = messages[node.parent] * message.reshape(len(message), *shape)
    return messages


def _slice(domain: Domain, node: _Node, evidence: Mapping[str, Codes]) -> Floats:
    """The node's table at each row's evidence: shape (rows, *hidden)."""
    known = tuple(name for name in node.clique if name not in node.hidden)
    table = np.moveaxis(node.table, [node.clique.index(n) for n in known], range(len(known)))
    if not known:
        rows = len(next(iter(evidence.values()))) if evidence else 1
        return np.broadcast_to(table, (rows, *table.shape))
    flat = table.reshape(-1, *domain.shape(node.hidden))
    cell = np.ravel_multi_index([evidence[name] for name in known], domain.shape(known))
    return np.asarray(flat[cell])


def _nodes(beliefs: Beliefs, hidden: set[str]) -> list[_Node]:
    """The cliques with hidden columns, parents first; the others are constant per row."""
    tree = beliefs.tree
    nodes: list[_Node] = []
    place: dict[int, int] = {}
    for index, clique in enumerate(tree.cliques):
        inside = tuple(name for name in clique if name in hidden)
        if not inside:
            continue
        shared = tuple(name for name in tree.separators[index] if name in hidden)
        parent = place[tree.parents[index]] if shared else -1
        place[index] = len(nodes)
        nodes.append(_Node(clique, inside, shared, parent, _given_separator(beliefs, tree, index)))
    return nodes


def _given_separator(beliefs: Beliefs, tree: JunctionTree, index: int) -> Floats:
    clique, separator = tree.cliques[index], tree.separators[index]
    away = tuple(axis for axis, name in enumerate(clique) if name not in separator)
    below = beliefs.tables[index].sum(axis=away, keepdims=True)
    return np.asarray(beliefs.tables[index] / np.maximum(below, TINY))


def _distinct(
    domain: Domain, felt: Mapping[str, Codes], rows: int
) -> tuple[dict[str, Codes], Codes]:
    """Each combination of relevant evidence once, and the index of each row's combination."""
    if not felt:
        return {"": np.zeros(1, dtype=np.int64)}, np.zeros(rows, dtype=np.int64)
    key = np.zeros(rows, dtype=np.int64)
    for name, codes in felt.items():
        _, key = np.unique(key * domain[name].size + codes, return_inverse=True)
    _, first, which = np.unique(key, return_index=True, return_inverse=True)
    return {name: codes[first] for name, codes in felt.items()}, which


def _cells(domain: Domain, names: Clique) -> int:
    return int(np.prod(domain.shape(names), dtype=np.int64))

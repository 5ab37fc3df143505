"""MST (McKenna, Miklau & Sheldon, Journal of Privacy and Confidentiality 2021) over mbi 2.

A third of rho each to one-way marginals, to choosing a spanning tree, and to its pairs. The noise
is numpy's: this is a peer to be compared with, not something to publish.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from benchmarks.peers_synthetic.aim import Clique, counts
from benchmarks.peers_synthetic.exchange import Rows
from benchmarks.peers_synthetic.inference import mbi


def fit(sizes: Mapping[str, int], train: Rows, rho: float, generator: np.random.Generator) -> Any:
    """mbi's model of the tree."""
    domain = mbi.Domain(list(sizes), list(sizes.values()))
    alone = [(name,) for name in sizes]
    measured = _measured(sizes, train, alone, rho / 3, generator)
    total = float(np.mean([each.noisy_measurement.sum() for each in measured]))
    first = mbi.estimation.MirrorDescent().estimate(domain, measured, known_total=total)
    edges = _spanning_edges(sizes, train, first, rho / 3, generator)
    measured += _measured(sizes, train, edges, rho / 3, generator)
    return mbi.estimation.MirrorDescent().estimate(domain, measured, known_total=total)


def _measured(
    sizes: Mapping[str, int],
    train: Rows,
    cliques: Sequence[Clique],
    rho: float,
    generator: np.random.Generator,
) -> list[mbi.LinearMeasurement]:
    sigma = (len(cliques) / (2 * rho)) ** 0.5
    exact = [counts(sizes, train, clique) for clique in cliques]
    noisy = [each + generator.normal(0, sigma, each.shape) for each in exact]
    pairs = zip(noisy, cliques, strict=True)
    return [mbi.LinearMeasurement(values, clique, stddev=sigma) for values, clique in pairs]


def _spanning_edges(
    sizes: Mapping[str, int], train: Rows, model: Any, rho: float, generator: np.random.Generator
) -> list[Clique]:
    """Columns joined one after the other by the exponential mechanism."""
    scores = {
        pair: float(np.abs(counts(sizes, train, pair) - _answer(model, pair)).sum())
        for pair in combinations(sizes, 2)
    }
    epsilon = (8 * rho / (len(sizes) - 1)) ** 0.5
    groups = {name: {name} for name in sizes}
    edges: list[tuple[str, ...]] = []
    while len(edges) < len(sizes) - 1:
        open_pairs = [pair for pair in scores if groups[pair[0]] is not groups[pair[1]]]
        noisy = [scores[pair] * epsilon / 2 + generator.gumbel() for pair in open_pairs]
        edge = open_pairs[int(np.argmax(noisy))]
        edges.append(edge)
        merged = groups[edge[0]] | groups[edge[1]]
        groups.update(dict.fromkeys(merged, merged))
    return edges


def _answer(model: Any, clique: Clique) -> Any:
    return np.asarray(model.project(clique).datavector())

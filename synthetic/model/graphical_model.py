"""Build the model from measurements. Deterministic, so a release's body determines its model."""

from collections.abc import Sequence

import numpy as np

from synthetic.model import junction_tree
from synthetic.model.domain import Domain
from synthetic.model.inference import Beliefs, estimate, sizes
from synthetic.model.marginals import Clique
from synthetic.model.measure import Measurement, total_rows
from synthetic.model.sample import Floats, Model, SamplingStep, step

INDEPENDENT = "independent"  # every column alone, discrete Laplace noise: the baseline
GRAPHICAL = "graphical"  # declared and adaptively chosen marginals, discrete Gaussian noise


class UnknownMechanismError(ValueError):
    """A release names a mechanism that this version does not know."""


def require_known(mechanism: str) -> None:
    """Raise UnknownMechanismError unless this version knows the mechanism."""
    if mechanism not in (INDEPENDENT, GRAPHICAL):
        raise UnknownMechanismError(
            f"mechanism is {mechanism!r}, want {INDEPENDENT!r} or {GRAPHICAL!r}"
        )


def beliefs_of(mechanism: str, domain: Domain, measurements: Sequence[Measurement]) -> Beliefs:
    """The model's estimate of every marginal. Raises UnknownMechanismError."""
    require_known(mechanism)
    return (_independent if mechanism == INDEPENDENT else estimate)(domain, measurements)


def model_of(beliefs: Beliefs) -> Model:
    """The drawing order: cliques of the tree, each given what it shares with its parent."""
    drawn: list[str] = []
    steps: list[SamplingStep] = []
    for clique in beliefs.tree.cliques:
        for name in clique:
            if name not in drawn:
                given = tuple(other for other in clique if other in drawn)
                steps.append(_step(beliefs, name, _strongest_first(beliefs, name, given)))
                drawn.append(name)
    return Model(beliefs.domain, tuple(steps))


def nearest(values: Floats, total: float) -> Floats:
    """The weights >= 0 with sum `total` that are nearest to noisy `values` (least squares).

    Projection onto the simplex (Duchi et al. 2008, figure 1). All equal if `total` is 0.
    """
    if total <= 0:
        return np.full(values.shape, 1 / values.size)
    falling = np.sort(values.ravel())[::-1]
    excess = (np.cumsum(falling) - total) / np.arange(1, falling.size + 1)
    threshold = excess[np.nonzero(falling > excess)[0][-1]]
    return np.asarray(np.maximum(values - threshold, 0.0))


def _independent(domain: Domain, measurements: Sequence[Measurement]) -> Beliefs:
    rows = total_rows(list(measurements), domain)
    tree = junction_tree.build(sizes(domain), [])
    alone = {m.clique: nearest(m.values.astype(np.float64), rows) for m in measurements}
    return Beliefs(domain, tree, tuple(alone[clique] for clique in tree.cliques))


def _step(beliefs: Beliefs, name: str, given: Clique) -> SamplingStep:
    joint = beliefs.marginal((*given, name))
    return step(name, given, joint.reshape(-1, beliefs.domain[name].size))


def _strongest_first(beliefs: Beliefs, name: str, given: Clique) -> Clique:
    """Parents sorted by mutual information with the column; drawing follows the first best."""
    return tuple(sorted(given, key=lambda other: -_information(beliefs.marginal((other, name)))))


def _information(joint: Floats) -> float:
    total = max(joint.sum(), 1.0)
    share = joint / total
    alone = share.sum(axis=1, keepdims=True) * share.sum(axis=0, keepdims=True)
    inside = (share > 0) & (alone > 0)
    return float((share[inside] * np.log(share[inside] / alone[inside])).sum())

"""Private selection of the pairs of columns that the model misrepresents most.

A candidate's score is the L1 distance between its counts and the model's, both integers; one
customer changes it by at most their contribution. The scores are released with exact discrete
Gaussian noise, so anyone can recompute the choice. Because it is noise of the same kind as that of
the measurements, the whole release keeps the tight conversion of its loss, which an exponential
mechanism would not allow. The choice from the noisy scores is post-processing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthetic.model import junction_tree
from synthetic.model.counts import Counts
from synthetic.model.domain import Domain
from synthetic.model.inference import Beliefs, sizes
from synthetic.model.marginals import Clique, cells
from synthetic.model.measure import MeasurementError, sigma_within
from synthetic.privacy.budget import GAUSSIAN_NOISE, PrivacyLoss, exact, gaussian_loss, parse_exact
from synthetic.privacy.mechanisms import Noise

MAX_CHOSEN = 60
SMALL_TARGET = 4  # codes of a target that is measured together with pairs
MEAN_ABSOLUTE = 0.8  # of a Gaussian, in units of sigma


@dataclass(frozen=True, slots=True)
class Selection:
    """Noisy scores of all candidates of one round. `scale`: sigma; `sensitivity`: of one score."""

    candidates: tuple[Clique, ...]
    scale: Fraction
    sensitivity: int
    values: tuple[int, ...]

    @property
    def loss(self) -> PrivacyLoss:
        one = gaussian_loss(self.sensitivity, self.scale * self.scale)
        return PrivacyLoss(one.rho * len(self.candidates))

    def body(self) -> dict[str, object]:
        return {
            "candidates": [list(each) for each in self.candidates],
            "noise": GAUSSIAN_NOISE,
            "scale": exact(self.scale),
            "sensitivity": self.sensitivity,
            "values": list(self.values),
        }


def from_body(body: Mapping[str, Any]) -> Selection:
    """Raises MeasurementError."""
    try:
        candidates = tuple(tuple(map(str, each)) for each in body["candidates"])
        values = tuple(int(each) for each in body["values"])
        scale, sensitivity = parse_exact(body["scale"]), int(body["sensitivity"])
        if body["noise"] != GAUSSIAN_NOISE or len(values) != len(candidates) or scale <= 0:
            raise MeasurementError(f"want one {GAUSSIAN_NOISE} score per candidate")
    except (KeyError, TypeError, ValueError) as error:
        raise MeasurementError(f"not a selection: {error}") from error
    return Selection(candidates, scale, sensitivity, values)


def candidates(
    domain: Domain, targets: Sequence[str], measured: Sequence[Clique]
) -> tuple[Clique, ...]:
    """The candidates: pairs of columns that no measurement covers, combined with small targets."""
    covered = {part for clique in measured for part in _pairs_and_triples(clique)}
    extended = [
        each
        for pair in combinations(domain.columns, 2)
        for each in _with_targets(pair, domain, targets)
    ]
    return tuple(each for each in dict.fromkeys(extended) if each not in covered)


def _with_targets(pair: Clique, domain: Domain, targets: Sequence[str]) -> list[Clique]:
    """The pair with each small target; the pair alone if it has a target or there is none."""
    added = [t for t in targets if domain[t].size <= SMALL_TARGET]
    if not added or any(name in targets for name in pair):
        return [pair]
    return [tuple(n for n in domain.columns if n in (*pair, target)) for target in added]


def _pairs_and_triples(clique: Clique) -> list[Clique]:
    return [part for size in (2, 3) for part in combinations(clique, size)]


def score(
    counts: Mapping[Clique, Counts],
    beliefs: Beliefs,
    candidates: Sequence[Clique],
    sensitivity: int,
    loss: PrivacyLoss,
    noise: Noise,
) -> Selection:
    """Release every candidate's distance from the model, spending at most `loss`."""
    distances = [_distance(counts[each], beliefs.marginal(each)) for each in candidates]
    sigma = sigma_within(sensitivity, PrivacyLoss(loss.rho / len(candidates)))
    noisy = noise.gaussian(np.array(distances, dtype=np.int64), sigma)
    return Selection(tuple(candidates), sigma, sensitivity, tuple(noisy.tolist()))


def best(
    domain: Domain, selection: Selection, measured: Sequence[Clique], rho: Fraction, most_cells: int
) -> list[Clique]:
    """The candidates to measure, sharing `rho`. Depends on the noisy scores alone.

    Their number maximises the removed distance minus the added noise, while the junction tree of
    all measured marginals has at most `most_cells` cells.
    """
    size = np.array([cells(domain, each) for each in selection.candidates])
    gains = {k: _gains(selection, size, k, rho) for k in range(1, MAX_CHOSEN + 1)}
    number = max(gains, key=lambda k: float(np.sort(gains[k])[::-1][:k].clip(0).sum()))
    chosen: list[Clique] = []
    for index in np.argsort(-gains[number], kind="stable"):
        pair = selection.candidates[index]
        if len(chosen) == number or gains[number][index] <= 0:
            break
        if junction_tree.cells(sizes(domain), [*measured, *chosen, pair]) <= most_cells:
            chosen.append(pair)
    return chosen


def _gains(
    selection: Selection, size: NDArray[np.int64], number: int, rho: Fraction
) -> NDArray[np.float64]:
    sigma = selection.sensitivity * sqrt(number / (2 * float(rho)))
    return np.asarray(np.array(selection.values) - MEAN_ABSOLUTE * sigma * size)


def _distance(counts: Counts, model: NDArray[np.float64]) -> int:
    return int(np.abs(counts - np.rint(model).astype(np.int64)).sum())

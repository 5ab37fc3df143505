"""The share of a fit's budget that each marginal gets.

Shares depend on public data only: the contract and integers that are already released.

    singles   every column alone: estimates the sizes of segments
    declared  the group-bys and trends that the scene serves: most of the budget
    targets   each column that the scene predicts, with every other column
    chosen    the marginals that the model misrepresents most (synthetic.model.select), in rounds

A release that only completes tables spends all of it on singles and declared.
"""

from collections.abc import Sequence
from enum import StrEnum
from fractions import Fraction

import numpy as np

from synthetic.model.domain import Domain
from synthetic.model.inference import Beliefs
from synthetic.model.marginals import Clique

SINGLES = Fraction(3, 100)  # shares of rho
DECLARED = Fraction(74, 100)
TARGETS = Fraction(3, 100)
SCORES = Fraction(10, 100)  # of a round of choosing: for the scores
ROUNDS = 2
LEFT_OVER = Fraction(1, 100)  # of rho: a smaller rest is not worth another measurement
SERVED = 0.008  # the budget is optimised for segments of at least this share of all rows
TREND_WEIGHT = 0.5  # lower, because each group-by over a trend's column improves the trend too
NEED_POWER = 0.8  # 2/3 would be optimal if group-bys did not improve each other


class MeasuredMarginals(StrEnum):
    """Which marginals a fit spends its budget on."""

    ADAPTIVE = "adaptive"  # the declared marginals first, the rest where the model needs it
    DECLARED = "declared"  # the declared marginals alone


def even(rho: Fraction, cliques: Sequence[Clique]) -> list[Fraction]:
    return [rho / len(cliques)] * len(cliques) if cliques else []


def by_need(rho: Fraction, beliefs: Beliefs, served: Sequence[Clique]) -> list[Fraction]:
    """Split `rho` so that the mean relative error of the served segments is small.

    For segments of sizes s, the error of a marginal is sigma times sum 1/s. Minimising the sum over
    all marginals for a given sum of 1/sigma² makes each rho a power of sum 1/s. The sizes are
    estimated from what is already released.
    """
    weights = np.array([_need(beliefs, clique) for clique in served]) ** NEED_POWER
    weights *= [TREND_WEIGHT if len(clique) == 1 else 1.0 for clique in served]
    units = [max(1, int(share * 2**20)) for share in weights / weights.sum()]
    return [rho * Fraction(unit, sum(units)) for unit in units]


def with_target(domain: Domain, targets: Sequence[str], measured: Sequence[Clique]) -> list[Clique]:
    """The pairs of a target with another column that no measured marginal contains."""
    pairs = [
        tuple(other for other in domain.columns if other in (name, target))
        for target in targets
        for name in domain.columns
        if name != target
    ]
    known = [{*clique} for clique in measured]
    return [p for p in dict.fromkeys(pairs) if not any({*p} <= clique for clique in known)]


def _need(beliefs: Beliefs, clique: Clique) -> float:
    expected = beliefs.marginal(clique)
    segments = expected[expected >= SERVED * beliefs.total]
    return float((1 / segments).sum()) if segments.size else 1 / max(beliefs.total, 1.0)

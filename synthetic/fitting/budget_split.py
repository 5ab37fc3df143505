"""How much of a fit's budget each marginal gets. Decided in public: from the contract and from what
is already released, never from a count.

    singles   every column alone: says how large segments may be, and serves what nothing else does
    declared  the group-bys and trends that the scene serves: most of the budget
    targets   what the scene predicts, by every other column
    chosen    whatever the model still misrepresents most (synthetic.model.select), in rounds
"""

from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from synthetic.model.domain import Domain
from synthetic.model.inference import Beliefs
from synthetic.model.marginals import Clique

SINGLES = Fraction(3, 100)  # shares of rho
DECLARED = Fraction(74, 100)
TARGETS = Fraction(3, 100)
SCORES = Fraction(10, 100)  # of a round of choosing, to the scores
ROUNDS = 2
LEFT_OVER = Fraction(1, 100)  # of rho: less is not worth another measurement
SERVED = 0.008  # segments of at least this share of all rows are what a scene is served for
TREND_WEIGHT = 0.5  # every group-by over a trend's column sharpens the trend as well
NEED_POWER = 0.8  # 2/3 were best if no group-by sharpened another


def even(rho: Fraction, cliques: Sequence[Clique]) -> list[Fraction]:
    return [rho / len(cliques)] * len(cliques) if cliques else []


def by_need(rho: Fraction, beliefs: Beliefs, served: Sequence[Clique]) -> list[Fraction]:
    """Shares that make the mean relative error of the served segments small.

    With k segments of sizes s, the error of a marginal is sigma times sum 1/s; minimising the sum
    over marginals for a given sum of 1/sigma² makes each rho a power of sum 1/s. The sizes come
    from what is already released.
    """
    weights = np.array([_need(beliefs, clique) for clique in served]) ** NEED_POWER
    weights *= [TREND_WEIGHT if len(clique) == 1 else 1.0 for clique in served]
    units = [max(1, int(share * 2**20)) for share in weights / weights.sum()]
    return [rho * Fraction(unit, sum(units)) for unit in units]


def with_target(domain: Domain, targets: Sequence[str], measured: Sequence[Clique]) -> list[Clique]:
    """Every column beside each target, unless something measured holds both."""
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

"""What releases may cost the customers they are fitted on, as the company's settings say.

Losses are zCDP's rho: see synthetic.privacy.budget. A company may allow less than the defaults, and
more only up to (MAX_EPSILON, MAX_DELTA) for one customer, over all scenes and years.
"""

from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

from synthetic.privacy import accounting
from synthetic.privacy.budget import LossError, PrivacyLoss, loss_within
from synthetic.privacy.budget_ledger import MAX_DELTA, MAX_EPSILON, is_allowed

SCENE = PrivacyLoss(Fraction(1, 8))  # (2.42, 1e-6) at the end of the year
YEAR = PrivacyLoss(Fraction(1, 4))  # (3.55, 1e-6)
TOTAL = PrivacyLoss(Fraction(3, 2))  # (9.85, 1e-6)


class PrivacyLimitError(ValueError):
    """A limit is looser than any company may set. Says which setting, and what to do."""


@dataclass(frozen=True, slots=True)
class PrivacyLimits:
    """`scene`: of one scene in a year. `year`, `total`: of one customer, over all scenes."""

    epsilon: Fraction = Fraction(1)  # of one release, at `delta`
    delta: Fraction = MAX_DELTA
    scene: PrivacyLoss = SCENE
    year: PrivacyLoss = YEAR
    total: PrivacyLoss = TOTAL

    @property
    def release(self) -> PrivacyLoss:
        """The most that one release may cost. Raises LossError."""
        return accounting.loss_within(self.epsilon, self.delta)


def require_bounded(limits: PrivacyLimits) -> None:
    """Refuse limits that are looser than allowed, or that pay for no release.

    Raises PrivacyLimitError.
    """
    if not 0 < limits.delta <= MAX_DELTA:
        raise PrivacyLimitError(f"release_delta is {float(limits.delta)}, want 1e-6 or less")
    if not is_allowed(limits.total):
        found = limits.total.epsilon(MAX_DELTA)
        most = loss_within(MAX_EPSILON, MAX_DELTA).rho
        raise PrivacyLimitError(
            f"customer_rho is {limits.total.rho}, which is epsilon {float(found):.2f} at delta "
            f"1e-6: want {float(most):.4f} or less, which is epsilon {MAX_EPSILON}"
        )
    try:
        chain = [
            (f"release_epsilon {limits.epsilon} costs rho", limits.release),
            ("scene_rho_a_year is", limits.scene),
            ("customer_rho_a_year is", limits.year),
            ("customer_rho is", limits.total),
        ]
    except LossError as error:
        raise PrivacyLimitError(f"release_epsilon: {error}") from error
    for (small, less), (large, more) in pairwise(chain):
        if less > more:
            raise PrivacyLimitError(
                f"{small} {float(less.rho):.6g} and {large} {more.rho}: want the first no larger "
                "than the second; lower the first or raise the second"
            )

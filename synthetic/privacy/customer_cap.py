"""The privacy loss of each customer over many fits, capped per customer.

A customer's loss is the sum of rho over the fits they were in (individual accounting, Feldman &
Zrnic 2021). A customer whom the next fit would take beyond the cap is left out of it, which is
decided from their own history alone. A cadence keeps refits apart, because a refit after a single
withdrawal would reveal it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction

from synthetic.privacy.budget import PrivacyLoss

NONE = PrivacyLoss(Fraction(0))


@dataclass(frozen=True, slots=True)
class Exposure:
    """Subject -> the loss of the fits they were in. Immutable: `charged` returns a new one.

    `everybody`: the loss of the fits that everybody was in, on top of that.
    """

    spent: Mapping[str, PrivacyLoss]
    everybody: PrivacyLoss = NONE

    @property
    def most(self) -> PrivacyLoss:
        """The loss of whoever lost most."""
        alone = max((each.rho for each in self.spent.values()), default=Fraction(0))
        return PrivacyLoss(alone) + self.everybody

    def admitted(self, subjects: Iterable[str], loss: PrivacyLoss, cap: PrivacyLoss) -> list[str]:
        """The subjects that stay within `cap` after a fit of `loss`, in the given order."""
        common = self.everybody + loss
        return [s for s in subjects if self.spent.get(s, NONE) + common <= cap]

    def charged(self, subjects: Iterable[str], loss: PrivacyLoss) -> "Exposure":
        """The exposure after a fit of `loss` on `subjects`."""
        paid = {subject: self.spent.get(subject, NONE) + loss for subject in subjects}
        return Exposure({**self.spent, **paid}, self.everybody)

    def charged_to_all(self, loss: PrivacyLoss) -> "Exposure":
        """The exposure after a fit of `loss` on everybody."""
        return Exposure(self.spent, self.everybody + loss)


@dataclass(frozen=True, slots=True)
class Cadence:
    """When a scene may be fitted again: after `least` and at least `changes` consent changes."""

    least: timedelta = timedelta(days=7)
    changes: int = 50

    def due(self, fitted_at: datetime, at: datetime, changes: int) -> bool:
        """Whether a refit is due. `changes`: customers who joined or left since `fitted_at`."""
        return at - fitted_at >= self.least and changes >= self.changes

"""What each customer has been exposed to over many fits, and who must leave the population.

A customer pays for the fits they were in, and for no other (individual accounting, Feldman & Zrnic
2021): the sum of rho over these. Whoever the next fit would take past the cap is left out of it
beforehand, which is decided from their own history alone. Epochs keep refits apart: one that
follows a single withdrawal would point at it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction

from synthetic.privacy.budget import PrivacyLoss

NONE = PrivacyLoss(Fraction(0))


@dataclass(frozen=True, slots=True)
class Exposure:
    """Subject -> the losses they have been part of. A value: charging returns the next one."""

    spent: Mapping[str, PrivacyLoss]

    def admitted(self, subjects: Iterable[str], loss: PrivacyLoss, cap: PrivacyLoss) -> list[str]:
        """Those whom a fit of `loss` keeps within `cap`, in the order given."""
        return [s for s in subjects if self.spent.get(s, NONE) + loss <= cap]

    def charged(self, subjects: Iterable[str], loss: PrivacyLoss) -> "Exposure":
        """After a fit of `loss` on `subjects`."""
        paid = {subject: self.spent.get(subject, NONE) + loss for subject in subjects}
        return Exposure({**self.spent, **paid})


@dataclass(frozen=True, slots=True)
class Cadence:
    """When a scene may be fitted again: not sooner, and not for fewer changes of consent."""

    least: timedelta = timedelta(days=7)
    changes: int = 50

    def due(self, fitted_at: datetime, at: datetime, changes: int) -> bool:
        """`changes`: customers who joined or left since `fitted_at`."""
        return at - fitted_at >= self.least and changes >= self.changes

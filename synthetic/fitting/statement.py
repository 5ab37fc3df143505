"""The privacy statement of a release: what may be claimed of it, as a record and in words."""

from dataclasses import dataclass
from fractions import Fraction

from synthetic.privacy.budget import PrivacyLoss, exact

UNIT = "customer"
NEIGHBOURS = "add or remove one"


@dataclass(frozen=True, slots=True)
class Statement:
    """The privacy statement. `contribution`: the most rows that one customer has.

    `events`: the most events of one customer in a period of a series; 0: the release has none.
    """

    contribution: int
    rho: PrivacyLoss
    delta: Fraction
    epsilon: Fraction
    mechanism: str
    unit: str = UNIT
    neighbours: str = NEIGHBOURS
    events: int = 0

    def __str__(self) -> str:
        """The statement in words. Nothing stronger may be claimed of a release."""
        events = f", and {self.events} events in a period of a series" if self.events else ""
        return (
            f"For anyone, adding or removing one {self.unit} with all their rows (at most "
            f"{self.contribution}{events}) changes the probability of any set of synthetic outputs "
            f"of this release by at most a factor e^{float(self.epsilon):.6g} plus "
            f"{float(self.delta):.3g} ({float(self.rho.rho):.6g}-zCDP). It covers neither rows "
            "served with consent nor what the population teaches about a person."
        )

    def body(self) -> dict[str, object]:
        return {
            "unit": self.unit,
            "neighbours": self.neighbours,
            "contribution": self.contribution,
            "rho": exact(self.rho.rho),
            "delta": exact(self.delta),
            "epsilon": exact(self.epsilon),
            **({"events": self.events} if self.events else {}),
        }

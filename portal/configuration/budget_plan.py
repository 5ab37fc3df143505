"""How a customer's privacy budget of a year is divided among the releases of a company.

Without a scene for statistics, each scene is fitted every `refit_days` at the settings' epsilon,
and whom a release would take beyond their cap is left out of it. With one:

    the statistics                            every `refit_days`   what the year's cap leaves
    a scene that completes its own tables     once a year          epsilon of the settings
    one whose tables rest on the statistics   once a year          a quarter of it

Releases for statistics count everybody, so each is charged to whoever consents to every use as
well: they get what these leave. They never get less than a release of a scene; if the cap does not
pay for that, the last of the year is not made, and says so (portal.operations.release_service).
"""

from dataclasses import dataclass
from datetime import timedelta
from fractions import Fraction

from gate.contracts.scene import Population, Scene
from portal.configuration.privacy_limits import PrivacyLimits
from synthetic.privacy import accounting
from synthetic.privacy.budget import PrivacyLoss
from synthetic.privacy.customer_cap import Cadence

YEAR = timedelta(days=365)
UNIT = 10**6  # losses of statistics are whole multiples of rho 1/UNIT


@dataclass(frozen=True, slots=True)
class BudgetPlan:
    """`usual`: how often a scene is fitted by the settings."""

    limits: PrivacyLimits
    usual: Cadence
    scenes: tuple[Scene, ...]

    def loss(self, scene: Scene) -> PrivacyLoss:
        """Of one release of the scene. Raises LossError."""
        least = self.limits.release
        if scene.population is Population.NOT_OBJECTING:
            return accounting.loss_within(self.limits.epsilon / 4, self.limits.delta)
        if not scene.counts_everybody:
            return least
        others = [each for each in self.scenes if each.releases and not each.counts_everybody]
        spent = sum((self.loss(each).rho for each in others), Fraction(0))
        left = (self.limits.year.rho - spent) / self.a_year
        return PrivacyLoss(max(least.rho, Fraction(int(left * UNIT), UNIT)))

    def limit(self, scene: Scene) -> PrivacyLoss:
        """What the releases of the scene may spend in a year."""
        return self.limits.year if scene.counts_everybody else self.limits.scene

    def cadence(self, scene: Scene) -> Cadence:
        """When a release of the scene is due again.

        Statistics follow the calendar alone. Beside them the other releases are few: where the
        statistics complete the tables, they only stand in for single values, which do not age.
        """
        if scene.counts_everybody:
            return Cadence(self.usual.least, 0)
        if any(each.counts_everybody for each in self.scenes):
            return Cadence(max(self.usual.least, YEAR), self.usual.changes)
        return self.usual

    @property
    def a_year(self) -> int:
        """Releases for statistics in a year."""
        return max(1, -(-YEAR.days // max(1, self.usual.least.days)))

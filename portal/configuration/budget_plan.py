"""How a customer's privacy budget of a year is divided among the releases of a company.

Without a scene for statistics, each scene is fitted at the settings' epsilon every `refit_days`, or
as much more seldom as a customer needs who allows every use: nobody is left out because they allow
more than others. With one:

    the statistics                            every `refit_days`   what the year's cap leaves
    a scene that completes its own tables     once a year          epsilon of the settings
    one whose tables rest on the statistics   once a year          a quarter of it
    a period of a series over events          once                 at_most² / (2 sigma²)

Series are part of the releases for statistics, which get what the series leave as well.

Releases for statistics count everybody, so each is charged to whoever consents to every use as
well: they get what these leave. They never get less than a release of a scene. A plan that the caps
do not pay for is refused, with the sum (`require_feasible`), by `sovereign check` and by a start.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from fractions import Fraction

from gate.contracts.scene import Population, Scene
from portal.configuration.privacy_limits import PrivacyLimits
from synthetic.privacy import accounting
from synthetic.privacy.budget import PrivacyLoss
from synthetic.privacy.customer_cap import Cadence

YEAR, LEAP_YEAR = timedelta(days=365), timedelta(days=366)
UNIT = 10**6  # losses of statistics are whole multiples of rho 1/UNIT


class BudgetPlanError(ValueError):
    """The releases of a year cost more than a customer may lose. Has the sum, and what to do."""


@dataclass(frozen=True, slots=True)
class BudgetPlan:
    """`usual`: how often a scene is fitted by the settings."""

    limits: PrivacyLimits
    usual: Cadence
    scenes: tuple[Scene, ...]

    @classmethod
    def of(
        cls, limits: PrivacyLimits, refit_days: int, refit_changes: int, scenes: Iterable[Scene]
    ) -> "BudgetPlan":
        return cls(limits, Cadence(timedelta(days=refit_days), refit_changes), tuple(scenes))

    def loss(self, scene: Scene) -> PrivacyLoss:
        """Of one release of the scene, without its series. Raises LossError."""
        least = self.limits.release
        if scene.population is Population.NOT_OBJECTING:
            return accounting.loss_within(self.limits.epsilon / 4, self.limits.delta)
        if not scene.counts_everybody:
            return least
        left = (self.limits.year.rho - self.once - self.series) / self.a_year
        return PrivacyLoss(max(least.rho, Fraction(int(left * UNIT), UNIT)))

    @property
    def others(self) -> tuple[Scene, ...]:
        """The scenes with releases, but for the statistics."""
        return tuple(each for each in self.scenes if each.releases and not each.counts_everybody)

    @property
    def once(self) -> Fraction:
        """Rho of one release of each scene, but for the statistics."""
        return sum((self.loss(each).rho for each in self.others), Fraction(0))

    @property
    def series(self) -> Fraction:
        """The most rho that the series cost a customer in a calendar year."""
        found = [each.yearly.rho for scene in self.scenes for each in scene.series]
        return sum(found, Fraction(0))

    @property
    def counts_everybody(self) -> bool:
        return any(each.counts_everybody for each in self.scenes)

    @property
    def times(self) -> int:
        """How often in a year each scene is fitted, but for the statistics; 0: not even once."""
        if not self.others:
            return 0
        costliest = max(self.loss(each).rho for each in self.others)
        affordable = min(self.limits.year.rho / self.once, self.limits.scene.rho / costliest)
        return min(1 if self.counts_everybody else self.a_year, int(affordable))

    @property
    def yearly(self) -> Fraction:
        """Rho that a customer who allows every use loses in a year."""
        counted = [
            self.loss(each).rho * self.a_year for each in self.scenes if each.counts_everybody
        ]
        return self.once * self.times + sum(counted, Fraction(0)) + self.series

    def require_feasible(self) -> None:
        """Raise BudgetPlanError if a year's releases cost a customer more than they may lose."""
        year, scenes = self.limits.year.rho, len(self.others)
        if self.others and not self.times:
            raise BudgetPlanError(
                f"{scenes} scenes with releases cost rho {float(self.once):.4g} if each is fitted "
                f"once, of which the costliest {float(max(map(self._rho, self.others))):.4g}; a "
                f"customer may lose {float(year):.4g} in a year, and in one scene "
                f"{float(self.limits.scene.rho):.4g}: want a smaller release_epsilon, or fewer "
                "scenes whose fallback is synthetic"
            )
        if self.counts_everybody and self.yearly > year:
            raise BudgetPlanError(
                f"{scenes} scenes fitted once cost rho {float(self.once):.4g}, and {self.a_year} "
                f"releases for statistics {float(self.limits.release.rho):.4g} each"
                f"{self._series_sum}, which is {float(self.yearly):.4g}; a customer may lose "
                f"{float(year):.4g} in a year: want a greater refit_days, a smaller "
                f"release_epsilon, {self._series_cure}or fewer scenes whose fallback is synthetic"
            )

    @property
    def _series_sum(self) -> str:
        """What each series costs in a year, for a message."""
        parts = [
            f", {each.a_year} periods of the series {each.name} "
            f"{float(each.terms.loss.rho):.4g} each"
            for scene in self.scenes
            for each in scene.series
        ]
        return "".join(parts)

    @property
    def _series_cure(self) -> str:
        return "series with a greater sigma or smaller at_most, " if self.series else ""

    def _rho(self, scene: Scene) -> Fraction:
        return self.loss(scene).rho

    def __str__(self) -> str:
        """What a year of it costs, for a steward to read."""
        scenes = f"{self.times} of each of {len(self.others)} scenes"
        counted = f", {self.a_year} for statistics" if self.counts_everybody else ""
        counted += self._series_sum
        rho, most = self.yearly, self.limits
        years = int(most.total.rho / rho) if rho else 0
        lasts = f"; rho {float(most.total.rho):.4g} in all is reached after {years} years"
        return (
            f"releases in a year, at most: {scenes}{counted}; "
            f"whoever allows every use loses rho {float(rho):.4g} of {float(most.year.rho):.4g} in "
            f"it{lasts if rho else ''}"
        )

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
        if self.counts_everybody:
            return Cadence(max(self.usual.least, LEAP_YEAR), self.usual.changes)
        if not self.times:
            return self.usual
        every = timedelta(days=-(-LEAP_YEAR.days // self.times))
        return Cadence(max(self.usual.least, every), self.usual.changes)

    @property
    def a_year(self) -> int:
        """How often in a year a release is due by the settings."""
        return max(1, -(-YEAR.days // max(1, self.usual.least.days)))

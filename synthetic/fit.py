"""Private rows -> release. The only place where counts of personal data meet a budget.

`graphical` spends most of the budget on the marginals that the scene declares, the rest on those
pairs of columns that the model misrepresents most; `independent` measures every column alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from fractions import Fraction
from typing import Any

from synthetic import accounting, allot, counts, junction, measure, select
from synthetic.budget import (
    GAUSSIAN_NOISE,
    LAPLACE_NOISE,
    LossError,
    PrivacyLoss,
    loss_within,
    total,
)
from synthetic.counts import Counts
from synthetic.domain import Domain, DomainError
from synthetic.estimate import Beliefs, estimate, sizes
from synthetic.marginal import MOST_CELLS, Clique, declared, singles
from synthetic.measure import Measurement
from synthetic.model import GRAPHICAL, INDEPENDENT, require_known
from synthetic.noise import Noise, OperatingSystemNoise, accountant_epsilon
from synthetic.release import Release, statement
from synthetic.select import Selection
from synthetic.spending import Reservation, Reserve

Loss = PrivacyLoss | tuple[float | Fraction, float | Fraction]  # rho, or (epsilon, delta)

DELTA = Fraction(1, 10**6)  # when a loss is given as rho alone
CONTRIBUTION = 1  # the table has one row per customer
MODEL_CELLS = 500_000  # of the junction tree that choosing may grow


def fit(  # noqa: PLR0913 - the whole contract of a fit, by keyword
    table: Any,
    *,
    scene: str,
    domain: Domain,
    workload: Sequence[Sequence[str]],
    loss: Loss,
    at: datetime,
    ledger_size: int,
    targets: Sequence[str] = (),
    mechanism: str = GRAPHICAL,
    contract: str = "",
    period: str = "",
    reserve: Reserve | None = None,
    like: Release | None = None,
    noise: Noise | None = None,
) -> Release:
    """Fit `table`, an Ibis table with one row per consenting customer, within `loss`.

    With `like`, an earlier release over the same domain, its marginals are measured again in the
    same proportions: nothing is spent on choosing. `reserve` records the debit durably before any
    noise is drawn, or refuses by raising. `at` is aware. Only the domain's columns are
    read, as marginals counted inside the database.
    `workload`: the group-bys served; a single column is a trend, and is measured once more.
    `targets`: the columns that the scene predicts from the others, for instance who bought.
    Raises DomainError, LossError, UnknownMechanismError before anything is measured.
    """
    require_known(mechanism)
    served = _require_servable(domain, workload)
    predicted = tuple(name for name in domain.columns if name in targets)
    budget, delta = _budget(loss, mechanism)
    drawn = noise or OperatingSystemNoise()
    debit = Reservation(scene, period, budget, at, ledger_size, drawn.nonce())
    task = _Task(domain, budget.rho, drawn, predicted)
    known = counts.count(table, domain, _counted(domain, served, predicted, mechanism, like))
    if reserve:
        reserve(debit.body())
    # From here on the debit stands, whatever happens: a crash spends it without a release.
    task.run(known, served, mechanism, like)
    promise = statement(task.measurements, task.selections, delta, mechanism, CONTRIBUTION)
    _cross_check(task, delta, promise.epsilon)
    return Release(
        scene=scene,
        domain=domain,
        mechanism=mechanism,
        measurements=tuple(task.measurements),
        selections=tuple(task.selections),
        statement=promise,
        fitted_at=at.replace(microsecond=0),
        ledger_size=ledger_size,
        contract=contract,
        period=period,
        reservation=debit.id if reserve else "",
        workload=served,
        publishable=drawn.publishable,
    )


@dataclass
class _Task:
    """What has been released so far of one fit. `rho`: to spend in all."""

    domain: Domain
    rho: Fraction
    noise: Noise
    targets: Sequence[str] = ()
    measurements: list[Measurement] = field(default_factory=list)
    selections: list[Selection] = field(default_factory=list)

    def run(
        self,
        known: Mapping[Clique, Counts],
        served: Sequence[Clique],
        mechanism: str,
        like: Release | None,
    ) -> None:
        if like is not None:
            self.again(known, like)
        elif mechanism == INDEPENDENT:
            self.alone(known)
        else:
            self.graphical(known, served)

    def alone(self, known: Mapping[Clique, Counts]) -> None:
        share = PrivacyLoss(self.rho / len(known))
        for clique, exact in known.items():
            self.measurements.append(
                measure.laplace(exact, clique, CONTRIBUTION, share, self.noise)
            )

    def graphical(self, known: Mapping[Clique, Counts], served: Sequence[Clique]) -> None:
        """Every column, the declared workload, the targets, then rounds of chosen marginals."""
        columns = singles(self.domain)
        self._measure(known, columns, allot.even(self.rho * allot.SINGLES, columns))
        if served:
            rhos = allot.by_need(self.rho * allot.DECLARED, self._beliefs(), served)
            self._measure(known, served, rhos)
        beside = allot.with_target(self.domain, self.targets, served)
        self._measure(known, beside, allot.even(self.rho * allot.TARGETS, beside))
        for index in range(allot.ROUNDS):
            self._round(known, (self.rho - self._spent()) / (allot.ROUNDS - index))
        left = self.rho - self._spent()
        if left > self.rho * allot.LEFT_OVER:  # nothing worth choosing: sharpen what is measured
            again = served or columns
            self._measure(known, again, allot.even(left, again))

    def again(self, known: Mapping[Clique, Counts], like: Release) -> None:
        """Every marginal of an earlier release, once, with its share of the budget."""
        spent = {clique: Fraction(0) for clique in known}
        for each in like.measurements:
            spent[each.clique] += each.loss.rho
        whole = sum(spent.values(), Fraction(0))
        self._measure(known, [*known], [self.rho * part / whole for part in spent.values()])

    def _round(self, known: Mapping[Clique, Counts], rho: Fraction) -> None:
        measured = [each.clique for each in self.measurements]
        candidates = select.candidates(self.domain, self.targets, measured)
        if not candidates or rho <= 0:
            return
        loss = PrivacyLoss(rho * allot.SCORES)
        scores = select.score(known, self._beliefs(), candidates, CONTRIBUTION, loss, self.noise)
        self.selections.append(scores)
        left = rho - scores.loss.rho
        chosen = select.best(self.domain, scores, measured, left, MODEL_CELLS)
        self._measure(known, chosen, allot.even(left, chosen))

    def _measure(
        self, known: Mapping[Clique, Counts], cliques: Sequence[Clique], rhos: Sequence[Fraction]
    ) -> None:
        for clique, rho in zip(cliques, rhos, strict=True):
            self.measurements.append(
                measure.gaussian(known[clique], clique, CONTRIBUTION, PrivacyLoss(rho), self.noise)
            )

    def _beliefs(self) -> Beliefs:
        return estimate(self.domain, self.measurements)

    def _spent(self) -> Fraction:
        spent = [m.loss for m in self.measurements] + [s.loss for s in self.selections]
        return total(spent).rho


def _counted(
    domain: Domain,
    served: Sequence[Clique],
    targets: Sequence[str],
    mechanism: str,
    like: Release | None,
) -> Sequence[Clique]:
    """Every marginal that the fit may need, so that one pass over the data is enough."""
    if like is not None:
        _require_alike(like, domain, mechanism)
        return kept_cliques(like)
    if mechanism == INDEPENDENT:
        return singles(domain)
    beside = allot.with_target(domain, targets, served)
    return [*singles(domain), *served, *beside, *select.candidates(domain, targets, served)]


def kept_cliques(release: Release) -> tuple[Clique, ...]:
    return tuple(dict.fromkeys(each.clique for each in release.measurements))


def _require_alike(like: Release, domain: Domain, mechanism: str) -> None:
    if like.domain != domain or not like.mechanism == mechanism == GRAPHICAL:
        raise DomainError(
            "a refit keeps the domain and the graphical mechanism of the earlier release, and "
            "these differ: fit without `like`"
        )


def _require_servable(domain: Domain, workload: Sequence[Sequence[str]]) -> tuple[Clique, ...]:
    if not domain.columns:
        raise DomainError("the domain has no columns: declare one for a field of the contract")
    served = declared(domain, workload)
    held = junction.cells(sizes(domain), served)
    if held > 4 * MOST_CELLS:
        raise DomainError(
            f"a model of the declared workload would hold {held} numbers, want at most "
            f"{4 * MOST_CELLS}: declare fewer group-bys over the same columns, or coarser bins"
        )
    return served


def _budget(loss: Loss, mechanism: str) -> tuple[PrivacyLoss, Fraction]:
    if isinstance(loss, PrivacyLoss):
        return loss, DELTA
    epsilon, delta = map(_fraction, loss)
    within = accounting.loss_within if mechanism == GRAPHICAL else loss_within
    return within(epsilon, delta), delta


def _fraction(number: float | Fraction) -> Fraction:
    """As people write it: 0.1 means a tenth."""
    try:
        return Fraction(str(number))
    except ValueError as error:
        raise LossError(f"{number!r} is no finite number") from error


def _cross_check(task: _Task, delta: Fraction, promised: Fraction) -> None:
    """The second bookkeeper, which adds up (epsilon, delta) one by one, must never say less."""
    share = delta / (len(task.measurements) + len(task.selections))
    gaussian = [m.loss for m in task.measurements if m.noise == GAUSSIAN_NOISE]
    gaussian += [each.loss for each in task.selections]
    pure = [m.epsilon for m in task.measurements if m.noise == LAPLACE_NOISE]
    theirs = accountant_epsilon(
        [(epsilon, Fraction(0)) for epsilon in pure]
        + [(Fraction(accounting.gaussian_epsilon(loss, share)), share) for loss in gaussian]
    )
    if theirs < float(promised) * (1 - 1e-9):
        raise AssertionError(f"we promise epsilon {float(promised)}, the accountant says {theirs}")

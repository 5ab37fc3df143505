"""Private rows -> release. The only place where counts of personal data meet a budget.

`graphical` spends most of the budget on the marginals that the scene declares, the rest on those
pairs of columns that the model misrepresents most; `independent` measures every column alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from fractions import Fraction
from itertools import combinations
from typing import Any

import numpy as np

from synthetic import accounting, counts, junction, measure, provenance, select
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
SINGLE_SHARE = Fraction(12, 100)  # of rho, to every column alone
DECLARED_SHARE = Fraction(64, 100)  # to the declared workload; the rest to chosen pairs
SCORE_SHARE = Fraction(10, 100)  # of a round, to choosing
ROUNDS = 2
LEFT_OVER = Fraction(1, 100)  # of rho: less is not worth another measurement
MODEL_CELLS = 500_000  # of the junction tree that choosing may grow
SERVED = 0.008  # segments of at least this share of all rows are what a scene is served for


def fit(  # noqa: PLR0913 - the whole contract of a fit, by keyword
    table: Any,
    *,
    scene: str,
    domain: Domain,
    workload: Sequence[Sequence[str]],
    loss: Loss,
    at: datetime,
    ledger_size: int,
    ledger_root: str = "",
    mechanism: str = GRAPHICAL,
    contribution: int = 1,
    customer: str | None = None,
    contract: str = "",
    period: str = "",
    reserve: Reserve | None = None,
    like: Release | None = None,
    noise: Noise | None = None,
) -> Release:
    """Fit `table`, an Ibis table of consenting customers, within `loss`.

    Without `customer` the table has one row per customer. With it, the name of the column that says
    whose a row is, a customer may have many, of which at most `contribution` are counted.
    With `like`, an earlier release over the same domain, its marginals are measured again in the
    same proportions: nothing is spent on choosing. `reserve` records the debit durably before any
    noise is drawn, or refuses by raising. `at` is aware. `ledger_root`: of the consent log at
    `ledger_size`, hex. Only the domain's columns are
    read, as marginals counted inside the database.
    `workload`: the group-bys served; a single column is a trend, and is measured once more.
    Raises DomainError, LossError, UnknownMechanismError before anything is measured.
    """
    require_known(mechanism)
    _require_bounded(contribution, customer)
    served = _require_servable(domain, workload)
    budget, delta = _budget(loss, mechanism, contribution)
    drawn = noise or OperatingSystemNoise()
    debit = Reservation(scene, period, budget, at, ledger_size, drawn.nonce(), ledger_root)
    task = _Task(domain, budget.rho, drawn, contribution)
    rows = counts.bounded(table, domain, customer, contribution) if customer else table
    known = counts.count(rows, domain, _counted(domain, served, mechanism, like))
    account = reserve(debit.body()) if reserve else None
    # From here on the debit stands, whatever happens: a crash spends it without a release.
    task.run(known, served, mechanism, like)
    promise = statement(task.measurements, task.selections, delta, mechanism, contribution)
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
        ledger_root=ledger_root,
        account=account,
        code=provenance.code(),
        lock=provenance.lock(),
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
    contribution: int  # rows of one customer, at most: the sensitivity of every count and score
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
                measure.laplace(exact, clique, self.contribution, share, self.noise)
            )

    def graphical(self, known: Mapping[Clique, Counts], served: Sequence[Clique]) -> None:
        """Every column, then the declared workload, then rounds of chosen pairs."""
        columns = singles(self.domain)
        self._measure(known, columns, _even(self.rho * SINGLE_SHARE, columns))
        if served:
            rho = self.rho * DECLARED_SHARE
            weights = _weights(self._beliefs(), served)
            self._measure(known, served, [rho * weight for weight in weights])
        for index in range(ROUNDS):
            self._round(known, (self.rho - self._spent()) / (ROUNDS - index))
        left = self.rho - self._spent()
        if left > self.rho * LEFT_OVER:  # nothing worth choosing: sharpen what is measured
            again = served or columns
            self._measure(known, again, _even(left, again))

    def again(self, known: Mapping[Clique, Counts], like: Release) -> None:
        """Every marginal of an earlier release, once, with its share of the budget."""
        spent = {clique: Fraction(0) for clique in known}
        for each in like.measurements:
            spent[each.clique] += each.loss.rho
        whole = sum(spent.values(), Fraction(0))
        self._measure(known, [*known], [self.rho * part / whole for part in spent.values()])

    def _round(self, known: Mapping[Clique, Counts], rho: Fraction) -> None:
        measured = [each.clique for each in self.measurements]
        candidates = select.pairs(self.domain, measured)
        if not candidates or rho <= 0:
            return
        loss = PrivacyLoss(rho * SCORE_SHARE)
        beliefs = self._beliefs()
        scores = select.score(known, beliefs, candidates, self.contribution, loss, self.noise)
        self.selections.append(scores)
        left = rho - scores.loss.rho
        chosen = select.best(self.domain, scores, measured, left, MODEL_CELLS)
        self._measure(known, chosen, _even(left, chosen))

    def _measure(
        self, known: Mapping[Clique, Counts], cliques: Sequence[Clique], rhos: Sequence[Fraction]
    ) -> None:
        for clique, rho in zip(cliques, rhos, strict=True):
            self.measurements.append(
                measure.gaussian(
                    known[clique], clique, self.contribution, PrivacyLoss(rho), self.noise
                )
            )

    def _beliefs(self) -> Beliefs:
        return estimate(self.domain, self.measurements)

    def _spent(self) -> Fraction:
        spent = [m.loss for m in self.measurements] + [s.loss for s in self.selections]
        return total(spent).rho


def _counted(
    domain: Domain, served: Sequence[Clique], mechanism: str, like: Release | None
) -> Sequence[Clique]:
    """Every marginal that the fit may need, so that one pass over the data is enough."""
    if like is not None:
        _require_alike(like, domain, mechanism)
        return kept_cliques(like)
    if mechanism == INDEPENDENT:
        return singles(domain)
    return [*singles(domain), *combinations(domain.columns, 2), *served]


def kept_cliques(release: Release) -> tuple[Clique, ...]:
    return tuple(dict.fromkeys(each.clique for each in release.measurements))


def _require_alike(like: Release, domain: Domain, mechanism: str) -> None:
    if like.domain != domain or not like.mechanism == mechanism == GRAPHICAL:
        raise DomainError(
            "a refit keeps the domain and the graphical mechanism of the earlier release, and "
            "these differ: fit without `like`"
        )


def _even(rho: Fraction, cliques: Sequence[Clique]) -> list[Fraction]:
    return [rho / len(cliques)] * len(cliques) if cliques else []


def _weights(beliefs: Beliefs, served: Sequence[Clique]) -> list[Fraction]:
    """Shares of rho that make the mean relative error of the served segments least.

    With k segments of sizes s, the error of a marginal is sigma times sum 1/s; minimising the sum
    over marginals for a given sum of 1/sigma² makes each rho proportional to (sum 1/s)^(2/3). The
    sizes come from what is already released.
    """
    needs = []
    for clique in served:
        expected = beliefs.marginal(clique)
        segments = expected[expected >= SERVED * beliefs.total]
        needs.append(float((1 / segments).sum()) if segments.size else 1 / max(beliefs.total, 1.0))
    weights = np.array(needs) ** (2 / 3)
    units = [max(1, int(share * 2**20)) for share in weights / weights.sum()]
    return [Fraction(unit, sum(units)) for unit in units]


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


def _require_bounded(contribution: int, customer: str | None) -> None:
    if contribution < 1:
        raise LossError(f"contribution is {contribution}, want at least 1 row of a customer")
    if contribution > 1 and customer is None:
        raise LossError(
            f"contribution is {contribution}, but nothing says whose a row is: name the column "
            "with `customer`"
        )


def _budget(loss: Loss, mechanism: str, contribution: int) -> tuple[PrivacyLoss, Fraction]:
    if isinstance(loss, PrivacyLoss):
        return loss, DELTA
    epsilon, delta = map(_fraction, loss)
    tight = mechanism == GRAPHICAL and contribution == 1  # as `statement` will promise it
    within = accounting.loss_within if tight else loss_within
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

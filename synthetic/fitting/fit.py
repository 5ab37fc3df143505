"""Fit a release to private rows. The only place where counts of personal data are measured.

The debit comes first; then `stages` measures stage by stage; at the end the privacy statement is
recomputed from what was measured.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from fractions import Fraction
from typing import Any

from synthetic.fitting import budget_split, provenance
from synthetic.fitting.budget_split import MeasuredMarginals
from synthetic.fitting.checkpoint import Begun, FitStage, Partial, PartialError, Terms
from synthetic.fitting.release import Release, statement
from synthetic.fitting.stages import FitTask, Progress
from synthetic.model import counts, junction_tree, measure, select
from synthetic.model.counts import Counts
from synthetic.model.domain import Domain, DomainError
from synthetic.model.graphical_model import GRAPHICAL, INDEPENDENT, require_known
from synthetic.model.inference import sizes
from synthetic.model.marginals import MAX_CELLS, Clique, declared, singles
from synthetic.model.series import PeriodCounts, PeriodMeasurement
from synthetic.privacy import accounting
from synthetic.privacy.budget import (
    GAUSSIAN_NOISE,
    LAPLACE_NOISE,
    Account,
    BudgetExceededError,
    LossError,
    PrivacyLoss,
    loss_within,
    total,
)
from synthetic.privacy.budget_ledger import Reservation, Reserve, UsedReservationError
from synthetic.privacy.mechanisms import Noise, OperatingSystemNoise, accountant_epsilon

Loss = PrivacyLoss | tuple[float | Fraction, float | Fraction]  # rho, or (epsilon, delta)

DELTA = Fraction(1, 10**6)  # if a loss is given as rho alone
MAX_RHO = 2  # an epsilon of about 10; beyond it the noise is too small to protect anybody


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
    targets: Sequence[str] = (),
    mechanism: str = GRAPHICAL,
    contribution: int = 1,
    customer: str | None = None,
    contract: str = "",
    period: str = "",
    reserve: Reserve | None = None,
    like: Release | None = None,
    partial: Partial | None = None,
    progress: Progress | None = None,
    noise: Noise | None = None,
    limit: PrivacyLoss | None = None,
    marginals: MeasuredMarginals = MeasuredMarginals.ADAPTIVE,
    delta: Fraction = DELTA,
    series: Sequence[PeriodCounts] = (),
) -> Release:
    """Fit `table`, an Ibis table of consenting customers, within `loss`.

    Only the domain's columns are read, as marginals counted inside the database.

    `workload`: the group-bys to serve; a single column is a trend.
    `loss`: a PrivacyLoss, whose epsilon is stated at `delta`, or (epsilon, delta).
    `at`: aware. `ledger_root`: of the consent log at `ledger_size`, hex.
    `targets`: the columns that the scene predicts from the others, for instance who bought.
    `customer`: the column that identifies the customer of a row; None: one row per customer. At
    most `contribution` rows of a customer are counted.
    `reserve`: records the debit durably before any noise is drawn, or refuses by raising.
    `like`: an earlier release over the same domain, whose marginals are measured again in the same
    proportions, so that nothing is spent on choosing.
    `partial`: stores each stage after it is measured. If it has an interrupted fit, that fit is
    continued under its own reservation, with `table` for the stages that are missing. The caller
    holds its lock, and drops it when the release is recorded.
    `progress`: called for every stage.
    `limit`: of the scene in the period, for the reservation to state.
    `series`: clipped counts of events of the same customers, measured besides; what they cost is
    reserved in addition to `loss`.
    `marginals`: which are measured: the declared ones alone, or others, too, that the model needs.

    Raises DomainError, LossError, UnknownMechanismError, PartialError before anything is measured.
    """
    require_known(mechanism)
    _require_bounded(contribution, customer)
    served = _require_servable(domain, workload)
    predicted = tuple(name for name in domain.columns if name in targets)
    budget, delta = _budget(loss, mechanism, contribution, delta)
    drawn = noise or OperatingSystemNoise()
    apart = total([each.terms.loss for each in series])
    debit = Reservation(
        scene, period, budget + apart, at, ledger_size, drawn.nonce(), ledger_root, limit
    )
    terms = {
        **_terms(debit, domain, served, predicted),
        "mechanism": mechanism,
        "contribution": contribution,
        "publishable": drawn.publishable,
        "like": like.id if like else "",
        "marginals": marginals.value,
        **({"series": [_named(each) for each in series]} if series else {}),
        "code": provenance.code(),  # the release names one digest for all its measurements
    }
    counts.require_readable(table, domain)
    cliques = _counted(domain, served, predicted, mechanism, like, marginals)
    known = _personal_counts(table, domain, cliques, customer, contribution)
    begun, account = _debited(debit, terms, domain, reserve, partial)
    # Crash from here on: the reservation is spent, with or without a release.
    keep = partial.keep if partial else _forget
    state = FitStage("", ledger_size, ledger_root)
    task = FitTask(domain, predicted, drawn, contribution, begun, state, keep, progress or _silent)
    task.apart = apart.rho
    task.run(known, served, mechanism, like, marginals)
    periods = [measure.events(each, drawn) for each in series]
    # Crash here: their noise was seen by nobody, and is drawn again when the fit is continued.
    return replace(
        _release(task, debit, mechanism, delta, served, periods),
        account=account,
        contract=contract,
        reservation=begun.reservation.id if reserve else "",
    )


def _personal_counts(
    table: Any,
    domain: Domain,
    cliques: Sequence[Clique],
    customer: str | None,
    contribution: int,
) -> Mapping[Clique, Counts]:
    """The personal counts over `cliques`, of at most `contribution` rows of each customer."""
    rows = counts.bounded(table, domain, customer, contribution) if customer else table
    return counts.count(rows, domain, cliques)


def _named(counts_of: PeriodCounts) -> dict[str, object]:
    """What is measured, without the counts."""
    terms = counts_of.terms
    start = counts_of.period.start.isoformat()
    return {"name": terms.name, "start": start, "at_most": terms.at_most, "sigma": terms.sigma}


def _release(
    task: FitTask,
    debit: Reservation,
    mechanism: str,
    delta: Fraction,
    served: Sequence[Clique],
    series: Sequence[PeriodMeasurement],
) -> Release:
    """The release of a task that has run. `debit`: of this run, at its time and ledger size."""
    measured, chosen = task.measurements, task.selections
    promise = statement(measured, chosen, delta, mechanism, task.contribution, series)
    _cross_check(task, delta, promise.epsilon, series)
    return Release(
        scene=debit.scene,
        domain=task.domain,
        mechanism=mechanism,
        measurements=tuple(task.measurements),
        selections=tuple(task.selections),
        statement=promise,
        fitted_at=debit.at.replace(microsecond=0),
        ledger_size=debit.ledger_size,
        ledger_root=debit.ledger_root,
        code=provenance.code(),
        lock=provenance.lock(),
        period=task.begun.reservation.period,
        resumed=task.resumed(),
        series=tuple(series),
        workload=tuple(served),
        publishable=task.noise.publishable,
    )


def _terms(
    debit: Reservation, domain: Domain, served: Sequence[Clique], targets: Sequence[str]
) -> Terms:
    """The terms of a fit, which must be the same when an interrupted fit is continued."""
    return {
        "scene": debit.scene,
        "domain_digest": domain.digest,
        "workload": [list(clique) for clique in served],
        "targets": list(targets),
    }


def _debited(
    debit: Reservation,
    terms: Terms,
    domain: Domain,
    reserve: Reserve | None,
    partial: Partial | None,
) -> tuple[Begun, Account | None]:
    """The interrupted fit or a new one; a new one is stored in `partial` before it is reserved."""
    if reserve is None:
        if partial:
            raise PartialError("`partial` was given without `reserve`, which it needs: give both")
        return Begun(debit), None
    if partial is None:
        return Begun(debit), reserve(debit.body())
    begun = partial.go_on(domain, terms) if partial.exists else partial.begin(debit, terms)
    # Crash here: the file has a debit that is not recorded; continuing the fit records it.
    try:
        return begun, reserve(begun.reservation.body())
    except (BudgetExceededError, UsedReservationError):
        partial.drop()
        raise


def _forget(_stage: FitStage) -> None:
    """For a fit without `partial`: stores nothing."""


def _silent(_stage: str, _done: int, _of: int) -> None:
    """For a fit without `progress`: reports nothing."""


def _counted(
    domain: Domain,
    served: Sequence[Clique],
    targets: Sequence[str],
    mechanism: str,
    like: Release | None,
    marginals: MeasuredMarginals,
) -> Sequence[Clique]:
    """All marginals that the fit may need, so that one pass over the data is enough."""
    if like is not None:
        _require_alike(like, domain, mechanism)
        return measured_cliques(like)
    if mechanism == INDEPENDENT:
        return singles(domain)
    if marginals is MeasuredMarginals.DECLARED:
        return [*dict.fromkeys([*singles(domain), *served])]
    with_targets = budget_split.with_target(domain, targets, served)
    return [*singles(domain), *served, *with_targets, *select.candidates(domain, targets, served)]


def measured_cliques(release: Release) -> tuple[Clique, ...]:
    return tuple(dict.fromkeys(each.clique for each in release.measurements))


def _require_alike(like: Release, domain: Domain, mechanism: str) -> None:
    if like.domain != domain or not like.mechanism == mechanism == GRAPHICAL:
        raise DomainError(
            "`like` has another domain, or is not a graphical release: fit without `like`"
        )


def _require_servable(domain: Domain, workload: Sequence[Sequence[str]]) -> tuple[Clique, ...]:
    if not domain.columns:
        raise DomainError("the domain has no columns: declare one for a field in the contract")
    served = declared(domain, workload)
    size = junction_tree.cells(sizes(domain), served)
    if size > 4 * MAX_CELLS:
        raise DomainError(
            f"a model of the declared workload would have {size} cells, want at most "
            f"{4 * MAX_CELLS}: declare fewer group-bys over the same columns, or coarser bins"
        )
    return served


def _require_bounded(contribution: int, customer: str | None) -> None:
    if contribution < 1:
        raise LossError(f"contribution is {contribution}, want at least 1 row per customer")
    if contribution > 1 and customer is None:
        raise LossError(
            f"contribution is {contribution}, but no column identifies the customer of a row: "
            "name it with `customer`"
        )


def _budget(
    loss: Loss, mechanism: str, contribution: int, stated: Fraction
) -> tuple[PrivacyLoss, Fraction]:
    if isinstance(loss, PrivacyLoss):
        return _meaningful(loss), stated
    epsilon, delta = map(_fraction, loss)
    tight = mechanism == GRAPHICAL and contribution == 1  # as `statement` will promise it
    within = accounting.loss_within if tight else loss_within
    return _meaningful(within(epsilon, delta)), delta


def _meaningful(loss: PrivacyLoss) -> PrivacyLoss:
    if loss.rho > MAX_RHO:
        raise LossError(
            f"a loss of rho = {float(loss.rho):.3g} gives too little privacy, want at most "
            f"{MAX_RHO}: ask for an epsilon of 10 or less"
        )
    return loss


def _fraction(number: float | Fraction) -> Fraction:
    """Convert by the decimal text, so that 0.1 is exactly 1/10."""
    try:
        return Fraction(str(number))
    except ValueError as error:
        raise LossError(f"{number!r} is not a finite number") from error


def _cross_check(
    task: FitTask, delta: Fraction, promised: Fraction, series: Sequence[PeriodMeasurement]
) -> None:
    """Assert that `diffprivlib`, adding up (epsilon, delta), does not report less than we state."""
    share = delta / (len(task.measurements) + len(task.selections) + len(series))
    gaussian = [m.loss for m in task.measurements if m.noise == GAUSSIAN_NOISE]
    gaussian += [each.loss for each in task.selections]
    gaussian += [each.loss for each in series]
    pure = [m.epsilon for m in task.measurements if m.noise == LAPLACE_NOISE]
    theirs = accountant_epsilon(
        [(epsilon, Fraction(0)) for epsilon in pure]
        + [(Fraction(accounting.gaussian_epsilon(loss, share)), share) for loss in gaussian]
    )
    if theirs < float(promised) * (1 - 1e-9):
        raise AssertionError(f"we promise epsilon {float(promised)}, the accountant says {theirs}")

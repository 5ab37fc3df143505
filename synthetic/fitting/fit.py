"""Private rows -> release. The only place where counts of personal data meet a budget.

What the mechanisms measure, stage by stage, is in `task`; here the debit comes first, and what is
promised at the end is recomputed from what was measured.
"""

from collections.abc import Sequence
from datetime import datetime
from fractions import Fraction
from typing import Any

from synthetic.fitting import budget_split, provenance
from synthetic.fitting.checkpoint import Begun, FitStage, Partial, PartialError, Terms
from synthetic.fitting.release import Release, statement
from synthetic.fitting.stages import FitTask, Progress
from synthetic.model import counts, junction_tree, select
from synthetic.model.domain import Domain, DomainError
from synthetic.model.graphical_model import GRAPHICAL, INDEPENDENT, require_known
from synthetic.model.inference import sizes
from synthetic.model.marginals import MOST_CELLS, Clique, declared, singles
from synthetic.privacy import accounting
from synthetic.privacy.budget import (
    GAUSSIAN_NOISE,
    LAPLACE_NOISE,
    Account,
    BudgetExceededError,
    LossError,
    PrivacyLoss,
    loss_within,
)
from synthetic.privacy.budget_ledger import Reservation, Reserve, UsedReservationError
from synthetic.privacy.mechanisms import Noise, OperatingSystemNoise, accountant_epsilon

Loss = PrivacyLoss | tuple[float | Fraction, float | Fraction]  # rho, or (epsilon, delta)

DELTA = Fraction(1, 10**6)  # when a loss is given as rho alone
MOST_RHO = 2  # an epsilon of about 10: beyond, discrete noise is no Gaussian noise any more


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
) -> Release:
    """Fit `table`, an Ibis table of consenting customers, within `loss`.

    Without `customer` the table has one row per customer. With it, the name of the column that says
    whose a row is, a customer may have many, of which at most `contribution` are counted.
    With `like`, an earlier release over the same domain, its marginals are measured again in the
    same proportions: nothing is spent on choosing. `reserve` records the debit durably before any
    noise is drawn, or refuses by raising. `at` is aware. `ledger_root`: of the consent log at
    `ledger_size`, hex. Only the domain's columns are read, as marginals counted inside the
    database. `workload`: the group-bys served; a single column is a trend, measured once more.
    `targets`: the columns that the scene predicts from the others, for instance who bought.
    `partial`, which the caller holds, keeps each stage as it is measured. If it has a fit that was
    interrupted, that one goes on under its own reservation: `table` gives what is not measured yet.
    The caller drops it when the release is recorded. `progress` hears of every stage.
    Raises DomainError, LossError, UnknownMechanismError, PartialError before anything is measured.
    """
    require_known(mechanism)
    _require_bounded(contribution, customer)
    served = _require_servable(domain, workload)
    predicted = tuple(name for name in domain.columns if name in targets)
    budget, delta = _budget(loss, mechanism, contribution)
    drawn = noise or OperatingSystemNoise()
    debit = Reservation(scene, period, budget, at, ledger_size, drawn.nonce(), ledger_root)
    terms = {
        **_terms(debit, domain, served, predicted),
        "mechanism": mechanism,
        "contribution": contribution,
        "publishable": drawn.publishable,
        "like": like.id if like else "",
        "code": provenance.code(),  # which the release will name for all that was measured
    }
    rows = counts.bounded(table, domain, customer, contribution) if customer else table
    known = counts.count(rows, domain, _counted(domain, served, predicted, mechanism, like))
    begun, account = _debited(debit, terms, domain, reserve, partial)
    # From here on the debit stands, whatever happens: a crash spends it without a release.
    keep = partial.keep if partial else _forget
    state = FitStage("", ledger_size, ledger_root)
    task = FitTask(domain, predicted, drawn, contribution, begun, state, keep, progress or _silent)
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
        period=begun.reservation.period,
        reservation=begun.reservation.id if reserve else "",
        resumed=task.resumed(),
        workload=served,
        publishable=drawn.publishable,
    )


def _terms(
    debit: Reservation, domain: Domain, served: Sequence[Clique], targets: Sequence[str]
) -> Terms:
    """What a scene asks for: it must be the same when an interrupted fit goes on."""
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
    """The fit that goes on, or this one, begun: written down first, then reserved."""
    if reserve is None:
        if partial:
            raise PartialError("only a fit with `reserve` can be interrupted and go on: give one")
        return Begun(debit), None
    if partial is None:
        return Begun(debit), reserve(debit.body())
    begun = partial.go_on(domain, terms) if partial.exists else partial.begin(debit, terms)
    # Crash here: a file without a debit, which is recorded when the fit goes on.
    try:
        return begun, reserve(begun.reservation.body())
    except (BudgetExceededError, UsedReservationError):
        partial.drop()
        raise


def _forget(_stage: FitStage) -> None:
    """A fit that nobody goes on with."""


def _silent(_stage: str, _done: int, _of: int) -> None:
    """A fit that nobody watches."""


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
    beside = budget_split.with_target(domain, targets, served)
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
    held = junction_tree.cells(sizes(domain), served)
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
        return _meaningful(loss), DELTA
    epsilon, delta = map(_fraction, loss)
    tight = mechanism == GRAPHICAL and contribution == 1  # as `statement` will promise it
    within = accounting.loss_within if tight else loss_within
    return _meaningful(within(epsilon, delta)), delta


def _meaningful(loss: PrivacyLoss) -> PrivacyLoss:
    if loss.rho > MOST_RHO:
        raise LossError(
            f"a loss of rho = {float(loss.rho):.3g} protects nobody, want at most {MOST_RHO}: ask "
            "for an epsilon of 10 or less"
        )
    return loss


def _fraction(number: float | Fraction) -> Fraction:
    """As people write it: 0.1 means a tenth."""
    try:
        return Fraction(str(number))
    except ValueError as error:
        raise LossError(f"{number!r} is no finite number") from error


def _cross_check(task: FitTask, delta: Fraction, promised: Fraction) -> None:
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

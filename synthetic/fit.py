"""Private rows -> release. The only place where counts of personal data meet a budget.

`independent` measures every column alone: the honest baseline that correlates nothing.
"""

from collections.abc import Sequence
from datetime import datetime
from fractions import Fraction
from typing import Any

from synthetic import counts, measure
from synthetic.budget import LossError, PrivacyLoss, loss_within
from synthetic.domain import Domain, DomainError
from synthetic.marginal import declared, singles
from synthetic.measure import Measurement
from synthetic.model import INDEPENDENT, UnknownMechanismError
from synthetic.noise import Noise, OperatingSystemNoise, accountant_epsilon
from synthetic.release import Release, statement

DELTA = Fraction(1, 10**6)  # when a loss is given as rho alone
CONTRIBUTION = 1  # the table has one row per customer


def fit(  # noqa: PLR0913 - the whole contract of a fit, by keyword
    table: Any,
    *,
    scene: str,
    domain: Domain,
    workload: Sequence[Sequence[str]],
    loss: PrivacyLoss | tuple[float | Fraction, float | Fraction],
    at: datetime,
    ledger_size: int,
    mechanism: str = INDEPENDENT,
    contract: str = "",
    noise: Noise | None = None,
) -> Release:
    """Fit `table`, an Ibis table with one row per consenting customer, within `loss`.

    `loss` is a rho, or an (epsilon, delta). `at` is aware. Only the domain's columns are read, as
    marginals counted inside the database. Raises DomainError, LossError, UnknownMechanismError
    before anything is measured.
    """
    if mechanism != INDEPENDENT:
        raise UnknownMechanismError(f"mechanism is {mechanism!r}, want {INDEPENDENT!r}")
    _require_columns(domain)
    declared(domain, workload)  # refused here if too large, whatever the mechanism measures
    budget, delta = _budget(loss)
    drawn = noise or OperatingSystemNoise()
    measurements = _independent(table, domain, budget, drawn)
    promise = statement(measurements, delta, CONTRIBUTION, mechanism)
    _cross_check(measurements, promise.epsilon)
    return Release(
        scene=scene,
        domain=domain,
        mechanism=mechanism,
        measurements=tuple(measurements),
        statement=promise,
        fitted_at=at.replace(microsecond=0),
        ledger_size=ledger_size,
        contract=contract,
        publishable=drawn.publishable,
    )


def _independent(
    table: Any, domain: Domain, budget: PrivacyLoss, noise: Noise
) -> list[Measurement]:
    cliques = singles(domain)
    share = PrivacyLoss(budget.rho / len(cliques))
    exact = counts.count(table, domain, cliques)
    return [measure.laplace(exact[c], c, CONTRIBUTION, share, noise) for c in cliques]


def _budget(
    loss: PrivacyLoss | tuple[float | Fraction, float | Fraction],
) -> tuple[PrivacyLoss, Fraction]:
    if isinstance(loss, PrivacyLoss):
        return loss, DELTA
    epsilon, delta = map(_fraction, loss)
    return loss_within(epsilon, delta), delta


def _fraction(number: float | Fraction) -> Fraction:
    """As people write it: 0.1 means a tenth."""
    try:
        return Fraction(str(number))
    except ValueError as error:
        raise LossError(f"{number!r} is no finite number") from error


def _require_columns(domain: Domain) -> None:
    if not domain.columns:
        raise DomainError("the domain has no columns: declare one for a field of the contract")


def _cross_check(measurements: list[Measurement], epsilon: Fraction) -> None:
    """The second bookkeeper must never say less than we promise."""
    losses = [(each.sensitivity / each.scale, Fraction(0)) for each in measurements]
    theirs = accountant_epsilon(losses)
    if theirs < float(epsilon) * (1 - 1e-9):
        raise AssertionError(f"we promise epsilon {float(epsilon)}, the accountant says {theirs}")

"""Periods of series in a release: measured once under its reservation, recomputed from records."""

from dataclasses import replace
from datetime import UTC, date, datetime
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from synthetic.fitting.fit import fit
from synthetic.fitting.release import MalformedReleaseError, Release, verify
from synthetic.model import measure, series
from synthetic.model.series import Every, Period, PeriodCounts, SeriesTerms
from synthetic.privacy import budget_ledger
from synthetic.privacy.budget import Account, PrivacyLoss, total
from synthetic.privacy.mechanisms import OperatingSystemNoise
from tests.synthetic.material import AT, BANK, bank

TERMS = SeriesTerms("contacts", Every.MONTH, "Europe/Berlin", 7, 60, ("call", "visit"))
LOSS = PrivacyLoss(Fraction(1, 50))
LIMIT = PrivacyLoss(Fraction(1, 8))


def counted(month: int, terms: SeriesTerms = TERMS) -> PeriodCounts:
    period = Period(date(2026, month, 1), date(2026, month + 1, 1))
    return PeriodCounts(terms, period, np.array([7000, 900], dtype=np.int64))


@pytest.fixture(scope="module")
def recorded() -> list[dict[str, Any]]:
    """The reservation and the release of two months."""
    bodies: list[dict[str, Any]] = []

    def reserve(body: dict[str, object]) -> Account:
        account = budget_ledger.admit(bodies, body, {"counts": LIMIT}).account
        bodies.append(body)
        return account

    made = fit(
        bank(),
        scene="counts",
        domain=BANK,
        workload=[("age",)],
        loss=LOSS,
        at=AT,
        ledger_size=5,
        period="2026",
        reserve=reserve,
        limit=LIMIT,
        series=[counted(9), counted(10)],
    )
    return [*bodies, dict(made.body())]


def test_s81_the_periods_are_reserved_with_the_release_and_recomputed(
    recorded: list[dict[str, Any]],
) -> None:
    reservation, body = recorded
    assert TERMS.loss.rho == Fraction(49, 7200)
    reserved = budget_ledger.Reservation.from_body(reservation).loss.rho
    assert reserved == LOSS.rho + 2 * TERMS.loss.rho
    assert budget_ledger.verify(recorded, {"counts": LIMIT}).findings == []
    made = Release.from_body(body)
    assert made.body() == body
    verify(made)
    losses = [each.loss for each in made.measurements] + [each.loss for each in made.selections]
    marginals = total(losses)
    assert marginals <= LOSS
    assert made.statement.rho.rho == marginals.rho + 2 * TERMS.loss.rho
    assert "at most 1, and 7 events in a period of a series" in str(made.statement)


WRONG: dict[str, Any] = {
    "less noise": lambda b: b["series"][0].update(scale="30/1"),
    "more events": lambda b: b["series"][0].update(sensitivity=8),
    "a period left out": lambda b: b["series"].pop(),
    "a period twice": lambda b: b["series"].append(b["series"][0]),
    "a period that is no month": lambda b: b["series"][0].update(end="2026-10-02"),
    "a value left out": lambda b: b["series"][0]["values"].pop(),
    "another noise": lambda b: b["series"][0].update(noise="none"),
    "a bound left out": lambda b: b["statement"].pop("events"),
    "all left out": lambda b: b.pop("series"),
}


@pytest.mark.parametrize("why", WRONG)
def test_s81_a_record_that_is_wrong_about_its_periods_is_refused(
    why: str, recorded: list[dict[str, Any]]
) -> None:
    from copy import deepcopy

    body = deepcopy(recorded[1])
    WRONG[why](body)
    with pytest.raises(MalformedReleaseError):
        Release.from_body(body)


def test_s81_what_periods_cost_cannot_be_hidden_from_the_ledger(
    recorded: list[dict[str, Any]],
) -> None:
    reservation, body = recorded
    hidden = {**reservation, "rho": "1/50"}
    found = budget_ledger.verify([hidden, body], {"counts": LIMIT}).findings
    assert any("without a reservation" in each for each in found)


def test_s82_the_bar_holds_the_noise_in_95_of_100_values() -> None:
    one = counted(9, replace(TERMS, categories=()))
    zeros = replace(one, values=np.zeros(20_000, dtype=np.int64))
    many = measure.events(zeros, OperatingSystemNoise())
    inside = float(np.mean(np.abs(many.values) <= many.bar))
    assert 0.95 <= inside <= 0.961  # 0.9554 is expected; 3.7 standard errors are 0.0054
    assert float(many.values.std()) == pytest.approx(60, rel=0.02)


def test_s83_a_period_has_ended_when_its_zone_says_so() -> None:
    berlin = replace(TERMS, zone="Europe/Berlin")
    since = date(2026, 1, 1)

    def last(at: datetime, until: date | None = None) -> date | None:
        found = [*berlin.ended(since, until, at)]
        return found[-1].end if found else None

    assert last(datetime(2026, 1, 31, 22, 59, tzinfo=UTC)) is None
    assert last(datetime(2026, 1, 31, 23, 0, tzinfo=UTC)) == date(2026, 2, 1)
    assert last(datetime(2027, 6, 1, tzinfo=UTC), date(2026, 12, 15)) == date(2026, 12, 1)
    weekly = replace(berlin, every=Every.WEEK)
    weeks = [*weekly.ended(date(2026, 1, 5), None, datetime(2026, 1, 20, tzinfo=UTC))]
    assert [each.start.day for each in weeks] == [5, 12]


def test_s81_a_measured_period_formats_back_to_the_same_body() -> None:
    made = measure.events(counted(9), OperatingSystemNoise())
    assert series.from_body(made.body()).body() == made.body()

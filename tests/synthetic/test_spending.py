"""The budget ledger: a debit before every measurement, and a regulator's recomputation."""

import fcntl
import json
import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from datetime import timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from synthetic.fitting.fit import fit
from synthetic.model.domain import Categories, Domain
from synthetic.privacy import budget_ledger
from synthetic.privacy.budget import Account, BudgetExceededError, LossError, PrivacyLoss
from synthetic.privacy.budget_ledger import Limits, MalformedRecordError, Reserve
from synthetic.privacy.customer_cap import Cadence, Exposure
from tests.synthetic.material import AT, table

PATIENCE_S = 180.0  # before a test gives up
LOSS = PrivacyLoss(Fraction(1, 100))
LIMITS = {"segmentation": PrivacyLoss(Fraction(35, 1000))}
ANSWER = Domain({"answer": Categories(("no", "yes"), "no")})


def records(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def append(path: Path, body: dict[str, Any]) -> None:
    with path.open("a") as file:
        file.write(json.dumps(body) + "\n")
        file.flush()
        os.fsync(file.fileno())


def reserving(path: Path, limits: Limits = LIMITS) -> Reserve:
    """A budget ledger in a file: asks and appends under one lock, durable when it returns."""

    def reserve(body: dict[str, Any]) -> Account:
        with (path.parent / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            admission = budget_ledger.admit(records(path), body, limits)
            if not admission.recorded:
                append(path, body)
            return admission.account

    return reserve


def run_fit(path: Path, publish: Callable[[dict[str, Any]], None] | None = None) -> None:
    rows = table({"answer": ["yes", "no"] * 40}, {"answer": "string"})
    given: dict[str, Any] = {"domain": ANSWER, "workload": (), "loss": LOSS, "period": "2026"}
    release = fit(
        rows, scene="segmentation", at=AT, ledger_size=7, reserve=reserving(path), **given
    )
    (publish or (lambda body: append(path, body)))(release.body())


def test_a_regulator_recomputes_the_spending_to_the_last_digit(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    run_fit(path)
    run_fit(path)
    found = budget_ledger.verify(records(path), LIMITS)
    assert found.findings == []
    account = found.accounts["segmentation", "2026"]
    assert account.spent.rho == 2 * LOSS.rho
    assert account.left.rho == Fraction(15, 1000)
    released = [body for body in records(path) if body["format"] == budget_ledger.RELEASE]
    assert all(budget_ledger.loss_of(body) <= LOSS for body in released)


def test_an_exhausted_budget_refuses_before_anything_is_measured(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    for _ in range(3):
        run_fit(path)
    before = records(path)
    with pytest.raises(BudgetExceededError, match="keep serving the last release"):
        run_fit(path)
    assert records(path) == before


def test_a_refused_reservation_draws_no_noise() -> None:
    class Refusal(Exception):  # noqa: N818 - whatever a caller raises
        pass

    class NoNoise:
        publishable = False

        def nonce(self) -> str:
            return "00"

        def laplace(self, *_: Any) -> Any:
            raise AssertionError("noise was drawn")

        gaussian = laplace

    def refuse(_body: dict[str, Any]) -> Account:
        raise Refusal

    rows = table({"answer": ["yes"]}, {"answer": "string"})
    given: dict[str, Any] = {"domain": ANSWER, "workload": (), "loss": LOSS, "noise": NoNoise()}
    with pytest.raises(Refusal):
        fit(rows, scene="segmentation", at=AT, ledger_size=7, reserve=refuse, **given)


def processes() -> Any:
    """Processes of their own, forked from one that has imported what takes seconds."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        [
            "tests.synthetic.material",
            "opendp.prelude",
            "diffprivlib",
            "scipy.special",
            "opt_einsum",
            "ibis.backends.duckdb",
        ]
    )
    return context


def _try_fit(path: Path) -> None:
    try:
        run_fit(path)
    except BudgetExceededError:
        os._exit(3)


def _stop_before_release(path: Path) -> None:
    run_fit(path, publish=lambda _body: time.sleep(2 * PATIENCE_S))


def test_concurrent_fits_never_overspend(tmp_path: Path) -> None:
    path, context = tmp_path / "ledger", processes()
    fits = [context.Process(target=_try_fit, args=(path,)) for _ in range(5)]
    for each in fits:
        each.start()
    for each in fits:
        each.join()
    assert sorted(each.exitcode or 0 for each in fits) == [0, 0, 0, 3, 3]
    found = budget_ledger.verify(records(path), LIMITS)
    assert found.findings == []
    assert found.accounts["segmentation", "2026"].spent.rho == 3 * LOSS.rho


def test_a_fit_that_is_killed_has_spent_its_budget(tmp_path: Path) -> None:
    path, context = tmp_path / "ledger", processes()
    killed = context.Process(target=_stop_before_release, args=(path,))
    killed.start()
    deadline = time.monotonic() + PATIENCE_S
    while not records(path) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert killed.pid is not None
    os.kill(killed.pid, signal.SIGKILL)
    killed.join()
    found = budget_ledger.verify(records(path), LIMITS)
    assert found.accounts["segmentation", "2026"].spent.rho == LOSS.rho
    assert found.findings == []


def _honest(tmp_path: Path) -> list[dict[str, Any]]:
    run_fit(tmp_path / "ledger")
    return records(tmp_path / "ledger")


FRAUDS: dict[str, tuple[Callable[[list[dict[str, Any]]], Any], str]] = {
    "a release without a reservation": (lambda r: r.pop(0), "without a reservation"),
    "a release published twice": (lambda r: r.append(r[1]), "without a reservation"),
    "a reservation recorded twice": (lambda r: r.insert(0, r[0]), "recorded twice"),
    "a smaller reservation": (lambda r: r[0].update(rho="1/1000"), "without a reservation"),
    "a smaller rho stated": (lambda r: r[1]["statement"].update(rho="1/1000"), "states rho"),
    "another scene": (lambda r: r[1].update(scene="lead-scoring"), "reserved for"),
    "finer noise than reserved": (
        lambda r: r[1]["measurements"][0].update(scale="1/2"),
        "reserved 1/100",
    ),
    "more than the limit": (lambda r: r[0].update(rho="1/1"), "is exceeded"),
}


@pytest.mark.parametrize(("commit", "finding"), FRAUDS.values(), ids=FRAUDS.keys())
def test_a_regulator_finds(
    tmp_path: Path, commit: Callable[[list[dict[str, Any]]], Any], finding: str
) -> None:
    bodies = _honest(tmp_path)
    commit(bodies)
    findings = budget_ledger.verify(bodies, LIMITS).findings
    assert any(finding in each for each in findings), findings


HALVED = "7/400"  # of the usual limit


def stating(limit: str, nonce: str, rho: str = "1/100") -> dict[str, Any]:
    body = {"format": budget_ledger.RESERVATION, "scene": "segmentation", "period": "2026"}
    return {**body, "rho": rho, "nonce": nonce, "limit": limit}


def test_s28a_a_limit_that_a_reservation_states_holds_from_there_on(tmp_path: Path) -> None:
    path = tmp_path / "records"
    reserve = reserving(path)
    assert reserve(stating(HALVED, "01")).left == PrivacyLoss(Fraction(3, 400))
    with pytest.raises(BudgetExceededError):
        reserve(stating(HALVED, "02"))
    assert budget_ledger.verify(records(path), LIMITS).findings == []
    append(path, stating(HALVED, "02"))
    (found,) = budget_ledger.verify(records(path), LIMITS).findings
    assert "exceeded" in found


def test_s28a_a_limit_above_epsilon_10_is_refused_and_found(tmp_path: Path) -> None:
    path = tmp_path / "records"
    with pytest.raises(LossError, match="above epsilon 10"):
        reserving(path)(stating("2/1", "01"))
    append(path, stating("2/1", "01", rho="1/10"))
    found = budget_ledger.verify(records(path), LIMITS).findings
    assert len(found) == 2  # the limit, and a debit above the usual one
    assert "states the limit 2/1" in found[0]


def test_fraud_never_lowers_what_was_spent(tmp_path: Path) -> None:
    bodies = _honest(tmp_path)
    honest = budget_ledger.loss_of(bodies[1])
    found = budget_ledger.verify(bodies[1:], LIMITS)
    assert found.accounts["segmentation", "2026"].spent == honest


UNREADABLE: dict[str, Any] = {
    "another format": {"format": "synthetic-release/v9"},
    "no format": {},
    "no scene": {"format": budget_ledger.RESERVATION, "rho": "1/2"},
    "a decimal": {"format": budget_ledger.RESERVATION, "scene": "s", "period": "p", "rho": "0.5"},
    "a negative rho": {
        "format": budget_ledger.RESERVATION,
        "scene": "s",
        "period": "p",
        "rho": "-1/2",
    },
}


@pytest.mark.parametrize("body", UNREADABLE.values(), ids=UNREADABLE.keys())
def test_a_record_that_cannot_be_read_is_refused(body: Any) -> None:
    with pytest.raises(MalformedRecordError):
        budget_ledger.verify([body], LIMITS)


def test_a_customer_leaves_the_population_before_the_cap() -> None:
    cap, exposure = PrivacyLoss(Fraction(25, 1000)), Exposure({})
    populations = []
    for subjects in (["ann", "bob"], ["ann"], ["ann", "bob"], ["ann", "bob"]):
        admitted = exposure.admitted(subjects, LOSS, cap)
        exposure = exposure.charged(admitted, LOSS)
        populations.append(admitted)
    assert populations == [["ann", "bob"], ["ann"], ["bob"], []]
    assert all(loss <= cap for loss in exposure.spent.values())


def test_a_refit_never_follows_a_single_withdrawal() -> None:
    cadence, later = Cadence(), AT + timedelta(days=30)
    assert not cadence.due(AT, later, changes=1)
    assert not cadence.due(AT, AT + timedelta(days=1), changes=1000)
    assert cadence.due(AT, later, changes=50)

"""Releases by epoch, customers' own caps, and fits that a crash interrupted (S26, S27, S29)."""

import logging
import os
import shutil
import signal
from base64 import b64decode
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from gate.contracts.scene import Population, Scene
from ledger.events.envelope import BudgetReserved, Granted, SyntheticReleased, Withdrawn
from ledger.tlog.fetcher import DirectorySource
from portal.configuration.privacy_limits import PrivacyLimits
from portal.consent import wording
from portal.jobs.failure import JobError
from portal.jobs.refits import Attempts, Refits, changed_since, wait_after
from portal.operations import exposures, release_service
from portal.operations.exposures import Fit
from portal.operations.release_service import TooFewAdmittedError
from portal.operations.settings import Settings
from portal.operations.wiring import Product, open_product
from portal.regulator.budget_account import recompute
from portal.web import i18n
from synthetic.fitting.checkpoint import Partial, PartialError
from synthetic.fitting.release import Release
from synthetic.privacy.budget import PrivacyLoss
from synthetic.privacy.budget_ledger import Reservation
from synthetic.privacy.customer_cap import Cadence
from tests.bank import bank
from tests.portal.conftest import START, Clock
from tests.synthetic.test_spending import processes

SCENE, BROKEN, COUNTING = "ai-training", "recommendation", "anonymous-statistics"
LOSS = PrivacyLimits().release
QUICK = Cadence(least=timedelta(days=7), changes=3)
LATER = START + timedelta(days=30)


@pytest.fixture
def product(product: Product) -> Product:
    """A company that makes no statistics; `counting` puts them back."""
    whole = product.company
    scenes = {
        name: replace(each, population=Population.CONSENTING)
        for name, each in whole.scenes.items()
        if not each.counts_everybody
    }
    object.__setattr__(product, "company", replace(whole, scenes=scenes))
    return product


def counting(product: Product) -> Scene:
    """The same company with its statistics; returns the scene that makes them."""
    object.__setattr__(product, "company", bank())
    return product.scenes[COUNTING]


def say(product: Product, subject: str, act: Granted | Withdrawn, at: datetime = START) -> None:
    shown = wording.wording(product.scenes[act.scene], i18n.load()["en"])
    product.ledger.record([product.ledger.draft(subject, act, at=at, wording=shown)])


def set_limits(product: Product, **limits: Fraction) -> None:
    """As if the company had set them before the start."""
    object.__setattr__(product, "settings", product.settings.model_copy(update=limits))


def grant(product: Product, *subjects: str, scene: str = SCENE) -> None:
    fields = tuple(product.scenes[scene].fields)
    for subject in subjects:
        say(product, subject, Granted(scene, fields, None))


def debit(product: Product, nonce: str, scene: str = SCENE, period: str = "2026") -> Reservation:
    """A debit as any fit makes it, on the ledger as it is now."""
    size, root = product.ledger.root()
    made = Reservation(scene, period, LOSS, START, size, nonce, b64decode(root).hex())
    release_service.reserve(product.ledger, scene, made.body(), START)
    return made


def consenting(product: Product, scene: str = SCENE) -> list[str]:
    columns = [*product.scenes[scene].domain.columns]
    return product.gate.consenting(scene, columns, START)


def fits(product: Product, period: str = "2026") -> list[Fit]:
    return exposures.fits(product.ledger.announced(), period)


def lost(product: Product) -> dict[str, int]:
    """How many fits each customer has paid for."""
    found = exposures.exposure(product.ledger, [product.scenes], fits(product))
    return {subject: int(loss.rho / LOSS.rho) for subject, loss in found.spent.items()}


def test_a_customer_pays_for_the_fits_that_they_consented_to_and_for_no_other(
    product: Product,
) -> None:
    debit(product, "01")
    first = {*consenting(product)}
    leaver, joiner = min(first), "c00050"
    say(product, leaver, Withdrawn(SCENE))
    grant(product, joiner)
    debit(product, "02")
    debit(product, "03", scene="segmentation", period="2025")
    paid = lost(product)
    assert paid[leaver] == paid[joiner] == 1
    assert {paid[each] for each in first - {leaver}} == {2}
    assert "c00060" not in paid  # who never said anything


def test_losses_of_all_scenes_add_up(product: Product) -> None:
    debit(product, "01")
    debit(product, "02", scene="segmentation")
    both = {*consenting(product)} & {*consenting(product, "segmentation")}
    assert both
    assert {lost(product)[each] for each in both} == {2}


def test_a_grant_that_is_too_narrow_or_over_is_charged_all_the_same(product: Product) -> None:
    say(product, "c00050", Granted(SCENE, (next(iter(product.scenes[SCENE].fields)),), None))
    say(product, "c00051", Granted(SCENE, ("age",), START + timedelta(minutes=1)))
    grant(product, "c00052")
    say(product, "c00052", Withdrawn(SCENE))
    debit(product, "01")
    assert lost(product)["c00050"] == 1
    assert "c00052" not in lost(product)


def test_a_fit_that_went_on_charges_whoever_joined_meanwhile_and_nobody_twice(
    product: Product,
) -> None:
    made = debit(product, "01")
    before = {*consenting(product)}
    grant(product, "c00050")
    size, _ = product.ledger.root()
    found = [Fit(made.id, SCENE, LOSS, (made.ledger_size, size))]
    paid = exposures.exposure(product.ledger, [product.scenes], found).spent
    assert {*paid} >= {*before, "c00050"}
    assert set(paid.values()) == {LOSS}


def test_whoever_was_erased_leaves_no_history(product: Product) -> None:
    debit(product, "01")
    someone = consenting(product)[0]
    assert lost(product)[someone] == 1
    product.ledger.erase(someone, START)
    assert someone not in lost(product)


@pytest.fixture
def capped(product: Product) -> PrivacyLoss:
    """A cap that two fits reach, and a scene that could pay for more."""
    cap = PrivacyLoss(LOSS.rho * 2)
    set_limits(product, customer_rho_a_year=cap.rho)
    return cap


def test_whom_a_fit_would_take_past_the_cap_is_left_out_of_it(
    product: Product, capped: PrivacyLoss, caplog: pytest.LogCaptureFixture
) -> None:
    scene, before = product.scenes[SCENE], {*consenting(product)}
    assert {*release_service.population(product, scene, START).subjects} == before
    debit(product, "01")
    debit(product, "02")
    joined = [f"c{n:05d}" for n in range(30, 30 + 2 * len(before))]
    grant(product, *joined)
    with caplog.at_level(logging.INFO, "sovereign"):
        people = release_service.population(product, scene, START)
    assert {*people.subjects} == {*joined}
    assert people.ledger_size == product.ledger.size
    assert f"{len(before)} customers are left out" in caplog.text
    assert not any(subject in caplog.text for subject in before)
    paid = exposures.exposure(product.ledger, [product.scenes], fits(product))
    assert all(loss <= capped for loss in paid.spent.values())


@pytest.mark.usefixtures("capped")
def test_no_release_is_made_of_the_few_whom_the_cap_leaves(product: Product) -> None:
    debit(product, "01")
    debit(product, "02")
    size = product.ledger.size
    with pytest.raises(TooFewAdmittedError, match="the last release stays active"):
        release_service.release(product, product.scenes[SCENE], START)
    assert product.ledger.size == size


@pytest.mark.usefixtures("capped")
def test_a_fit_that_goes_on_does_not_leave_out_its_own_population(product: Product) -> None:
    debit(product, "01")
    made, scene = debit(product, "02"), product.scenes[SCENE]
    assert {*release_service.population(product, scene, START, resumed=made.id).subjects} == {
        *consenting(product)
    }


@pytest.fixture
def released(product: Product) -> Product:
    release_service.release(product, product.scenes[SCENE], START)
    return product


def test_a_refit_by_epoch_measures_what_was_measured_before(
    released: Product, tmp_path: Path
) -> None:
    """One story, for fits are slow: no refit after one withdrawal, nor before its time."""
    first = of(released)
    refits, scene = Refits(released, QUICK), released.scenes[SCENE]
    everybody = consenting(released)
    say(released, everybody[0], Withdrawn(SCENE))
    assert not refits.is_due(scene, LATER)  # one change
    grant(released, "c00050", "c00051")
    assert changed_since(released, SCENE, first.ledger_size) == 3
    assert not refits.is_due(scene, START + timedelta(days=6))  # too soon
    assert refits.is_due(scene, LATER)
    refits.fit(scene, LATER)
    second = of(released)
    assert second.id != first.id
    assert not second.selections
    assert {m.clique for m in second.measurements} == {m.clique for m in first.measurements}
    assert second.fitted_at == LATER
    assert not refits.is_due(scene, LATER)
    released.publish()
    found = recompute(DirectorySource(released.home / "log" / "consent"))
    assert found.findings == []
    assert found.spending.accounts[SCENE, "2026"].spent.rho == 2 * LOSS.rho
    assert second.account is not None
    assert second.account.spent.rho == 2 * LOSS.rho
    text = str(second.body())
    assert not any(subject in text for subject in everybody)


def test_a_scene_gets_its_first_release_when_enough_customers_have_spoken(product: Product) -> None:
    scene = product.scenes[SCENE]
    spoken = changed_since(product, SCENE, 0)
    assert 0 < spoken < 50
    for least, due in ((spoken, True), (spoken + 1, False)):
        assert Refits(product, replace(QUICK, changes=least)).is_due(scene, START) is due


def test_s26_a_customers_loss_is_capped_over_all_years(product: Product) -> None:
    set_limits(product, customer_rho=LOSS.rho * 2)
    scene, before = product.scenes[SCENE], {*consenting(product)}
    debit(product, "01", period="2024")
    debit(product, "02", period="2025")
    grant(product, *(f"c{n:05d}" for n in range(30, 30 + 2 * len(before))))
    assert before.isdisjoint(release_service.population(product, scene, START).subjects)


def of(product: Product) -> Release:
    found = product.gate.release(SCENE)
    assert isinstance(found, Release)
    return found


def test_an_exhausted_budget_leaves_the_last_release_in_force_with_its_age_shown(
    released: Product, visitor: TestClient, clock: Clock
) -> None:
    first, refits, scene = of(released), Refits(released, QUICK), released.scenes[SCENE]
    shown = visitor.get(f"/regulator/releases/{SCENE}").text
    assert "(0 days ago)" in shown
    set_limits(released, scene_rho_a_year=LOSS.rho)
    grant(released, "c00050", "c00051", "c00052")
    size = released.ledger.size
    assert refits.is_due(scene, LATER)
    refits.fit(scene, LATER)
    assert of(released) is first
    assert released.ledger.size == size
    assert not release_service.unfinished(released.home, SCENE).exists()
    assert refits.next_due(LATER) is not scene  # not asked again before the next period
    clock.now = LATER
    assert "(30 days ago)" in visitor.get(f"/regulator/releases/{SCENE}").text


def test_the_page_says_when_a_release_is_the_last_of_its_year(
    product: Product, visitor: TestClient, clock: Clock
) -> None:
    set_limits(product, scene_rho_a_year=LOSS.rho * Fraction(3, 2))
    release_service.release(product, product.scenes[SCENE], START)
    page = f"/regulator/releases/{SCENE}"
    assert "pays for no further release" in visitor.get(page).text
    clock.now = START.replace(year=2027)
    assert "pays for no further release" not in visitor.get(page).text


def _die(*_: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _killed_while_it_measures(home: Path) -> None:
    keep = Partial.keep

    def kept(self: Partial, stage: Any) -> None:
        keep(self, stage)
        _die()

    Partial.keep = kept  # type: ignore[method-assign] # in a process of its own, which dies of it
    _release(home)


def _killed_before_it_forgets(home: Path) -> None:
    Partial.drop = _die  # type: ignore[method-assign,assignment] # in a process of its own, which dies of it
    _release(home)


def _release(home: Path) -> None:
    product = open_product(Settings(data_dir=home, demo=True))
    release_service.release(product, product.scenes[SCENE], START)


@pytest.mark.parametrize(
    ("killed", "recorded"),
    [(_killed_while_it_measures, False), (_killed_before_it_forgets, True)],
    ids=["while it measures", "before it forgets"],
)
def test_a_start_finishes_a_fit_that_was_killed_and_spends_nothing_twice(
    killed: Callable[[Path], None], recorded: bool, seeded: Path, tmp_path: Path
) -> None:
    home = Path(shutil.copytree(seeded, tmp_path / "home"))
    process = processes().Process(target=killed, args=(home,))
    process.start()
    process.join(180)
    assert process.exitcode == -signal.SIGKILL
    product = open_product(Settings(data_dir=home, demo=True))
    assert (product.gate.release(SCENE) is not None) is recorded
    grant(product, "c00050")
    refits = Refits(product, QUICK)
    refits.run(LATER)  # at the first look after the start
    assert not release_service.unfinished(home, SCENE).exists()
    reserved, made = (
        [e.event for e in product.ledger.announced() if isinstance(e.event, kind)]
        for kind in (BudgetReserved, SyntheticReleased)
    )
    assert (len(reserved), len(made)) == (1, 1)
    assert bool(of(product).resumed) is not recorded
    product.publish()
    assert recompute(DirectorySource(home / "log" / "consent")).findings == []


def test_a_kept_fit_that_is_spoilt_is_dropped_and_its_budget_stays_spent(product: Product) -> None:
    made = debit(product, "01")
    path = release_service.unfinished(product.home, SCENE)
    path.parent.mkdir()
    path.write_text("{")
    with pytest.raises(PartialError):
        release_service.release(product, product.scenes[SCENE], START)
    assert not path.exists()
    assert [each.reservation for each in fits(product)] == [made.id]


def test_what_was_declared_otherwise_since_is_not_measured_like_before(released: Product) -> None:
    last, scene = of(released), released.scenes[SCENE]
    assert release_service.reusable_marginals(last, scene, [scene]) is last
    others: Sequence[Any] = (
        replace(scene, workload=scene.workload[1:]),
        replace(scene, trends=()),
        released.scenes["segmentation"],
    )
    assert all(release_service.reusable_marginals(last, each, [each]) is None for each in others)
    assert release_service.reusable_marginals(None, scene, [scene]) is None


@pytest.fixture
def two_due(product: Product) -> Refits:
    """Two scenes are due; the fit of the first was interrupted, and cannot be gone on with."""
    refits = Refits(product, replace(QUICK, changes=changed_since(product, SCENE, 0)))
    due = [scene.id for scene in product.scenes.values() if _due(refits, scene)]
    refits.refused = {each: "2026" for each in due if each not in {SCENE, BROKEN}}
    (release_service.unfinished(product.home, BROKEN)).mkdir(parents=True)
    return refits


def _due(refits: Refits, scene: Scene) -> bool:
    return scene.releases and refits.is_due(scene, LATER)


def test_a_scene_whose_fit_fails_holds_up_no_other(two_due: Refits) -> None:
    """One story, for fits are slow: the first fails, the second is fitted, the first waits."""
    product, second = two_due.product, timedelta(seconds=1)
    with pytest.raises(JobError, match=f"^{BROKEN}: ") as first:
        two_due.run(LATER)
    assert (first.value.retry_at, first.value.failures) == (LATER, 1)  # another may be due
    with pytest.raises(JobError, match=f"^{BROKEN}: "):
        two_due.run(LATER)
    assert product.gate.release(SCENE) is not None
    assert two_due.next_due(LATER + timedelta(minutes=1) - second) is None
    for failures, waited in ((2, timedelta(minutes=1)), (3, timedelta(minutes=3))):
        later = LATER + waited
        with pytest.raises(JobError) as again:
            Refits(product, QUICK).run(later)  # a start forgets no failure
        assert again.value.failures == failures
    release_service.unfinished(product.home, BROKEN).rmdir()
    two_due.refused[BROKEN] = "2026"
    assert two_due.run(LATER + timedelta(days=1)) is None  # nothing is due, so nothing has failed
    assert two_due.attempts.all() == {}


def test_a_fit_that_takes_the_process_down_counts_as_failed(product: Product) -> None:
    attempts = Attempts(product.home)
    attempts.begin(SCENE, LATER)
    found = Attempts(product.home).all()[SCENE]
    assert (found.failures, found.not_before) == (1, LATER + timedelta(minutes=1))
    assert "interrupted" in found.error
    attempts.begin(SCENE, LATER)
    assert attempts.all()[SCENE].not_before == LATER + timedelta(minutes=2)
    assert wait_after(100) == timedelta(hours=6)
    attempts.ended(SCENE)
    assert attempts.all() == {}


def test_attempts_that_cannot_be_read_are_named(product: Product) -> None:
    path = product.home / "fits" / "attempts.json"
    path.parent.mkdir()
    path.write_text('{"some": {"failures": "many"}}')
    with pytest.raises(JobError, match=r"attempts\.json cannot be read"):
        Refits(product).run(LATER)


def test_s27_statistics_follow_the_calendar_alone(product: Product) -> None:
    refits, scene = Refits(product), counting(product)
    assert refits.next_due(START) is scene, "nobody has to say anything first"
    release_service.release(product, scene, START)
    say(product, "c00050", Withdrawn(COUNTING))
    assert not refits.is_due(scene, START + timedelta(days=91))
    assert refits.is_due(scene, START + timedelta(days=92)), "whatever was said since"
    surrogates = product.scenes[BROKEN]
    grant(product, *(f"c{n:05d}" for n in range(30, 60)), scene=BROKEN)
    release_service.release(product, surrogates, START)
    grant(product, *(f"c{n:05d}" for n in range(60, 112)), scene=BROKEN)
    assert not refits.is_due(surrogates, START + timedelta(days=365)), "a leap year has a day more"
    assert refits.is_due(surrogates, START + timedelta(days=366))


def test_s67_whoever_consents_to_everything_stays_within_their_cap(product: Product) -> None:
    statistics = counting(product)
    plan = release_service.budget_plan(product)
    assert plan.a_year == 4
    own = [each for each in product.scenes.values() if each.releases and each is not statistics]
    assert len(own) == 6
    spent = [plan.loss(each).rho for each in own] + [plan.loss(statistics).rho] * plan.a_year
    assert sum(spent) <= PrivacyLimits().year.rho
    assert plan.loss(statistics).rho > PrivacyLimits().release.rho
    tight = replace(plan, limits=replace(plan.limits, year=PrivacyLoss(Fraction(1, 20))))
    assert tight.loss(statistics) == tight.limits.release, "never less than a release of a scene"


def test_s26_statistics_that_would_take_anybody_beyond_their_cap_are_not_made(
    product: Product, caplog: pytest.LogCaptureFixture
) -> None:
    refits, scene = Refits(product, QUICK), counting(product)
    set_limits(product, customer_rho_a_year=LOSS.rho * 2)
    debit(product, "01")
    debit(product, "02", scene=BROKEN)
    size = product.ledger.size
    refits.fit(scene, START)
    assert "leaving them out would bias it" in caplog.text
    assert product.ledger.size == size
    assert not refits.attempts.all()


def test_s26_statistics_are_charged_to_everybody(product: Product) -> None:
    counting(product)
    debit(product, "01", scene=COUNTING)
    debit(product, "02")
    paid = exposures.exposure(product.ledger, [product.scenes], fits(product))
    (someone, *_), cap = consenting(product), PrivacyLoss(LOSS.rho * 2)
    assert paid.everybody == LOSS
    assert paid.most == cap
    assert paid.admitted([someone, "c00399"], LOSS, cap) == ["c00399"], "who consented to nothing"

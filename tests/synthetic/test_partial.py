"""A fit that is interrupted goes on under its reservation, and spends nothing twice (S29)."""

import json
import os
import signal
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from synthetic.fitting import checkpoint
from synthetic.fitting import release as releases
from synthetic.fitting.checkpoint import FitStage, Partial, PartialError
from synthetic.fitting.fit import fit
from synthetic.fitting.release import MalformedReleaseError, Release
from synthetic.model.domain import Categories, Domain
from synthetic.privacy import budget_ledger
from synthetic.privacy.budget import Account, BudgetExceededError, PrivacyLoss
from synthetic.privacy.budget_ledger import UsedReservationError
from tests.synthetic.material import AT, RepeatableNoise, table
from tests.synthetic.test_spending import append, processes, records, reserving

LOSS = PrivacyLoss(Fraction(1, 2))
LIMITS = {"segmentation": PrivacyLoss(Fraction(3, 4))}  # once, not twice
CODES = ("0", "1", "2")
DOMAIN = Domain({name: Categories(CODES, "0") for name in "abcd"})
STAGES = [
    "every column",
    "declared group-bys",
    "scores of round 1",
    "choice of round 1",
    "what is left",
]


def rows(seed: int) -> Any:
    """Two rows a customer, in four columns of which the last three follow the first."""
    generator = np.random.default_rng(seed)
    first = generator.integers(0, 3, 3_000)
    codes = {name: np.where(generator.random(3_000) < 0.7, first, 0).astype(str) for name in "abcd"}
    columns = {name: each.tolist() for name, each in codes.items()}
    return table(
        {**columns, "who": [str(n // 2) for n in range(3_000)]},
        dict.fromkeys(["who", *"abcd"], "string"),
    )


class Killed(Partial):
    """Kills its process at a stage: before it is kept, or right after."""

    def __init__(self, path: Path, stage: str, *, kept: bool) -> None:
        super().__init__(path)
        self.stage, self.kept = stage, kept

    def keep(self, stage: FitStage) -> None:
        if stage.name == self.stage and not self.kept:
            die()
        super().keep(stage)
        if stage.name == self.stage:
            die()


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def go(home: Path, kept: Partial, size: int = 7, **options: Any) -> Release:
    """Fit, or go on; record the release; forget the partial. As every caller does it."""
    ledger = home / "ledger"
    given: dict[str, Any] = {
        "domain": DOMAIN,
        "workload": [("a", "b")],
        "loss": LOSS,
        "period": "2026",
    }
    given |= {"contribution": 2, "customer": "who", "reserve": reserving(ledger, LIMITS), **options}
    release = fit(
        rows(size),
        scene="segmentation",
        at=AT,
        ledger_size=size,
        ledger_root=f"{size:064x}",
        partial=kept,
        **given,
    )
    append(ledger, dict(release.body()))
    return release


def _killed(home: Path, stage: str, kept: bool) -> None:
    with checkpoint.locked(home / "partial") as held:
        go(home, Killed(held.path, stage, kept=kept))


def _killed_around_the_debit(home: Path, after: bool) -> None:
    recording = reserving(home / "ledger", LIMITS)

    def reserve(body: dict[str, object]) -> Account:
        if after:
            recording(body)
        die()
        raise AssertionError

    with checkpoint.locked(home / "partial") as held:
        go(home, held, reserve=reserve)


def _killed_before_it_forgets(home: Path) -> None:
    with checkpoint.locked(home / "partial") as held:
        go(home, held)
        die()


def kill(target: Callable[..., None], *arguments: Any) -> None:
    process = processes().Process(target=target, args=arguments)
    process.start()
    process.join(600)
    assert process.exitcode == -signal.SIGKILL


def finish(home: Path, size: int = 7) -> Release:
    with checkpoint.locked(home / "partial") as held:
        release = go(home, held, size)
        held.drop()
    return release


def spent(home: Path) -> Fraction:
    found = budget_ledger.verify(records(home / "ledger"), LIMITS)
    assert found.findings == []
    accounts = found.accounts
    return accounts["segmentation", "2026"].spent.rho if accounts else Fraction(0)


def require_one_sound_release(home: Path) -> None:
    bodies = records(home / "ledger")
    assert [body["format"] for body in bodies] == [budget_ledger.RESERVATION, budget_ledger.RELEASE]
    releases.verify(Release.from_body(bodies[1]))
    assert budget_ledger.loss_of(bodies[1]) <= LOSS
    assert spent(home) == LOSS.rho
    assert not (home / "partial").exists()


@pytest.mark.parametrize("kept", [False, True], ids=["before it is kept", "after"])
@pytest.mark.parametrize("stage", STAGES)
def test_a_fit_that_is_killed_at_any_stage_goes_on_and_spends_nothing_twice(
    tmp_path: Path, stage: str, kept: bool
) -> None:
    kill(_killed, tmp_path, stage, kept)
    assert spent(tmp_path) == LOSS.rho  # at once, not when it is released
    before = json.loads((tmp_path / "partial").read_text())["stages"]
    assert [each["name"] for each in before] == STAGES[: STAGES.index(stage) + kept]
    release = finish(tmp_path, size=9)
    require_one_sound_release(tmp_path)
    measured = [m for each in before for m in each["measurements"]]
    assert [m.body() for m in release.measurements][: len(measured)] == measured
    scores = [s for each in before for s in each["selections"]]
    assert [s.body() for s in release.selections][: len(scores)] == scores
    told = [(s.ledger_size, s.measurements, s.selections) for s in release.resumed]
    assert told == ([(7, len(measured), len(scores))] if before else [])


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_fit_that_is_killed_around_its_debit_is_debited_once(tmp_path: Path, after: bool) -> None:
    kill(_killed_around_the_debit, tmp_path, after)
    assert spent(tmp_path) == (LOSS.rho if after else 0)
    finish(tmp_path)
    require_one_sound_release(tmp_path)


def test_what_is_kept_never_makes_two_releases(tmp_path: Path) -> None:
    kill(_killed_before_it_forgets, tmp_path)
    assert (tmp_path / "partial").exists()
    with pytest.raises(UsedReservationError, match="start a new fit with a new reservation"):
        finish(tmp_path)
    require_one_sound_release(tmp_path)


def test_two_processes_never_go_on_with_the_same_fit(tmp_path: Path) -> None:
    with (
        checkpoint.locked(tmp_path / "partial"),
        pytest.raises(PartialError, match="another process"),
        checkpoint.locked(tmp_path / "partial"),
    ):
        raise AssertionError("held twice")


def test_an_exhausted_budget_leaves_nothing_to_go_on_with(tmp_path: Path) -> None:
    finish(tmp_path)
    with pytest.raises(BudgetExceededError):
        finish(tmp_path)
    assert not (tmp_path / "partial").exists()


def test_a_fit_reports_every_stage_as_it_is_done(tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    with checkpoint.locked(tmp_path / "partial") as held:
        go(tmp_path, held, progress=lambda *each: told.append(each))
    assert [stage for stage, _, _ in told] == STAGES
    assert [done for _, done, _ in told] == [1, 2, 3, 4, 5]
    assert {of for _, _, of in told} == {8}


@pytest.fixture
def begun(tmp_path: Path) -> Path:
    """A fit that somebody stopped when every column was measured."""

    class Stopped(Exception):  # noqa: N818 - as Ctrl-C would
        pass

    def stop(_stage: str, _done: int, _of: int) -> None:
        raise Stopped

    with checkpoint.locked(tmp_path / "partial") as held, pytest.raises(Stopped):
        go(tmp_path, held, progress=stop)
    return tmp_path


def test_what_is_kept_is_for_the_owner_alone_and_holds_noisy_integers_only(begun: Path) -> None:
    assert (begun / "partial").stat().st_mode & 0o077 == 0
    kept = json.loads((begun / "partial").read_text())
    assert {*kept} == {"format", "terms", "reservation", "stages"}
    assert {*kept["stages"][0]} == {
        "name", "ledger_size", "ledger_root", "measurements", "selections",
    }  # fmt: skip


OTHER_TERMS: dict[str, tuple[dict[str, Any], str]] = {
    "another domain": ({"domain": DOMAIN.without(["d"])}, "domain_digest"),
    "another workload": ({"workload": [("b", "c")]}, "workload"),
    "another mechanism": ({"mechanism": "independent"}, "mechanism"),
    "another contribution": ({"contribution": 3}, "contribution"),
    "noise that can be repeated": ({"noise": RepeatableNoise(1)}, "publishable"),
}


@pytest.mark.parametrize(("options", "said"), OTHER_TERMS.values(), ids=OTHER_TERMS.keys())
def test_a_fit_on_other_terms_does_not_go_on(
    begun: Path, options: dict[str, Any], said: str
) -> None:
    with (
        checkpoint.locked(begun / "partial") as held,
        pytest.raises(PartialError, match=said),
    ):
        go(begun, held, **options)
    assert (begun / "partial").exists()
    assert spent(begun) == LOSS.rho


def _dump(change: Callable[[dict[str, Any]], Any]) -> Callable[[str], str]:
    def changed(text: str) -> str:
        body = json.loads(text)
        change(body)
        return json.dumps(body)

    return changed


SPOILT: dict[str, tuple[Callable[[str], str], str]] = {
    "cut short": (lambda text: text[:-9], "is not a synthetic-partial"),
    "another format": (_dump(lambda b: b.update(format="v9")), "want 'synthetic-partial/v1'"),
    "no stages": (_dump(lambda b: b.pop("stages")), "is not a synthetic-partial"),
    "a cell left out": (
        _dump(lambda b: b["stages"][0]["measurements"][0]["values"].pop()),
        "is not a synthetic-partial",
    ),
    "a stage of another version": (
        _dump(lambda b: b["stages"][0].update(name="every row")),
        "another version",
    ),
    "begun by other code": (
        _dump(lambda b: b["terms"].update(code="77")),
        "was started with other values of code",
    ),
    "more measured than reserved": (
        _dump(lambda b: b["stages"][0]["measurements"][0].update(scale="1/4")),
        "more than it reserved",
    ),
}


@pytest.mark.parametrize(("spoil", "said"), SPOILT.values(), ids=SPOILT.keys())
def test_what_is_spoilt_is_not_gone_on_with(
    begun: Path, spoil: Callable[[str], str], said: str
) -> None:
    path = begun / "partial"
    path.write_text(spoil(path.read_text()))
    with pytest.raises(PartialError, match=said):
        finish(begun)
    assert spent(begun) == LOSS.rho


def test_a_fit_that_reserves_nothing_cannot_be_kept(tmp_path: Path) -> None:
    with (
        checkpoint.locked(tmp_path / "partial") as held,
        pytest.raises(PartialError, match="give both"),
    ):
        go(tmp_path, held, reserve=None)


FALSE_SEGMENTS: dict[str, Any] = {
    "more measurements than there are": {"measurements": 999},
    "fewer than none": {"measurements": -1},
    "more selections than there are": {"selections": 999},
    "the last state": {"ledger_size": 9},
    "a later state": {"ledger_size": 11},
}


@pytest.mark.parametrize("change", FALSE_SEGMENTS.values(), ids=FALSE_SEGMENTS.keys())
def test_a_record_that_misstates_where_it_went_on_is_refused(
    begun: Path, change: dict[str, int]
) -> None:
    body = json.loads(json.dumps(finish(begun, size=9).body()))
    assert Release.from_body(body).resumed[0].ledger_size == 7
    body["resumed"][0] |= change
    with pytest.raises(MalformedReleaseError, match="resumed"):
        Release.from_body(body)

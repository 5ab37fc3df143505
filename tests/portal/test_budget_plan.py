"""The plan of releases: who allows every use loses no more than they may, or it is refused."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gate.contracts.scene import Population, Scene
from gate.contracts.scene_file import load_scenes
from gate.contracts.source import load_source
from portal.commands import app
from portal.configuration.budget_plan import BudgetPlan, BudgetPlanError
from portal.configuration.privacy_limits import PrivacyLimits
from synthetic.privacy.budget import PrivacyLoss
from tests.bank import SCENES_FOLDER, SOURCE_CONTRACT

ALL = [*load_scenes(SCENES_FOLDER, load_source(SOURCE_CONTRACT)).values()]
ALONE = [  # as of a company that has no scene for statistics
    replace(each, population=Population.CONSENTING) for each in ALL if not each.counts_everybody
]


def plan(scenes: list[Scene], limits: PrivacyLimits | None = None, days: int = 92) -> BudgetPlan:
    return BudgetPlan.of(limits or PrivacyLimits(), days, 50, scenes)


def lost_in_years(made: BudgetPlan, scenes: list[Scene], years: int) -> dict[int, Fraction]:
    """Rho by calendar year of whoever allows everything, if each release is made when it is due."""
    lost: dict[int, Fraction] = {}
    first = datetime(2027, 1, 1, tzinfo=UTC)
    for scene in scenes:
        if not scene.releases:
            continue
        at = first
        while at < first.replace(year=first.year + years):
            lost[at.year] = lost.get(at.year, Fraction(0)) + made.loss(scene).rho
            at += made.cadence(scene).least
    return lost


@pytest.mark.parametrize("scenes", [ALL, ALONE], ids=["statistics", "alone"])
@pytest.mark.parametrize("epsilon", [Fraction(1), Fraction(1, 2), Fraction(1, 4)])
def test_who_allows_every_use_stays_within_a_years_cap(
    scenes: list[Scene], epsilon: Fraction
) -> None:
    limits = PrivacyLimits(epsilon=epsilon)
    made = plan(scenes, limits)
    made.require_feasible()
    assert sum(each.releases for each in scenes) > 5
    for year, rho in lost_in_years(made, scenes, 6).items():
        assert rho <= limits.year.rho, year


def test_scenes_are_fitted_as_often_as_the_cap_pays_for() -> None:
    """Six scenes at epsilon 1 are paid for once a year, at 1/2 six times, of which four are due."""
    scene = next(each for each in ALONE if each.releases)
    assert plan(ALONE).times == 1
    assert plan(ALONE).cadence(scene).least == timedelta(days=366)
    half = plan(ALONE, PrivacyLimits(epsilon=Fraction(1, 2)))
    assert half.times == 4
    assert half.cadence(scene).least == timedelta(days=92)


def test_a_plan_that_no_cap_pays_for_is_refused_with_the_sum() -> None:
    limits = PrivacyLimits(year=PrivacyLoss(Fraction(1, 10)), scene=PrivacyLoss(Fraction(1, 10)))
    with pytest.raises(BudgetPlanError, match=r"6 scenes .* cost rho 0\.1668 .* may lose 0\.1 in"):
        plan(ALONE, limits).require_feasible()
    one = PrivacyLimits(scene=PrivacyLoss(Fraction(1, 100)))
    with pytest.raises(BudgetPlanError, match=r"in one scene 0\.01"):
        plan(ALONE, one).require_feasible()
    with pytest.raises(BudgetPlanError, match=r"53 releases for statistics 0\.02781 each"):
        plan(ALL, days=7).require_feasible()


@pytest.mark.parametrize("command", ["check", "serve"])
def test_it_is_refused_when_the_folder_is_read(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOVEREIGN_REFIT_DAYS", "7")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "people.csv").write_text("id\n1\n")
    arguments = ["check", str(SCENES_FOLDER.parent)]
    if command == "serve":
        monkeypatch.setenv("SOVEREIGN_SOURCE", str(tmp_path / "people.csv"))
        arguments = [
            "serve",
            "--company",
            str(SCENES_FOLDER.parent),
            "--trial",
            "--data-dir",
            "data",
        ]
    found = CliRunner().invoke(app, arguments)
    assert found.exit_code == (1 if command == "check" else 2), found.output
    assert "53 releases for statistics" in " ".join(found.output.split())
    assert not (tmp_path / "data" / "ledger.sqlite").exists()


def test_check_says_what_a_year_costs() -> None:
    found = CliRunner().invoke(app, ["check", str(SCENES_FOLDER.parent)])
    assert found.exit_code == 0
    said = " ".join(found.output.split())
    assert "releases in a year, at most: 1 of each of 6 scenes, 4 for statistics" in said
    assert "rho 1.5 in all is reached after 6 years" in said

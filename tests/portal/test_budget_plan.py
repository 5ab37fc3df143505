"""The plan of releases: who allows every use loses no more than they may, or it is refused."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from gate.contracts.scene import Population, Scene
from gate.contracts.scene_file import load_scenes
from gate.contracts.source import load_source
from portal.commands import app
from portal.configuration.budget_plan import BudgetPlan, BudgetPlanError
from portal.configuration.privacy_limits import PrivacyLimits
from portal.operations.release_service import due_periods
from synthetic.fitting.release import Release
from synthetic.model.series import PeriodMeasurement
from synthetic.privacy.budget import PrivacyLoss
from tests.bank import SCENES_FOLDER, SOURCE_CONTRACT
from tests.synthetic.material import bank_release

TELCO = Path(__file__).parents[2] / "examples" / "telco"
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


def counting(**terms: Any) -> list[Scene]:
    """The scenes of the telecom example, with other terms of its series."""
    scenes = load_scenes(TELCO / "scenes", load_source(TELCO / "sources/subscriber.odcs.yaml"))
    made = []
    for each in scenes.values():
        changed = [replace(one, terms=replace(one.terms, **terms)) for one in each.series]
        made.append(replace(each, series=tuple(changed)))
    return made


def test_s84_the_series_are_part_of_the_sum() -> None:
    scenes, limits = counting(), PrivacyLimits()
    made = plan(scenes)
    made.require_feasible()
    (series,) = (one for each in scenes for one in each.series)
    assert made.series == 12 * Fraction(7 * 7, 2 * 60 * 60)
    for year, rho in lost_in_years(made, scenes, 6).items():
        assert rho + made.series <= limits.year.rho, year
    bare = [replace(each, series=()) for each in scenes]
    (statistics,) = (each for each in scenes if each.counts_everybody)
    left = plan(bare).loss(statistics).rho - made.loss(statistics).rho
    assert float(left) == pytest.approx(float(made.series) / 4, abs=1e-5)
    assert f"12 periods of the series {series.name} 0.006806 each" in str(made)


@pytest.mark.parametrize("terms", [{"sigma": 50}, {"at_most": 8}])
def test_s84_series_that_leave_too_little_are_refused_with_the_sum(terms: dict[str, int]) -> None:
    with pytest.raises(
        BudgetPlanError, match=r"12 periods of the series contacts .* greater sigma"
    ):
        plan(counting(**terms)).require_feasible()


def test_g283_each_period_is_due_once_and_no_more_in_a_year_than_planned() -> None:
    (scene,) = (each for each in counting() if each.series)
    (series,) = scene.series
    scene = replace(scene, series=(replace(series, until=None, a_year=5),))

    def made(at: datetime, *before: Release) -> Release:
        due = due_periods(scene, before, at)
        one = [PeriodMeasurement(s.terms, p, np.array([1, 1])) for s, p in due]
        return replace(bank_release(), period=str(at.year), series=tuple(one))

    def months(release: Release) -> list[str]:
        return [f"{each.period.start:%Y-%m}" for each in release.series]

    first = made(datetime(2025, 4, 1, tzinfo=UTC))
    assert months(first) == ["2025-01", "2025-02", "2025-03"]
    assert months(made(datetime(2025, 4, 30, 23, tzinfo=UTC), first)) == []
    second = made(datetime(2025, 12, 1, tzinfo=UTC), first)
    assert months(second) == ["2025-04", "2025-05"], "five in a year"
    third = made(datetime(2026, 1, 1, tzinfo=UTC), first, second)
    assert months(third) == ["2025-06", "2025-07", "2025-08", "2025-09", "2025-10"]


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

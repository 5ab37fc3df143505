"""Clauses 16.1 to 16.5 of specs/portal.md: settings, their reference, and where they come from."""

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from portal.commands import app
from portal.commands.settings import reference
from portal.configuration.sources import SettingError, variable
from portal.operations.settings import FLAG, Settings

ROOT = Path(__file__).parents[2]
NEW_FOLDER = {"restore"}  # its --data-dir names a folder that is not there yet


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory, and no setting in the environment."""
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(variable(name), raising=False)
    return tmp_path


def options(command: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    for key, each in getattr(command, "commands", {}).items():
        yield from options(each, f"{name} {key}".strip())
    for each in command.params:
        yield name, each


def test_i16_1_the_reference_is_that_of_the_code() -> None:
    written = (ROOT / "docs" / "configuration.md").read_text("utf-8")
    assert written == reference(), "sovereign settings > docs/configuration.md"


@pytest.mark.parametrize("name", Settings.model_fields)
def test_i16_1_every_setting_has_a_meaning_and_an_example_that_works(
    name: str, place: Path
) -> None:
    field = Settings.model_fields[name]
    assert field.description
    example = f"{name} = {(field.examples or [''])[0]}\n"
    if name in {"consent_origin", "login_origin"}:  # neither goes without the other
        example = 'login_origin = "https://privacy.bank.example"\n'
        example += 'consent_origin = "https://consent.bank.example"\n'
    (place / "sovereign.toml").write_text(example)
    assert name in tomllib.loads(example)
    assert getattr(Settings(), name) != field.default


def test_i16_1_every_flag_that_the_reference_names_is_one_of_serve() -> None:
    known = {
        o
        for name, each in options(typer.main.get_command(app))
        for o in each.opts
        if name == "serve"
    }
    named = {f.json_schema_extra[FLAG] for f in Settings.model_fields.values()}  # type: ignore[index]
    assert named - {""} <= known


def test_i16_2_a_flag_counts_before_the_environment_and_that_before_the_file(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def asked(*words: str) -> str:
        return CliRunner().invoke(app, ["fsck", *words]).output

    assert "sovereign-data" in asked()
    (place / "sovereign.toml").write_text('data_dir = "of-file"\nport = 1\n')
    assert "of-file" in asked()
    monkeypatch.setenv("SOVEREIGN_DATA_DIR", "of-environment")
    assert "of-environment" in asked()
    assert "of-flag" in asked("--data-dir", "of-flag")
    monkeypatch.setenv("SOVEREIGN_PORT", "2")
    assert (Settings().port, Settings(port=3).port) == (2, 3)


def test_i16_2_every_command_finds_the_data_directory_by_one_rule() -> None:
    found = {
        name: each.callback
        for name, each in options(typer.main.get_command(app))
        if "--data-dir" in each.opts and name not in NEW_FOLDER
    }
    assert len(found) > 25
    assert {name for name, each in found.items() if not each} == set()


MISTYPED: dict[str, tuple[str, dict[str, str], str]] = {
    "a key of the file": ("demo = true\nprot = 80\n", {}, r"'prot' .*, line 2\): want port"),
    "a table of the file": ("[qota.default]\nrows_per_day = 1\n", {}, r"line 1\): want quota"),
    "a variable": ("", {"SOVEREIGN_DATA_DIRR": "x"}, r"DIRR .*: want SOVEREIGN_DATA_DIR"),
    "one in lower case": ("", {"sovereign_hots": "x"}, "sovereign_hots .*: want SOVEREIGN_HOST"),
    "one twice": ("", {"SOVEREIGN_PORT": "1", "sovereign_port": "2"}, "one setting: remove one"),
}


@pytest.mark.parametrize("why", MISTYPED)
def test_i16_3_a_mistyped_setting_is_refused_with_the_nearest_one(
    why: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, variables, wanted = MISTYPED[why]
    (place / "sovereign.toml").write_text(file)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingError, match=wanted):
        Settings()


def test_i16_3_a_value_that_cannot_be_used_is_refused_with_its_place(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place / "sovereign.toml").write_text("demo = false\nport = 0\n")
    refused = CliRunner().invoke(app, ["fsck"])
    assert (refused.exit_code, "sovereign.toml, line 2" in refused.output) == (2, True)
    monkeypatch.setenv("SOVEREIGN_PORT", "none")
    assert "environment, SOVEREIGN_PORT" in CliRunner().invoke(app, ["fsck"]).output


def test_i16_3_a_mistyped_member_of_a_table_is_refused_with_the_nearest_one(place: Path) -> None:
    (place / "sovereign.toml").write_text("[quota.default]\nrows_per_dy = 1\n")
    printed = CliRunner().invoke(app, ["fsck"]).output
    assert "quota.default.rows_per_dy: unknown, want rows_per_day" in printed
    assert "sovereign.toml, line 1" in printed


LOOSER: dict[str, tuple[dict[str, Any], str]] = {
    "a total above epsilon 10": ({"customer_rho": "2"}, "want 1.5393 or less, which is epsilon 10"),
    "a delta above a millionth": ({"release_delta": 1e-5}, "want 1e-6 or less"),
    "a release that its scene cannot pay": ({"release_epsilon": 3}, "scene_rho_a_year is 1/8"),
    "a scene above the customer": ({"scene_rho_a_year": "1/2"}, "customer_rho_a_year is 1/4"),
    "a year above the total": ({"customer_rho_a_year": "8/5"}, "customer_rho is 3/2"),
    "no loss": ({"release_epsilon": 0}, "want a number from 1e-9 to 1000"),
    "a truth value": ({"release_epsilon": True}, "want a number from 1e-9 to 1000"),
    "no number": ({"customer_rho": "much"}, "want a number from 1e-9 to 1000"),
    "a release a week": ({"refit_days": 6}, "greater than or equal to 7"),
    "a release after one withdrawal": ({"refit_changes": 1}, "greater than or equal to 50"),
    "a session without end": ({"session_hours": 25}, "less than or equal to 24"),
    "a session that idles for a day": ({"session_idle_minutes": 1440}, "less than or equal to 120"),
}


@pytest.mark.parametrize("why", LOOSER)
def test_i16_4_a_company_cannot_set_looser_bounds_than_the_products(why: str, place: Path) -> None:
    values, wanted = LOOSER[why]
    with pytest.raises(ValueError, match=wanted):
        Settings(**values)


def test_i16_4_a_company_can_set_tighter_bounds(place: Path) -> None:
    (place / "sovereign.toml").write_text(
        'release_epsilon = 0.5\nrelease_delta = 1e-7\nscene_rho_a_year = "1/16"\n'
        'customer_rho = "1"\nrefit_days = 365\nrefit_changes = 1000\nsession_hours = 1\n'
    )
    read = Settings()
    assert float(read.privacy.scene.rho) == 1 / 16
    assert read.privacy.release < Settings(release_delta=1e-6).privacy.release
    assert read.session.longest.total_seconds() == 3600

"""`sovereign contracts check`: every hour, beside a portal (C4, C6)."""

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pytest
from typer.testing import CliRunner, Result

from portal.commands import app
from portal.demo.sources import deliveries
from portal.operations import company_folder
from steward.contracts.health import Aspect, Check, ContractHealth
from tests.bank import BANK, contracts


@pytest.fixture
def home(seeded: Path, tmp_path: Path) -> Path:
    """The sixty customers, all of whose systems have just delivered."""
    shutil.copytree(seeded, tmp_path / "home")
    deliveries.record(tmp_path / "home" / "customers.duckdb", contracts()[0], datetime.now(UTC))
    return tmp_path / "home"


def check(home: Path, *options: str) -> Result:
    return CliRunner().invoke(app, ["contracts", "check", "--data-dir", str(home), *options])


def test_a_source_in_order_is_said_to_be(home: Path) -> None:
    result = check(home)
    assert result.exit_code == 0, result.output
    assert result.output.endswith("checks, 0 missed\n")


def test_the_third_miss_in_a_row_is_an_alert(home: Path) -> None:
    with duckdb.connect(home / "customers.duckdb") as connection:
        connection.execute("DELETE FROM delivery WHERE system = 'mobile-app'")
    missed = Check("nearest-branch", "location", Aspect.FRESHNESS, False, "1 day", "")
    health = ContractHealth(home, contracts()[1])
    health.record([missed], datetime.now(UTC) - timedelta(hours=2))
    assert health.record([missed], datetime.now(UTC) - timedelta(hours=1)) == []
    told = check(home, "--json")
    assert told.exit_code == 1
    found = json.loads(told.output)
    assert {each["field"] for each in found["missed"]} == {"location"}
    (alert,) = found["alerts"]
    assert (alert["misses"], alert["substitute"]) == (3, "postcode_area")


def test_a_run_that_is_not_later_than_the_last_is_refused(home: Path) -> None:
    health = ContractHealth(home, contracts()[1])
    health.record([], datetime.now(UTC) + timedelta(hours=1))
    result = check(home)
    assert result.exit_code == 2
    assert "run it again later; nothing was checked" in result.output


def test_a_source_that_is_not_there_is_not_checked(tmp_path: Path) -> None:
    company_folder.remember(tmp_path, BANK)
    result = check(tmp_path)
    assert result.exit_code == 2
    assert "nothing was checked" in result.output
    assert not (tmp_path / "health.sqlite").exists()

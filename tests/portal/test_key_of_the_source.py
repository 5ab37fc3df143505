"""C10: the customer's id is unique and never null; an empty table keeps no promise."""

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest
from typer.testing import CliRunner

from gate.reads.request import ReadRequest
from portal.commands import app
from portal.configuration.sources import SettingError
from portal.demo.sources import deliveries
from portal.operations import release_service, wiring
from tests.bank import contracts
from tests.portal.conftest import START, copy

DAMAGE = {  # what is done to the table -> what the check of the key finds
    "a customer twice": (
        "INSERT INTO customer SELECT * FROM customer WHERE id = 'c00007'",
        "1 surplus rows, 0 without id",
    ),
    "a customer three times": (
        "INSERT INTO customer SELECT c.* FROM customer c, range(2) WHERE id = 'c00007'",
        "2 surplus rows, 0 without id",
    ),
    "two rows without id": (
        "UPDATE customer SET id = NULL WHERE id IN ('c00007', 'c00008')",
        "0 surplus rows, 2 without id",
    ),
    "a blank id": (
        "UPDATE customer SET id = ' ' WHERE id = 'c00007'",
        "0 surplus rows, 1 without id",
    ),
    "no id at all": ("ALTER TABLE customer RENAME id TO number", "no such column"),
    "no rows": ("DELETE FROM customer", "no rows"),
}


def damaged(seeded: Path, home: Path, statement: str) -> Path:
    shutil.copytree(seeded, home)
    deliveries.record(home / "customers.duckdb", contracts()[0], datetime.now(UTC))
    with duckdb.connect(home / "customers.duckdb") as source:
        source.execute(statement)
    return home


def check(home: Path) -> dict[str, Any]:
    done = CliRunner().invoke(app, ["contracts", "check", "--data-dir", str(home), "--json"])
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.output)
    return found


@pytest.mark.parametrize("why", DAMAGE)
def test_a_key_that_is_not_one_customers_is_missed(why: str, seeded: Path, tmp_path: Path) -> None:
    statement, found = DAMAGE[why]
    missed = check(damaged(seeded, tmp_path / "home", statement))["missed"]
    keys = [each for each in missed if each["aspect"] == "key"]
    assert {each["scene"] for each in keys} == {*contracts()[1]}
    assert {each["found"] for each in keys} == {found}
    assert "c0000" not in json.dumps(missed)


def test_an_empty_table_keeps_no_promise(seeded: Path, tmp_path: Path) -> None:
    found = check(damaged(seeded, tmp_path / "home", DAMAGE["no rows"][0]))
    assert found["checks"] == len(found["missed"]) > 0


def test_a_nan_counts_as_null(seeded: Path, tmp_path: Path) -> None:
    nan = "ALTER TABLE customer ALTER balance TYPE DOUBLE USING 'nan'::DOUBLE"
    missed = check(damaged(seeded, tmp_path / "home", nan))["missed"]
    found = {
        each["found"] for each in missed if (each["field"], each["aspect"]) == ("balance", "nulls")
    }
    assert found == {"10000 of 10000"}


@pytest.fixture
def after_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second row comes when the product serves already: a start refuses it."""
    monkeypatch.setattr(wiring, "_require_one_row_each", lambda *_: None)


def test_a_start_over_a_table_with_two_rows_of_a_customer_is_refused(
    seeded: Path, tmp_path: Path
) -> None:
    home = damaged(seeded, tmp_path / "damaged", DAMAGE["a customer twice"][0])
    with pytest.raises(SettingError, match="found 1 rows beyond a customer's first"):
        copy(home, tmp_path / "home")


@pytest.mark.usefixtures("after_the_start")
def test_a_release_counts_a_customer_once_however_many_rows_they_have(
    seeded: Path, tmp_path: Path
) -> None:
    again = "INSERT INTO customer SELECT c.* FROM customer c, range(400)"
    product = copy(damaged(seeded, tmp_path / "damaged", again), tmp_path / "home")
    release_service.release(product, product.scenes["segmentation"], START)
    release: Any = product.gate.release("segmentation")
    people = release_service.population(product, product.scenes["segmentation"], START).subjects
    # A scene of its own has little budget, and so a noise of about 60; 401 rows each are thousands.
    assert release.rows < len(people) + 600 < 401 * len(people) - 600
    assert "one customer with all their rows (at most 1)" in str(release.statement)


@pytest.mark.usefixtures("after_the_start")
def test_a_customer_with_several_rows_is_not_answered_with_one_of_them(
    seeded: Path, tmp_path: Path
) -> None:
    home = damaged(seeded, tmp_path / "damaged", DAMAGE["a customer twice"][0])
    product = copy(home, tmp_path / "home")
    ask = ReadRequest("customer-care", "contract-service", "c00007", ("name",), START)
    answer = product.gate.read(ask)
    assert (answer.values, answer.decision.reason) == ({"name": None}, "source-unavailable")

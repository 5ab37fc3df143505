"""How the jobs fare, told to a monitor and on the command line."""

import json
from datetime import timedelta
from pathlib import Path

import pytest
from starlette.testclient import TestClient
from typer.testing import CliRunner, Result

from ledger import clock
from ledger.service import Ledger
from portal.app import create_app
from portal.commands import app
from portal.jobs import schedule
from portal.operations import job_results
from portal.operations.job_results import JobResults
from portal.operations.wiring import Product
from tests.portal.conftest import START, Clock, copy

MINUTE = timedelta(minutes=1)


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["jobs", *map(str, arguments)], env={"COLUMNS": "200"})


@pytest.mark.usefixtures("still")
def test_everybody_may_ask_and_hears_no_error(product: Product, clock: Clock) -> None:
    known = JobResults(None)
    known.begin({"cases": MINUTE, "delivery": MINUTE}, START)
    with TestClient(create_app(product, clock, known)) as monitor:
        assert monitor.get("/healthz").json()["status"] == "ok"
        known.failed("delivery", START, START + MINUTE, "crm.bank.example is down", 3)
        answer = monitor.get("/healthz")
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
    assert answer.json()["status"] == "degraded"
    assert {name: each["status"] for name, each in answer.json()["jobs"].items()} == {
        "cases": "ok",
        "delivery": "failing",
    }
    assert "crm.bank.example" not in answer.text


@pytest.mark.usefixtures("still")
def test_without_jobs_it_is_degraded(product: Product, clock: Clock) -> None:
    with TestClient(create_app(product, clock)) as monitor:
        assert monitor.get("/healthz").json() == {
            "status": "degraded",
            "jobs": {},
            "witnesses": {},
            "suspended": [],
        }


def test_the_command_lists_the_jobs_of_another_process(tmp_path: Path) -> None:
    at, known = clock.now(), JobResults(tmp_path / job_results.FILE)
    known.begin({"cases": MINUTE, "delivery": MINUTE}, at)
    done = invoke("--data-dir", tmp_path)
    assert (done.exit_code, "delivery" in done.output) == (0, True)
    known.failed("delivery", at, at + MINUTE, "no paper", 3)
    done = invoke("--data-dir", tmp_path)
    assert done.exit_code == 1
    assert "no paper" in done.output
    assert "failing" in done.output
    told = json.loads(invoke("--data-dir", tmp_path, "--json").output)
    assert told["status"] == "degraded"
    assert told["jobs"]["delivery"]["error"] == "no paper"
    assert told["jobs"]["cases"]["health"] == "ok"


def test_the_command_says_when_there_is_nothing_to_look_at(tmp_path: Path) -> None:
    Ledger.open(tmp_path, origin="example.org/consent").close()
    done = invoke("--data-dir", tmp_path)
    assert done.exit_code == 2
    assert "jobs.json is missing" in done.output


def test_a_schedule_of_a_job_that_there_is_none_of_is_refused(seeded: Path, tmp_path: Path) -> None:
    product = copy(seeded, tmp_path / "home", job_every_s={"publication": 5})
    every = {each.name: each.every for each in schedule.of(product)}
    assert every["publication"] == timedelta(seconds=5)
    assert every["delivery"] == timedelta(seconds=2)
    wrong = copy(seeded, tmp_path / "other", job_every_s={"publicaton": 5})
    with pytest.raises(ValueError, match="job_every_s: found publicaton, want one of"):
        schedule.of(wrong)

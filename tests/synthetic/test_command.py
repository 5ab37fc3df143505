"""The command line over synthetic releases."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner, Result

from portal.commands.synth import app
from portal.records import Records
from synthetic import partial, spending
from synthetic import release as releases
from synthetic.budget import PrivacyLoss
from synthetic.release import Release
from synthetic.spending import Reservation
from tests.synthetic.material import ROOT, bank_path

SPECS = ROOT / "specs"
CONTRACTS = ["--scene", str(SPECS / "scenes" / "segmentation.odcs.yaml")]
CONTRACTS += ["--source", str(SPECS / "sources" / "customer.odcs.yaml")]


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(each) for each in arguments])


@pytest.fixture(scope="module")
def body(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("release") / "release.json"
    done = run("fit", "--rows", bank_path(), *CONTRACTS, "--to", path)
    assert done.exit_code == 0, done.output
    assert "adding or removing one customer" in done.output
    return path


def test_fit_writes_a_public_record(body: Path) -> None:
    assert Release.from_body(json.loads(body.read_text())).statement.epsilon <= 1


def test_fit_again_like_an_earlier_release(body: Path, tmp_path: Path) -> None:
    path = tmp_path / "again.json"
    done = run("fit", "--rows", bank_path(), *CONTRACTS, "--to", path, "--like", body)
    assert done.exit_code == 0, done.output
    assert json.loads(path.read_text())["selections"] == []


def test_a_fit_leaves_a_budget_that_holds_and_nothing_unfinished(body: Path) -> None:
    records = body.with_suffix(".records.jsonl")
    done = run("budget", records, "--limit", "segmentation=1/8")
    assert done.exit_code == 0, done.output
    assert "spent rho" in done.output
    assert not body.with_suffix(".partial.json").exists()


def test_a_fit_past_the_limit_is_refused_and_says_what_is_left(tmp_path: Path) -> None:
    path = tmp_path / "release.json"
    done = run("fit", "--rows", bank_path(), *CONTRACTS, "--to", path, "--limit", "1/1000")
    assert done.exit_code == 1
    assert "0.001 is left" in done.output
    assert {each.suffix for each in tmp_path.iterdir()} == {".lock"}  # no record, nothing kept


def until(held: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not held():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGKILL])
def test_a_fit_that_is_stopped_goes_on_with_resume(tmp_path: Path, sent: signal.Signals) -> None:
    path, kept = tmp_path / "release.json", tmp_path / "release.partial.json"
    command = ["synth", "fit", "--rows", str(bank_path()), *CONTRACTS, "--to", str(path)]
    process = subprocess.Popen(
        [sys.executable, "-m", "portal.cli", *command], stderr=subprocess.PIPE, text=True, cwd=ROOT
    )
    until(lambda: kept.exists() and "every column" in kept.read_text())
    process.send_signal(sent)
    said = process.communicate(timeout=60)[1]
    if sent is signal.SIGINT:
        assert process.returncode == 130
        assert "is spent, and stays so" in said
        assert "--resume" in said
    again = run("fit", "--rows", bank_path(), *CONTRACTS, "--to", path)
    assert again.exit_code == 1
    assert "go on with --resume" in again.output
    done = run("fit", "--rows", bank_path(), *CONTRACTS, "--to", path, "--resume", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["file"] == str(path)
    records = [json.loads(each) for each in lines(tmp_path / "release.records.jsonl")]
    assert spending.verify(records, {"segmentation": PrivacyLoss(Fraction(1, 8))}).findings == []
    assert [each["format"] for each in records] == [spending.RESERVATION, spending.RELEASE]
    releases.verify(Release.from_body(json.loads(path.read_text())))
    nothing = run("fit", "--rows", bank_path(), *CONTRACTS, "--to", path, "--resume")
    assert nothing.exit_code == 1
    assert "nothing was interrupted" in nothing.output


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines()


def test_a_record_that_a_crash_cut_short_is_no_record(tmp_path: Path) -> None:
    records = Records(tmp_path / "records", PrivacyLoss(Fraction(1)))
    records.append({"format": "one"})
    with records.path.open("a") as file:
        file.write('{"format": "tw')
    assert records.bodies() == [{"format": "one"}]
    records.append({"format": "three"})
    assert records.bodies() == [{"format": "one"}, {"format": "three"}]


def test_a_release_that_was_recorded_but_not_written_is_written_again(
    body: Path, tmp_path: Path
) -> None:
    """As if killed after the record: the unfinished fit is still there, the public record not."""
    recorded = json.loads(body.read_text())
    records = body.with_suffix(".records.jsonl")
    (tmp_path / "release.records.jsonl").write_text(records.read_text())
    terms = {
        "scene": "segmentation",
        "domain_digest": recorded["domain_digest"],
        "workload": recorded["workload"],
        "targets": [],
        "mechanism": "graphical",
        "contribution": 1,
        "publishable": True,
        "like": "",
    }
    with partial.held(tmp_path / "release.partial.json") as kept:
        kept.begin(Reservation.from_body(json.loads(lines(records)[0])), terms)
    path = tmp_path / "release.json"
    done = run("fit", "--rows", bank_path(), *CONTRACTS, "--to", path, "--resume")
    assert done.exit_code == 0, done.output
    assert json.loads(path.read_text()) == recorded
    assert not (tmp_path / "release.partial.json").exists()


def test_sample_writes_rows(body: Path, tmp_path: Path) -> None:
    assert run("sample", body, "--rows", 50, "--to", tmp_path / "s.parquet").exit_code == 0
    assert pq.read_table(tmp_path / "s.parquet").num_rows == 50


def test_report_writes_a_page_and_json(body: Path, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    done = run("report", body, "--rows", bank_path(), "--to", page)
    assert done.exit_code == 0, done.output
    assert "<svg" in page.read_text()
    assert json.loads(page.with_suffix(".json").read_text())["segments"]


def test_budget_recomputes_the_spending_and_reports_findings(body: Path, tmp_path: Path) -> None:
    records = tmp_path / "records"
    records.write_text(body.read_text())
    done = run("budget", records, "--limit", "segmentation=1/10")
    rho = json.loads(body.read_text())["statement"]["rho"]
    assert f"spent rho {rho}" in done.output
    left = Fraction(1, 10) - Fraction(rho)
    assert f"left {left}" in done.output
    assert done.exit_code == 1  # a release that no reservation preceded
    assert "without a reservation" in done.output

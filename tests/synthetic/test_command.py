"""The command line over synthetic releases."""

import json
from fractions import Fraction
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner, Result

from portal.commands.synth import app
from synthetic.release import Release
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

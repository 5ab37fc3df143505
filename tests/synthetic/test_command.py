"""The command line over synthetic releases."""

import json
import os
import signal
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from typer.testing import CliRunner, Result

from gate.contracts.scene_file import load_scenes
from gate.contracts.source import load_source
from portal.commands import app
from portal.operations.budget_records import Records
from synthetic.fitting import checkpoint
from synthetic.fitting import release as releases
from synthetic.fitting.release import Release
from synthetic.privacy import budget_ledger
from synthetic.privacy.budget import PrivacyLoss
from synthetic.privacy.budget_ledger import Reservation
from tests.bank import SCENES_FOLDER, SOURCE_CONTRACT
from tests.forked.process import begin
from tests.synthetic.halted import HALTED, contains, halted
from tests.synthetic.material import JOBS, ROOT, bank, bank_path, bank_release

SPECS = ROOT / "specs"
PATIENCE_S = 600.0  # before a test gives up
CONTRACTS = ["--scene", str(SCENES_FOLDER / "segmentation.odcs.yaml")]
CONTRACTS += ["--source", str(SOURCE_CONTRACT)]


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["synth", *(str(each) for each in arguments)])


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
    assert "rho = 0.001 left" in done.output
    assert {each.suffix for each in tmp_path.iterdir()} == {".lock"}  # no record, nothing kept


def stopped(folder: Path, sent: signal.Signals) -> tuple[list[str], int, str]:
    """The command of a fit that got a signal after its first stage; its status and errors."""
    path = folder / "release.json"
    contracts = small_contracts(folder, [["age", "job"], ["job", "y"]], JOBS)
    rows = some_rows(folder, 2_000)
    command = ["fit", "--rows", str(rows), *map(str, contracts), "--to", str(path)]
    command += ["--customer", "who", "--contribution", "2"]
    stdout, stderr = folder / "stdout", folder / "stderr"
    unfinished = path.with_suffix(".partial.json")
    process = begin(halted, unfinished, "every column", ["synth", *command], ROOT, stdout, stderr)
    deadline = time.monotonic() + PATIENCE_S
    while not contains(stdout, HALTED):
        assert process.is_alive(), stderr.read_text()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert process.pid is not None
    os.kill(process.pid, sent)
    process.join(PATIENCE_S)
    assert process.exitcode is not None
    return command, process.exitcode, stderr.read_text()


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGKILL])
def test_a_fit_that_is_stopped_goes_on_with_resume(tmp_path: Path, sent: signal.Signals) -> None:
    command, status, said = stopped(tmp_path, sent)
    path = Path(command[command.index("--to") + 1])
    if sent is signal.SIGINT:
        assert status == 130
        assert "is spent, and stays so" in said
        assert "--resume" in said
    again = run(*command)
    assert again.exit_code == 1
    assert "continue with --resume" in again.output
    done = run(*command, "--resume", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["file"] == str(path)
    records = [json.loads(each) for each in lines(path.parent / "release.records.jsonl")]
    assert (
        budget_ledger.verify(records, {"segmentation": PrivacyLoss(Fraction(1, 8))}).findings == []
    )
    assert [each["format"] for each in records] == [
        budget_ledger.RESERVATION,
        budget_ledger.RELEASE,
    ]
    release = Release.from_body(json.loads(path.read_text()))
    releases.verify(release)
    assert release.statement.contribution == 2
    nothing = run(*command, "--resume")
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
        "marginals": "adaptive",
        "code": recorded["code"],
    }
    with checkpoint.locked(tmp_path / "release.partial.json") as kept:
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


def test_a_report_tries_models_on_customers_who_were_not_in_the_fit(tmp_path: Path) -> None:
    """Here they were, for the test's time: what is told is how, not how well."""
    body = tmp_path / "release.json"
    body.write_text(json.dumps(bank_release().body()))
    page = tmp_path / "report.html"
    others = ["--held-out", bank_path(), "--target", "y", "--json"]
    done = run("report", body, "--rows", bank_path(), "--to", page, *others)
    assert done.exit_code == 0, done.output
    found = json.loads(page.with_suffix(".json").read_text())
    assert json.loads(done.stdout)["files"] == [str(page), str(page.with_suffix(".json"))]
    (tried,) = found["model_utility"]
    assert 0.6 < tried["trained_on_synthetic"] < tried["trained_on_real"]
    assert "y, real" in page.read_text()


NOT_REPORTED: dict[str, tuple[list[object], str]] = {
    "no target": (["--held-out", bank_path()], "give --target"),
    "a target that is no column": (["--held-out", bank_path(), "--target", "phone"], "'phone'"),
    "rows without the columns": (["--held-out", ROOT / "README.md"], "has no columns"),
}


@pytest.mark.parametrize(("options", "said"), NOT_REPORTED.values(), ids=NOT_REPORTED.keys())
def test_a_report_says_what_it_lacks(
    body: Path, tmp_path: Path, options: list[object], said: str
) -> None:
    to = ["--to", tmp_path / "report.html"]
    done = run("report", body, "--rows", bank_path(), *to, *options)
    assert done.exit_code == 1
    assert said in done.output


def small_contracts(folder: Path, workload: list[list[str]], jobs: list[str]) -> list[str]:
    """A scene of a few fields, and the source whose item `job` has these values only."""
    contracts = {"scene": small_scene(workload), "source": small_source(jobs)}
    for name, contract in contracts.items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(contract))
    return [part for n in contracts for part in (f"--{n}", str(folder / f"{n}.yaml"))]


def small_scene(workload: list[list[str]]) -> Any:
    scene = yaml.safe_load((SCENES_FOLDER / "segmentation.odcs.yaml").read_text())
    fields = [each for each in scene["schema"][0]["properties"] if each["name"] in EVERY]
    scene["schema"][0]["properties"] = fields
    for each in fields:
        told = each["customProperties"]
        each["customProperties"] = [one for one in told if one["property"] != "substitute"]
    for each in scene["customProperties"]:
        each["value"] = {"workload": workload, "trends": []}.get(each["property"], each["value"])
    return scene


def small_source(jobs: list[str]) -> Any:
    source = yaml.safe_load((SOURCE_CONTRACT).read_text())
    (job,) = (each for each in source["schema"][0]["properties"] if each["name"] == "job")
    (domain,) = (each for each in job["customProperties"] if each["property"] == "domain")
    domain["value"] |= {"values": jobs, "other": jobs[-1]}
    return source


def some_rows(folder: Path, number: int, *, jobs: bool = True) -> Path:
    """Two rows a customer."""
    data = bank().select(*EVERY).limit(number).to_pyarrow()
    data = data.append_column("who", pa.array([f"c{n // 2}" for n in range(len(data))]))
    if not jobs:
        nothing = pa.nulls(len(data), pa.string())
        data = data.set_column(data.column_names.index("job"), "job", nothing)
    pq.write_table(data, folder / "rows.parquet")
    return folder / "rows.parquet"


EVERY = ["age", "job", "month", "balance", "education", "contact", "poutcome", "y"]
SOUND: dict[str, tuple[list[list[str]], list[str], int, bool]] = {
    "a column that is null throughout": ([["age", "job"]], JOBS, 2_000, False),
    "a domain of one value": ([["age", "job"]], ["unknown"], 2_000, True),
    "three customers": ([["age", "job"]], JOBS, 3, True),
    "a contract without a workload": ([], JOBS, 2_000, True),
}


@pytest.mark.parametrize(("workload", "jobs", "number", "known"), SOUND.values(), ids=SOUND.keys())
def test_a_poor_input_gets_a_sound_noisy_answer(
    tmp_path: Path, workload: list[list[str]], jobs: list[str], number: int, known: bool
) -> None:
    contracts = small_contracts(tmp_path, workload, jobs)
    rows, path = some_rows(tmp_path, number, jobs=known), tmp_path / "release.json"
    bounds = ["--customer", "who", "--contribution", "2"]
    done = run("fit", "--rows", rows, *contracts, "--to", path, *bounds)
    assert done.exit_code == 0, done.output
    release = Release.from_body(json.loads(path.read_text()))
    releases.verify(release)
    assert run("sample", path, "--rows", 20, "--to", tmp_path / "s.parquet").exit_code == 0
    assert {*pq.read_table(tmp_path / "s.parquet")["job"].to_pylist()} <= {*jobs}
    done = run("budget", path.with_suffix(".records.jsonl"), "--limit", "segmentation=1/8")
    assert done.exit_code == 0, done.output


def test_a_marginal_of_more_than_a_million_cells_is_refused_and_spends_nothing(
    tmp_path: Path,
) -> None:
    contracts = small_contracts(tmp_path, [EVERY], JOBS)
    done = run("fit", "--rows", some_rows(tmp_path, 50), *contracts, "--to", tmp_path / "r.json")
    assert done.exit_code == 1
    assert "cells, want at most 1000000: declare coarser bins" in done.output
    assert not (tmp_path / "r.records.jsonl").exists()


UNREADABLE: dict[str, tuple[list[str], str]] = {
    "rows without the columns": (["--rows", str(ROOT / "README.md")], "has no columns"),
    "an epsilon of nothing": (["--rows", str(bank_path()), "--epsilon", "0"], "want"),
    "a limit that is no fraction": (["--rows", str(bank_path()), "--limit", "0.1"], "lowest terms"),
    "rows of nobody": (
        ["--rows", str(bank_path()), "--contribution", "3"],
        "no column identifies the customer",
    ),
    "a customer column that is not there": (
        ["--rows", str(bank_path()), "--customer", "owner"],
        "has no columns ['owner']",
    ),
}
WRONG_FILES: dict[str, tuple[list[str], str]] = {
    "no rows": (["--rows", "nowhere.csv"], "nowhere.csv"),
    "no contract": (["--rows", str(bank_path()), "--scene", "nowhere.yaml"], "nowhere.yaml"),
    "a release to go by that is none": (
        ["--rows", str(bank_path()), "--like", str(SPECS / "synthetic.md")],
        "is not the public record",
    ),
}


@pytest.mark.parametrize(("options", "said"), UNREADABLE.values(), ids=UNREADABLE.keys())
def test_what_cannot_be_fitted_is_refused_in_a_sentence(
    tmp_path: Path, options: list[str], said: str
) -> None:
    done = run("fit", *CONTRACTS, "--to", tmp_path / "r.json", *options)
    assert done.exit_code == 1
    assert said in done.output
    assert not (tmp_path / "r.records.jsonl").exists()


@pytest.mark.parametrize(("options", "said"), WRONG_FILES.values(), ids=WRONG_FILES.keys())
def test_a_file_that_cannot_be_used_is_wrong_usage(
    tmp_path: Path, options: list[str], said: str
) -> None:
    done = run("fit", *CONTRACTS, "--to", tmp_path / "r.json", *options)
    assert done.exit_code == 2
    assert said in done.output
    assert not (tmp_path / "r.records.jsonl").exists()


def test_the_scenes_that_models_serve_name_what_they_predict() -> None:
    source = load_source(SOURCE_CONTRACT)
    scenes = load_scenes(SCENES_FOLDER, source)
    assert scenes["lead-scoring"].predicts == ("y",)
    assert scenes["segmentation"].predicts == ()


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

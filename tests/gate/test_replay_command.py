"""`sovereign replay` over a data directory, whose archive holds the contracts of then (G62)."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from gate.contracts.scene import load_scene, load_scenes
from gate.contracts.source import load_source, specs_folder
from gate.factory import build
from gate.readlog.writer import LOG, Journal
from gate.reads.point import ReadRequest
from ledger.events.envelope import Granted
from ledger.service import Ledger
from ledger.tlog import signed_note
from ledger.tlog.writer import Log
from portal.commands import app
from steward.contracts.archive import ContractArchive
from tests.gate.linearizability import Empty
from tests.gate.world import NOON, WORDING, options, shipped

SPECS = specs_folder()
SCENE = SPECS / "scenes" / "segmentation.odcs.yaml"
SOURCE = SPECS / "sources" / "customer.odcs.yaml"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Two answers: one under the contract in force, one under the version before it."""
    older = tmp_path / "older.odcs.yaml"
    older.write_text(
        SCENE.read_text("utf-8").replace("version: 1.0.0", "version: 0.9.0", 1), "utf-8"
    )
    before = load_scene(older, load_source(SOURCE))
    now = load_scenes(SPECS / "scenes", load_source(SOURCE))
    data = tmp_path / "data"
    ContractArchive(data / "contracts").keep(older, SOURCE, before.digest)
    ledger = Ledger.open(data, origin="t/consent")
    act = Granted("segmentation", ("age",), None)
    ledger.record([ledger.draft("c1", act, at=NOON, wording=WORDING)])
    reads = data / "reads" / "reads-1"
    reads.mkdir(parents=True)
    journal = Journal(
        Log.open(reads / LOG, "t/reads-1", signed_note.generate("t/reads-1")), ledger, reads
    )
    for scenes in (now, now | {"segmentation": before}):
        gate = build(ledger, Empty(), scenes, journal, shipped(), bytes(32), options=options())
        service = before.services[0].id
        gate.read(ReadRequest(service, "segmentation", "c1", ("age",), NOON))
    ledger.close()
    return data


def replayed(home: Path, *options: str) -> tuple[int, dict[str, Any]]:
    done = CliRunner().invoke(app, ["replay", "--data-dir", str(home), "--json", *options])
    return done.exit_code, json.loads(done.stdout)


def test_g62_what_rests_on_an_archived_contract_is_derived(home: Path) -> None:
    status, found = replayed(home, "--processes", "2")
    assert (status, found["entries"], found["derived"]) == (0, 2, 2)


def test_g62_what_rests_on_a_contract_that_nobody_has_is_named(home: Path) -> None:
    shutil.rmtree(home / "contracts")
    status, found = replayed(home)
    assert (status, found["derived"], len(found["differences"])) == (1, 1, 1)
    assert "no plan has this digest" in found["differences"][0]["derived"]


def test_g62_an_archived_contract_that_was_altered_is_left_out(home: Path) -> None:
    (altered,) = (home / "contracts").glob("*/scene.odcs.yaml")
    altered.write_text(altered.read_text("utf-8") + "# altered\n", "utf-8")
    status, found = replayed(home)
    assert (status, len(found["differences"])) == (1, 1)


def test_the_policy_can_be_named(home: Path) -> None:
    policy = str(SPECS / "policy")
    assert replayed(home, "--policy", policy, "--policy", policy)[0] == 0


def test_no_read_log_is_said(tmp_path: Path) -> None:
    Ledger.open(tmp_path, origin="example.org/consent").close()
    done = CliRunner().invoke(app, ["replay", "--data-dir", str(tmp_path)])
    assert done.exit_code == 2
    assert "no read log under" in done.stderr

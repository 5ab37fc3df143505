"""`sovereign replay` over a data directory, whose archive holds the contracts of then (G62)."""

import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from gate.contracts.scene_file import load_scene, load_scenes
from gate.contracts.source import load_source
from gate.factory import build
from gate.reads.request import ReadRequest
from gate.storage.read_log import instances
from ledger.events.envelope import Granted, ReadLogAnchored
from ledger.service import Ledger
from portal.commands import app
from portal.operations import company_folder
from steward.contracts.archive import ContractArchive
from tests.bank import BANK, SCENES_FOLDER, SOURCE_CONTRACT
from tests.gate.linearizability import Empty
from tests.gate.world import NOON, WORDING, journal, options, shipped

SCENE = SCENES_FOLDER / "segmentation.odcs.yaml"
SOURCE = SOURCE_CONTRACT


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Two answers: one under the contract in force, one under the version before it."""
    older = tmp_path / "older.odcs.yaml"
    older.write_text(
        SCENE.read_text("utf-8").replace("version: 1.0.2", "version: 0.9.0", 1), "utf-8"
    )
    before = load_scene(older, load_source(SOURCE))
    now = load_scenes(SCENES_FOLDER, load_source(SOURCE))
    data = tmp_path / "data"
    data.mkdir()
    company_folder.remember(data, BANK)
    ContractArchive(data / "contracts").keep(older, SOURCE, before.digest)
    ledger = Ledger.open(data, origin="t/consent")
    act = Granted("segmentation", ("age",), None)
    ledger.record([ledger.draft("c1", act, at=NOON, wording=WORDING)])
    written = journal(data, ledger, "t")
    for scenes in (now, now | {"segmentation": before}):
        gate = build(ledger, Empty(), scenes, written, shipped(), bytes(32), options=options())
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
    policy = str(BANK / "policy")
    assert replayed(home, "--policy", policy, "--policy", policy)[0] == 0


def test_g116_a_replay_goes_on_where_the_last_one_ended(home: Path) -> None:
    assert replayed(home, "--new")[1]["entries"] == 2
    status, found = replayed(home, "--new")
    assert (status, found["since"], found["entries"]) == (0, 2, 0)
    assert replayed(home)[1]["entries"] == 2
    policy = str(BANK / "policy")
    assert replayed(home, "--new", "--policy", policy)[1]["entries"] == 2
    (home / "state" / "checked.json").write_bytes(b"{")
    assert replayed(home, "--new")[1]["entries"] == 2


def test_g116_a_replay_with_a_difference_goes_on_nowhere(home: Path) -> None:
    shutil.move(home / "contracts", home / "elsewhere")
    assert replayed(home)[0] == 1
    shutil.move(home / "elsewhere", home / "contracts")
    found = [replayed(home, "--new")[1]["since"] for _ in range(2)]
    assert found == [0, 2]


def damaged(home: Path) -> str:
    done = CliRunner().invoke(app, ["replay", "--data-dir", str(home)])
    assert done.exit_code == 1, done.stdout
    return done.stderr


def test_g117_a_read_log_that_was_replaced_cut_or_removed_is_named(home: Path) -> None:
    replayed(home)
    state, (log,) = home / "state" / "checked.json", instances(home)
    positions = json.loads(state.read_bytes())
    positions["replay"][log]["size"] = 3
    state.write_text(json.dumps(positions))
    assert f"{log}: it was cut: it has 2 entries, want 3 or more" in damaged(home)
    positions["replay"][log] = {"size": 2, "root": "A" * 43 + "="}
    state.write_text(json.dumps(positions))
    assert f"{log}: its first 2 entries were replaced" in damaged(home)
    shutil.rmtree(home / "reads")
    assert f"{log}: it is missing, and had 2 entries" in damaged(home)


def test_g117_a_read_log_that_was_anchored_and_is_missing_is_named(home: Path) -> None:
    (log,) = instances(home)
    (home / "keys" / f"{log}.vkey").write_text("its key is here\n")
    ledger = Ledger.open(home, origin="t/consent")
    ledger.announce([ReadLogAnchored(f"t/{log}", 5, "A" * 43 + "=", NOON)])
    ledger.close()
    assert f"{log}: it was cut: it has 2 entries, want 5 or more" in damaged(home)
    shutil.rmtree(home / "reads")
    assert f"{log}: it is missing, and had 5 entries" in damaged(home)


def test_no_read_log_is_said(tmp_path: Path) -> None:
    Ledger.open(tmp_path, origin="example.org/consent").close()
    done = CliRunner().invoke(app, ["replay", "--data-dir", str(tmp_path)])
    assert done.exit_code == 2
    assert "no read log under" in done.stderr


def _damaged(database: Path) -> None:
    database.write_bytes(b"no database" * 1000)


def _a_folder(database: Path) -> None:
    database.unlink()
    database.mkdir()


def _edited(database: Path) -> None:
    with closing(sqlite3.connect(database)) as stored, stored:
        stored.execute('UPDATE bundle SET data = zeroblob(length(data)) WHERE "index" = 0')


def _without_key(database: Path) -> None:
    key = database.parents[2] / "keys" / f"{database.parent.name}.vkey"
    key.unlink()
    key.mkdir()


READ_AND_WRONG, NOT_READ = 1, 3
SPOILT: dict[str, tuple[Callable[[Path], None], int, str]] = {
    "a database that is none": (_damaged, READ_AND_WRONG, "its database is damaged"),
    "an entry changed": (_edited, READ_AND_WRONG, "cannot be verified: "),
    "a database that cannot be opened": (_a_folder, NOT_READ, "COULD NOT READ: "),
    "a key that cannot be read": (_without_key, NOT_READ, "COULD NOT READ: keys/"),
}


@pytest.mark.parametrize("why", SPOILT)
def test_g261_what_could_not_be_read_is_not_what_was_read_and_is_wrong(
    home: Path, tmp_path: Path, why: str
) -> None:
    spoil, status, printed = SPOILT[why]
    copy = shutil.copytree(home, tmp_path / "copy")
    (written,), (database,) = (each.glob("reads/*/log.sqlite") for each in (home, copy))
    for each in database.parent.glob("log.sqlite*"):
        each.unlink()
    with closing(sqlite3.connect(written)) as whole, closing(sqlite3.connect(database)) as stored:
        whole.backup(stored)  # without side files, which would hide what is spoilt
    assert CliRunner().invoke(app, ["replay", "--data-dir", str(copy)]).exit_code == 0
    spoil(database)
    done = CliRunner().invoke(app, ["replay", "--data-dir", str(copy)])
    assert (done.exit_code, printed in done.output) == (status, True), done.output

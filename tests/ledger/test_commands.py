"""The ledger's commands, as somebody types them."""

import json
import stat
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ledger.tlog import cosignature, signed_note
from portal.commands.log.maintenance import app
from tests.ledger.worlds import AGE, change, entries, opened, root, say


@pytest.fixture
def home(tmp_path: Path) -> Path:
    ledger = opened(tmp_path / "home")
    say(ledger, "c1", AGE, AGE)
    ledger.close()
    return tmp_path / "home"


def run(*arguments: object) -> tuple[int, str]:
    done = CliRunner().invoke(app, [*map(str, arguments)])
    return done.exit_code, done.stdout


def test_fsck_says_clean_or_what_is_wrong(home: Path) -> None:
    assert run("fsck", "--data-dir", home) == (0, "clean\n")
    change(home / "ledger.sqlite", "UPDATE sealed SET data = zeroblob(40)")
    status, said = run("fsck", "--data-dir", home)
    assert status == 1
    assert said.startswith("ledger.sqlite, sealed event 0: ")
    status, said = run("fsck", "--data-dir", home, "--json")
    assert [each["where"] for each in json.loads(said)] == ["sealed event 0", "sealed event 1"]


def test_export_publishes_the_log(home: Path, tmp_path: Path) -> None:
    status, said = run("export", tmp_path / "public", "--data-dir", home)
    assert status == 0
    assert (tmp_path / "public" / "checkpoint").read_text() in said
    assert len(root(entries(tmp_path / "public"))) == 32


def test_keygen_makes_keys_that_parse_and_never_replaces_one(tmp_path: Path) -> None:
    status, said = run("keygen", "log.example/consent", tmp_path)
    assert status == 0
    path = tmp_path / "log.example-consent.key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert str(signed_note.signer(path.read_text()).verifier) == said.strip()
    assert run("keygen", "log.example/consent", tmp_path)[0] == 2
    status, said = run("keygen", "w.example/w1", tmp_path, "--witness")
    assert cosignature.key(said.strip()).name == "w.example/w1"

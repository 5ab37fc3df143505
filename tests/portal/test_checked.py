"""`sovereign fsck --new` goes on where the last clean run ended (L139)."""

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from portal.commands import app
from portal.data_directory.checked import FILE
from tests.ledger.worlds import AGE, opened, say


def checked(home: Path, *options: str) -> Result:
    return CliRunner().invoke(app, ["fsck", "--data-dir", str(home), *options])


def before(home: Path, *options: str) -> str:
    """What a clean run says about entries that were checked before."""
    done = checked(home, *(options or ("--new",)))
    assert (done.exit_code, done.stdout) == (0, "clean\n")
    return done.stderr.strip()  # after the bar of its progress


@pytest.fixture
def home(tmp_path: Path) -> Path:
    ledger = opened(tmp_path)
    say(ledger, "c1", AGE)
    ledger.close()
    return tmp_path


def test_l139_a_clean_run_is_where_the_next_one_begins(home: Path) -> None:
    assert before(home) == ""
    assert before(home).startswith("1 entries")
    ledger = opened(home)
    say(ledger, "c2", AGE)
    ledger.close()
    assert before(home).startswith("1 entries")
    assert before(home).startswith("2 entries")
    assert checked(home).stderr.strip() == ""
    (home / FILE).write_text('{"fsck":{"consent":{"size":1,"root":"="}}}')
    assert before(home) == ""


def test_l139_a_run_with_a_finding_is_no_beginning(home: Path) -> None:
    policy = (home / "consent.policy").read_bytes()
    (home / "consent.policy").write_bytes(b"?")
    assert checked(home).exit_code == 1
    (home / "consent.policy").write_bytes(policy)
    assert checked(home).stdout == "clean\n"

"""Clause V2 of specs/vault.md: `sovereign vault rotate-kek`."""

from pathlib import Path

from typer.testing import CliRunner

from ledger.fsck import fsck
from portal.commands import app
from tests.ledger.worlds import AGE, opened, say

RUN = CliRunner()


def rotated(home: Path, *to: str) -> tuple[int, str]:
    done = RUN.invoke(app, ["vault", "rotate-kek", "--data-dir", str(home), *to])
    return done.exit_code, done.output


def test_v2_the_command_puts_another_key_in_force(tmp_path: Path) -> None:
    ledger = opened(tmp_path)
    say(ledger, "c1", AGE)
    before = (tmp_path / "keys" / "kek").read_bytes()
    status, told = rotated(tmp_path)
    assert (status, "kept by file" in told) == (0, True)
    assert (tmp_path / "keys" / "kek").read_bytes() != before
    say(ledger, "c2", AGE)
    ledger.close()
    again = opened(tmp_path)
    assert [again.version(each) for each in ("c1", "c2")] == [1, 1]
    again.close()
    assert [*fsck(tmp_path)] == []


def test_v2_what_cannot_be_done_leaves_the_old_key_and_says_why(tmp_path: Path) -> None:
    opened(tmp_path).close()
    before = (tmp_path / "keys" / "kek").read_bytes()
    status, told = rotated(tmp_path, "--to", "vault:x")
    assert (status, "want file, pkcs11" in told) == (1, True)
    assert (tmp_path / "keys" / "kek").read_bytes() == before


def test_v2_without_a_ledger_nothing_is_begun(tmp_path: Path) -> None:
    status, told = rotated(tmp_path / "nothing")
    assert (status, "Check --data-dir" in told) == (2, True)
    assert not (tmp_path / "nothing").exists()

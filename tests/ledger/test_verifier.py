"""Clause L46 of specs/ledger.md: what the offline verifier needs, and nothing else."""

import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from ledger.tlog import signed_note
from ledger.tlog.signed_note import NoteError
from ledger.verify import cli, receipt
from ledger.verify.cli import main
from ledger.verify.receipt import ReceiptError
from tests.ledger.test_receipt import SIGNER_HERE, TEXT
from tests.ledger.test_vectors import vectors

BLOCKED = """
import sys
from importlib.abc import MetaPathFinder

ALLOWED = {*sys.stdlib_module_names, "cryptography", "_cffi_backend", %r}

class Block(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] not in ALLOWED:
            raise ModuleNotFoundError(f"blocked: {name}", name=name)

sys.meta_path.insert(0, Block())
"""


def test_a_file_that_cannot_be_read_is_not_one_that_does_not_verify(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path / "missing"), "--key", str(tmp_path / "k")]) == 2
    assert capsys.readouterr().err.startswith("COULD NOT READ: ")


COMMANDS = {
    "python -m ledger.verify": (
        "ledger",
        "from runpy import run_module; run_module('ledger.verify', run_name='__main__')",
    ),
    "sovereign verify": (
        "portal",
        "sys.argv.insert(1, 'verify'); ALLOWED.add('ledger'); from portal.cli import main; main()",
    ),
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("valid", [True, False])
def test_l46_the_verifier_needs_the_standard_library_and_cryptography(
    command: str, tmp_path: Path, *, valid: bool
) -> None:
    (tmp_path / "a").write_text(TEXT if valid else TEXT.replace("index 2", "index 3"))
    (tmp_path / "k").write_text(f"{SIGNER_HERE.verifier}\n")
    package, run = COMMANDS[command]
    program = BLOCKED % package + run
    arguments = [str(tmp_path / "a"), "--key", str(tmp_path / "k")]
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == (0 if valid else 1), done.stderr
    assert done.stdout.startswith("VERIFIED, but nobody else has seen this log") is valid


def test_l46_the_search_of_own_reads_needs_no_more() -> None:
    program = BLOCKED % "portal" + (
        "sys.argv[1:] = ['own-reads', '--help']; ALLOWED.add('ledger');"
        "from portal.cli import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stderr
    assert "--named" in done.stdout


def test_l46_the_block_blocks() -> None:
    done = subprocess.run(
        [sys.executable, "-c", BLOCKED % "ledger" + "import ledger.service"],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert "blocked: " in done.stderr


def test_l45_a_file_that_is_too_large_is_refused_before_it_is_parsed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    large = tmp_path / "receipt"
    with large.open("wb") as file:
        file.truncate(400 << 20)  # a sparse file of 400 MiB
    monkeypatch.setattr("ledger.verify.receipt.parse", None)
    monkeypatch.setattr("ledger.verify.evidence.parse", None)
    for arguments in (["--key", "none", str(large)], ["--evidence", str(large), "--policy", "x"]):
        assert main(arguments) == 1
        assert "has more than" in capsys.readouterr().err


def test_l45_a_text_that_is_too_long_is_no_receipt() -> None:
    with pytest.raises(ReceiptError, match="1,048,576 characters"):
        receipt.parse("c" * (receipt.MAX_SIZE + 1))


def test_l44_errors_do_not_move_the_cursor_and_look_alike_ids_are_marked() -> None:
    assert cli.printable("not \x1b[2Jthis\u202e") == "not \\x1b[2Jthis\\u202e"
    assert cli._marked("c-00001") == "c-00001"
    assert cli._marked("\u0441-00001") == "\u0441-00001 (not ASCII: \\u0441-00001)"


def test_l24_without_the_check_a_key_of_small_order_signs_anything(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    forged = [each for each in vectors("order") if each["mutation"]]
    assert len(forged) == 11
    for each in forged:
        with pytest.raises(NoteError, match="small order"):
            signed_note.verifier(each["keys"][0])
    monkeypatch.setattr(signed_note, "has_small_order", lambda _: False)
    accepted = 0
    for each in forged:
        with suppress(NoteError):
            key = signed_note.verifier(each["keys"][0])
            signed_note.verify(signed_note.parse(each["note"]), [key])
            accepted += 1
    assert accepted >= 9  # some libraries refuse keys that are not reduced


SAID: dict[str, dict[str, Any]] = {
    "withdrawn segmentation: the whole scene": {"type": "withdrawn", "scene": "segmentation"},
    "granted ads: age; until 2027-01-01T00:00:00Z": {
        "type": "granted",
        "scene": "ads",
        "fields": ["age"],
        "until": "2027-01-01T00:00:00Z",
    },
    "renamed customer c00102": {"type": "renamed", "customer": "c00102"},
    "source-deleted into c00103": {"type": "source-deleted", "into": "c00103"},
    "imported ads: age; source renamed:c1": {
        "type": "imported",
        "scene": "ads",
        "fields": ["age"],
        "source": "renamed:c1",
        "until": None,
    },
    "trigger-set ads: the whole scene; signal visits, template at-most, threshold 0": {
        "type": "trigger-set",
        "scene": "ads",
        "signal": "visits",
        "template": "at-most",
        "threshold": 0,
    },
}


@pytest.mark.parametrize("line", SAID)
def test_everything_that_an_act_says_is_printed(line: str) -> None:
    event = {"type": "instruction", "subject": "c1", "seq": 1, "at": "2026-11-30T12:00:00Z"}
    printed = cli._event_lines(event | {"evidence": "C", "act": SAID[line]})
    assert f"  said      {line}" in printed

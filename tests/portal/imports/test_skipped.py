"""Clauses I1, I5, I27, I28 and I32 of specs/portability.md: the command and its options.

Each table names siblings of a fault that was found once: {why: (input, what the refusal says)}.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ledger.events.envelope import Imported
from ledger.events.reducer import SceneConsent, SceneWithdrawal
from ledger.service import Ledger
from portal.commands import app
from tests.bank import bank
from tests.portal.conftest import START
from tests.portal.imports.runs import GOOD, HEAD, ME, YOU, erase, row, run, size, state


def test_i27_no_grant_is_recorded_of_somebody_whose_other_row_is_bad(home: Path) -> None:
    """The bad row is the withdrawal of the consent of the first one."""
    text = (
        f"{HEAD}{ME},segmentation,2026-03-01T09:00:00Z,granted\n"
        f"{ME} ,segmentation,2026-04-01T09:00:00Z,withdrawn\n"
        f"{ME.upper()},segmentation,2026-04-02T09:00:00Z,withdrawn\n"
        f"{YOU},segmentation,2026-04-02T09:00:00Z,granted\n"
        f"{YOU},lead-scoring,2026-04-02T09:00:00Z,withdrawn\n"
    )
    done = run(home, text, "--skip-bad")
    assert (done.exit_code, done.output.count("skipped: line")) == (0, 3)
    assert state(home, ME, "segmentation") is None
    assert isinstance(state(home, YOU, "segmentation"), SceneConsent)


NOBODYS = {
    "a record over two lines": f"{YOU},segmentation\n2026-04-01T09:00:00Z,withdrawn\n",
    "a comma in the time": f"Apr 1, 2026,{ME},segmentation,withdrawn\n",
    "a remark beside the number": f"{ME} (closed),segmentation,2026-04-01,withdrawn\n",
    "no number": ",segmentation,2026-04-01,withdrawn\n",
}


@pytest.mark.parametrize("why", NOBODYS)
def test_i27_a_bad_row_of_nobody_in_particular_spoils_every_grant(why: str, home: Path) -> None:
    good = f"{ME},segmentation,2026-03-01T09:00:00Z,granted\n"
    run(home, HEAD + good + NOBODYS[why], "--skip-bad")
    assert state(home, ME, "segmentation") is None


def test_i27_somebody_the_source_does_not_know_spoils_nothing(home: Path) -> None:
    good = f"{ME},segmentation,2026-03-01T09:00:00Z,granted\n"
    other = "c99999,segmentation,2026-04-01,withdrawn\n"
    assert run(home, HEAD + good + other, "--skip-bad").exit_code == 0
    assert isinstance(state(home, ME, "segmentation"), SceneConsent)


SPOILT = {
    "a status": f"{ME},segmentation,2026-04-01T09:00:00Z,ended\n",
    "a scene": f"{ME},everything,2026-04-01T09:00:00Z,withdrawn\n",
    "a time": f"{ME},segmentation,spring,withdrawn\n",
    "a cell less": f"{ME},segmentation,2026-04-01T09:00:00Z\n",
}


@pytest.mark.parametrize("why", SPOILT)
def test_i27_whatever_was_wrong_with_it(why: str, home: Path) -> None:
    good = f"{ME},segmentation,2026-03-01T09:00:00Z,granted\n"
    ended = f"{ME},lead-scoring,2026-03-01T09:00:00Z,withdrawn\n"
    done = run(home, HEAD + good + ended + SPOILT[why], "--skip-bad")
    assert done.exit_code == 0
    assert "found the bad line 4, which may end this consent" in done.output
    assert state(home, ME, "segmentation") is None
    assert isinstance(state(home, ME, "lead-scoring"), SceneWithdrawal), "it is safe to record"


def test_i28_a_dry_run_counts_and_records_nothing(home: Path) -> None:
    before = {p: p.read_bytes() for p in (home / "keys").iterdir()}
    entries = size(home)
    text = GOOD + f"{YOU},segmentation,2026-03-01T09:00:00Z,withdrawn\n"
    done = run(home, text, "--dry-run")
    assert done.exit_code == 0, done.output
    for line in (
        "dry run of consents: nothing was recorded",
        "rows: 2, bad: 0",
        "status: granted 1, withdrawn 1",
        "scene: direct-marketing 1, segmentation 1",
        "items of the grants: "
        + ", ".join(f"{each} 1" for each in sorted(bank().scenes["direct-marketing"].fields)),
        "ends of the grants: as late as the contract allows 1",
        "evidence class: D 2",
        "would be recorded: 2 instructions",
    ):
        assert line in done.output.splitlines()
    assert (size(home), state(home), state(home, YOU)) == (entries, None, None)
    assert {p: p.read_bytes() for p in (home / "keys").iterdir()} == before


def test_i28_a_dry_run_names_the_first_bad_rows(home: Path) -> None:
    bad = "".join(f"c9{n:04},segmentation,2026-03-01,granted\n" for n in range(30))
    done = run(home, GOOD + bad, "--dry-run")
    assert (done.exit_code, "rows: 31, bad: 30" in done.output) == (1, True)
    assert "consents: line 3: want a customer of the source, found 'c90000'" in done.output
    assert done.output.count("consents: line") == 20
    assert "would be recorded: 0 instructions" in done.output, "an import would refuse the file"
    skipped = run(home, GOOD + bad, "--dry-run", "--skip-bad")
    assert "would be recorded: 1 instructions" in skipped.output
    assert "and 10 more" in done.output
    assert state(home) is None


def test_i28_a_dry_run_says_what_an_erasure_passes_over(home: Path) -> None:
    run(home, GOOD)
    erase(home)
    done = run(home, GOOD, "--dry-run")
    assert "older than an erasure of their customer: 1" in done.output
    assert "would be recorded: 0 instructions" in done.output


def test_i5_a_row_is_recorded_once_whatever_else_is_in_the_file(home: Path) -> None:
    text = GOOD + f"{ME},segmentation,2026-02-01,granted\n{ME},segmentation,2026-02-02,withdrawn\n"
    assert run(home, text).exit_code == 0
    recorded = size(home)
    for again in (text, text + "\n", text.replace("\n", "\r\n")):
        done = run(home, again)
        assert (done.exit_code, "imported before" in done.output) == (0, True), done.output
        assert "skipped" not in done.output
        assert size(home) == recorded
    more = text + f"{YOU},segmentation,2026-02-01,granted\n"
    assert "1 instructions" in run(home, more).output
    assert size(home) == recorded + 1


@pytest.mark.parametrize("source", ["", "  ", "a\nb"])
def test_i1_a_source_has_a_name(source: str, home: Path) -> None:
    file = home.parent / "consents"
    file.write_text(GOOD)
    words = ["import-consents", str(file), "--source", source, "--data-dir", str(home)]
    done = CliRunner().invoke(app, words)
    assert (done.exit_code, "--source" in done.output) == (2, True)


def test_i32_the_installed_command_prints_one_line_and_no_traceback(home: Path) -> None:
    """Started as an operator starts it; the output is not UTF-8."""
    file = home.parent / "export.csv"
    file.write_text(row(subject="ｃ０００４１"), "utf-8")
    ran = subprocess.run(
        [
            *(sys.executable, "-m", "portal.cli", "import-consents", str(file)),
            *("--source", "crm", "--data-dir", str(home)),
        ],
        capture_output=True,
        text=True,
        check=False,
        encoding="utf-8",
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
    )
    assert ran.returncode == 1
    assert "Traceback" not in ran.stderr
    assert "export.csv: line 2: want a customer of the source" in ran.stderr


def test_i1_the_source_of_each_is_named(home: Path) -> None:
    run(home, GOOD)
    ledger = Ledger.reopen(home)
    (only,) = ledger.history(ME)
    ledger.close()
    assert isinstance(only.event.act, Imported)
    assert only.event.act.source.startswith("crm ")
    assert only.event.at < START

"""Clauses I1 and I32 of specs/portability.md: the command, and what it records."""

import os
import subprocess
import sys
from pathlib import Path

from ledger.events.envelope import Imported
from ledger.service import Ledger
from tests.portal.conftest import START
from tests.portal.imports.runs import GOOD, ME, row, run


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

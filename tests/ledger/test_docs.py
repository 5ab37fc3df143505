"""The worked example of docs/operate.md runs as it is printed."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ledger.events.envelope import Withdrawn
from ledger.service import Ledger
from tests.ledger.worlds import AGE, say

ROOT = Path(__file__).parents[2]
PAGES = ["operate.md"]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    ledger = Ledger.open(tmp_path / "data", origin="bank.example/consent")
    say(ledger, "c00001", AGE)
    say(ledger, "c00002", AGE)
    (withdrawn,) = say(ledger, "c00001", Withdrawn("segmentation"))
    ledger.export(tmp_path / "data" / "log" / "consent")
    kept = tmp_path / "data" / "receipts" / "c00001-2.tlog-proof"
    kept.parent.mkdir()
    kept.write_text(ledger.receipt(withdrawn.index))
    ledger.close()
    return tmp_path


def steps(page: str) -> list[tuple[list[str], str]]:
    """Each command of the worked example, and the output that the document shows."""
    text = (ROOT / "docs" / page).read_text()
    (block,) = re.findall(r"```console\n(.*?)```", text, re.DOTALL)
    parts = block.split("$ sovereign ")[1:]
    return [(part.split("\n", 1)[0].split(), part.split("\n", 1)[1]) for part in parts]


@pytest.mark.parametrize("page", PAGES)
def test_the_worked_example_runs_as_it_is_printed(page: str, home: Path) -> None:
    assert len(steps(page)) > 1
    for arguments, printed in steps(page):
        done = subprocess.run(
            [sys.executable, "-m", "portal.cli", *arguments],
            capture_output=True,
            text=True,
            check=False,
            cwd=home,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )
        assert done.returncode == 0, done.stderr
        assert printed in done.stdout

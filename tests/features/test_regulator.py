"""docs/regulator.md is played from an empty directory: each `$` line runs, its output is compared.

In what the document shows, `…` stands for any text within a line; the shown lines come in that
order, and others may come between them.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ledger.witness import own_witnesses
from ledger.witness.own_witnesses import NAMES
from tests.features.catalogue import feature
from tests.features.period_world import PEOPLE, Period, play
from tests.features.served import done, wait_for

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "regulator.md"
INDENT = "    "


@pytest.fixture(scope="module")
def period(unserved: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Period]:
    yield play(unserved, tmp_path_factory.mktemp("regulator"))
    own_witnesses.stop()


def steps() -> list[tuple[str, list[str]]]:
    """Each command of the page, and the lines that it shows."""
    found: list[tuple[str, list[str]]] = []
    for line in PAGE.read_text("utf-8").splitlines():
        if line.startswith(f"{INDENT}$ "):
            found.append((line.removeprefix(f"{INDENT}$ "), []))
        elif line.startswith(INDENT) and found and found[-1] is not None:
            found[-1][1].append(line.removeprefix(INDENT))
        elif not line.startswith(INDENT) and line.strip():
            found.append(("", []))  # prose: what follows is no output
    return [each for each in found if each[0]]


def shown(line: str, printed: str) -> bool:
    pattern = ".*".join(map(re.escape, line.split("…")))
    return re.fullmatch(pattern, printed) is not None


def given(period: Period, folder: Path) -> None:
    """What the company, the customer and the authority give to a regulator; no key is among it."""
    home, subject = period.home, PEOPLE[0]
    for part in ("log", "public"):
        shutil.copytree(home / part, folder / "data" / part)
    shutil.copy(home / "transitions", folder / "transitions")
    shutil.copy(period.roots, folder / "tsa.pem")
    receipts = folder / "receipts"
    receipts.mkdir()
    proof = folder / f"{subject}.state-proof"

    def cosigned() -> bool:
        """Whether a quorum cosigned it: on a busy machine they may be late."""
        done("state-proof", subject, "--data-dir", home, "--out", proof)
        return sum(proof.read_text("utf-8").count(f"{name} ") for name in NAMES) > 1

    wait_for(cosigned, "state proof that witnesses cosigned")
    count = history(home, subject, receipts)
    evidence = folder / f"{subject}.evidence"
    done("evidence", subject, str(count), evidence, "--data-dir", home)


def history(home: Path, subject: str, receipts: Path) -> int:
    """Write all receipts of a customer, oldest first; returns how many."""
    from ledger.service import Ledger

    ledger = Ledger.reopen(home)
    found = ledger.history(subject)
    for each in found:
        text = ledger.receipt(each.index, subject)
        (receipts / f"all-{each.event.seq:03d}.tlog-proof").write_text(text, newline="")
    (receipts / "withdrawn.tlog-proof").write_text(text, newline="")
    ledger.close()
    return len(found)


@feature("M38")
def test_q6_the_regulators_page_is_played_from_an_empty_directory(
    period: Period, tmp_path: Path
) -> None:
    logs = period.home / "log"
    done("export", logs / "consent", "--states", logs / "state", "--data-dir", period.home)
    given(period, tmp_path)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    env = os.environ | {"PATH": path, "PYTHONPATH": str(ROOT), "COLUMNS": "200"}
    played = steps()
    assert len(played) >= 12
    for command, lines in played:
        ran = command.replace(" FROM ", f" {period.since} ").replace(" TO ", f" {period.until} ")
        for word, value in (("HANDED_OVER", period.draw.handed_over), ("UNTIL", period.draw.until)):
            ran = ran.replace(f" {word} ", f" {value} ")
        ran = ran.replace(" COMPANY", f" {period.home}")
        shell = ["/bin/sh", "-c", ran]
        result = subprocess.run(
            shell, capture_output=True, text=True, check=False, cwd=tmp_path, env=env
        )
        printed = iter(result.stdout.splitlines())
        for line in lines:
            assert any(shown(line, each) for each in printed), (
                f"{command}\nwant {line!r} in\n{result.stdout}{result.stderr}"
            )
        assert result.returncode == 0, f"{command}\n{result.stdout}{result.stderr}"
        if command.endswith("> nonce"):  # the draw was noted while the company still served
            (tmp_path / "nonce").write_text(f"{period.draw.nonce}\n")
    assert {*PAGE.read_text("utf-8").split()} & {"data/keys", "keys/"} == set()
    private = [path for path in tmp_path.rglob("*") if path.suffix == ".key"]
    assert private == []

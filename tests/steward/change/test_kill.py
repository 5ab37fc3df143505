"""S24: whatever moment the flow is killed at, nothing is lost and nothing happens twice."""

import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ledger.events.envelope import Granted, Withdrawn
from steward.cases.case_store import DATABASE
from tests.campaign import sized
from tests.ledger.events import NOON, WORDING
from tests.ledger.worlds import opened
from tests.steward.change.kill import ALL, LEDGER, STEP, settled

# `python -m tests.steward.change.kill` does ten thousand
KILLS = {"sqlite": sized(25, 1_000), "postgresql": sized(16, 500)}
ROOT = Path(__file__).parents[3]


@pytest.mark.campaign
@pytest.mark.parametrize("kind", KILLS)
def test_s24_no_kill_loses_or_doubles_anything(kind: str, request: pytest.FixtureRequest) -> None:
    """In a process of its own, which has one thread and may fork."""
    command = [sys.executable, "-m", "tests.steward.change.kill", f"--kills={KILLS[kind]}"]
    if kind == "postgresql":
        command += ["--database", request.getfixturevalue("address")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    kills, _, _, rounds, _, changes, _, notices, *_ = done.stdout.split()
    assert int(kills) == KILLS[kind]
    least = KILLS[kind] / 2
    assert int(rounds) > least
    assert int(changes) > least, "too few changes for this to prove anything"
    assert int(notices) > least / 2


def sql(statement: str) -> Callable[[Path], None]:
    def tamper(home: Path) -> None:
        with sqlite3.connect(home / DATABASE) as database:
            assert database.execute(statement).rowcount > 0
        database.close()

    return tamper


def unheard(home: Path) -> None:
    paper = home / "heard"
    paper.write_text("\n".join(paper.read_text().splitlines()[1:]) + "\n")


def disordered(home: Path) -> None:
    sql("UPDATE outbox SET seq = -seq")(home)


BROKEN: dict[str, Callable[[Path], None]] = {
    "a withdrawal without its case": sql("DELETE FROM change WHERE seq = 1"),
    "a withdrawal in two cases": sql(
        "INSERT INTO change (number, scene, kind, entry, minute, count, masked)"
        " SELECT 2, scene, kind, entry, minute + 1, count, masked FROM change"
    ),
    "a case that miscounts": sql("UPDATE cases SET count = count + 1"),
    "a change in a case of another kind": sql("UPDATE cases SET kind = 'freeze'"),
    "a case without its notice": sql("DELETE FROM outbox WHERE number = 1 AND channel = 'two'"),
    "a notice twice": sql("UPDATE outbox SET type = 'opened'"),
    "a notice that nobody heard": unheard,
    "notices out of order": disordered,
}


@pytest.mark.parametrize("why", BROKEN)
def test_the_check_finds(why: str, tmp_path: Path) -> None:
    """Otherwise the campaign would prove nothing."""
    ledger = opened(tmp_path / LEDGER)
    for turn in range(2):
        for said in (Granted("segmentation", ALL, None), Withdrawn("segmentation")):
            at = NOON + turn * 10 * STEP
            ledger.record([ledger.draft("c1", said, at=at, wording=WORDING)])
        settled(tmp_path, at)
    settled(tmp_path, NOON + 900 * STEP)  # overdue: each case has two notices
    assert settled(tmp_path, NOON + 900 * STEP) == (2, 8)
    BROKEN[why](tmp_path)
    with pytest.raises(AssertionError):
        settled(tmp_path, NOON + 900 * STEP)

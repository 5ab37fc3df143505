"""Clause L94 of specs/ledger.md: whatever moment the writer is killed at, nothing is lost."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.campaign import sized

KILLS = sized(10, 500)  # in each of two runs; `python -m tests.crash.kill` does ten thousand


@pytest.mark.campaign
@pytest.mark.parametrize("seed", [1, 2])
def test_l94_no_kill_loses_forks_or_regresses_anything(seed: int) -> None:
    """In a process of its own, which has one thread and may fork."""
    command = [sys.executable, "-m", "tests.crash.kill", f"--kills={KILLS}", f"--seed={seed}"]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2]
    )
    assert done.returncode == 0, done.stderr
    kills, _, batches, *_ = done.stdout.split()
    assert int(kills) == KILLS
    assert int(batches) > KILLS, "too few batches were acknowledged for this to prove anything"

"""Whatever moment the served portal is killed at, nothing that was acknowledged is lost."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.campaign import sized

KILLS = sized(10, 1000)
PEOPLE = sized(300, 1000)


@pytest.mark.campaign
def test_no_kill_of_the_portal_loses_an_act_or_lets_a_gate_answer_from_before_it() -> None:
    """In processes of their own, which are forked from one with the modules loaded."""
    command = [sys.executable, "-m", "tests.crash.site_kills"]
    done = subprocess.run(
        [*command, f"--kills={KILLS}", f"--people={PEOPLE}"],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stdout + done.stderr
    words = done.stdout.split()
    assert int(words[0]) == KILLS
    assert int(words[2]) > KILLS, "too few acts were acknowledged for this to prove anything"
    assert " 0 personal" not in done.stdout

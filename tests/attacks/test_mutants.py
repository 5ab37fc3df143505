"""specs/guarantees.md: without the check that catches an act, the test that performs it fails."""

import os
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from tests.attacks.mutants import MUTANTS
from tests.campaign import sized
from tests.ledger.test_guarantees import rows

ROOT = Path(__file__).parents[2]
ALL = 1_000  # more than there are


@pytest.mark.campaign
def test_without_the_check_the_act_goes_through_and_its_test_fails() -> None:
    chosen = Random(20).sample(range(len(MUTANTS)), min(sized(1, ALL), len(MUTANTS)))
    command = [sys.executable, "-m", "tests.attacks.mutants", *map(str, chosen)]
    ran = subprocess.run(command, cwd=ROOT, env=os.environ, capture_output=True, check=False)
    assert ran.stdout.count(b"noticed: ") == len(chosen), ran.stdout.decode()
    assert ran.returncode == 0, ran.stdout.decode()


def test_at_least_twelve_acts_of_the_table_have_a_mutant() -> None:
    acts = {each.act for each in MUTANTS}
    assert len(acts) >= 12
    named = {int(row[0]): row[4] for row in rows()}
    for each in MUTANTS:
        assert each.test == named[each.act] or each.act in (3, 6), each


def test_a_check_that_does_not_exist_is_noticed() -> None:
    for each in MUTANTS:
        assert (ROOT / each.test.partition("::")[0]).is_file()

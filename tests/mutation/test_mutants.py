"""The mutants that `python -m tests.mutation` makes: `make prove` runs 500 of them."""

import ast
import subprocess
import sys

import pytest

from tests.mutation.__main__ import explanations
from tests.mutation.mutants import ROOT, Mutant, mutants, mutated
from tests.mutation.places import PLACES, TESTS

FILES = sorted(file for files in PLACES.values() for file in files)
DECISION = "gate/decision/decide.py"


def named(words: str) -> Mutant:
    (found,) = [each for each in mutants(DECISION) if each.name.endswith(words)]
    return found


@pytest.mark.parametrize("file", FILES)
def test_every_file_has_mutants_with_names_of_their_own_and_tests(file: str) -> None:
    names = [each.name for each in mutants(file)]
    assert len(names) > 10
    assert len({*names}) == len(names)
    assert all((ROOT / each).exists() for each in TESTS[file])


def test_a_mutant_differs_from_the_file_in_one_place() -> None:
    whole = ast.unparse(ast.parse((ROOT / DECISION).read_text("utf-8"))).splitlines()
    changed = ast.unparse(mutated(named("reason: wanted & ~bits -> wanted | ~bits"))).splitlines()
    differing = [(a, b) for a, b in zip(whole, changed, strict=True) if a != b]
    assert differing == [("    if wanted & ~bits:", "    if wanted | ~bits:")]


def test_every_kind_of_change_is_made() -> None:
    made = {f"{each.before} -> {each.after}" for file in FILES for each in mutants(file)}
    assert made >= {
        "end > LAST_MINUTE -> end >= LAST_MINUTE",
        "not plan.offered -> plan.offered",
        "return nobody(plan) -> return None",
        "0 -> 1",
        "'frozen' -> 'frozen?'",
        "rules.require(event) -> pass",
    }


def test_each_explanation_names_a_mutant() -> None:
    assert explanations().keys() <= {each.name for file in FILES for each in mutants(file)}


@pytest.mark.prove
def test_at_least_nine_of_ten_mutants_are_noticed() -> None:
    """Which one is not stands in the output: docs/testing.md."""
    ran = subprocess.run(
        [sys.executable, "-m", "tests.mutation", "--count", "500", "--seed", "1"],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stdout[-5_000:]

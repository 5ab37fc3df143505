"""specs/vectors.md: every valid case is accepted, and no case with a mutation."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from specs.vectors.every import EVERY
from specs.vectors.vector import cases, text
from tests.ledger.judges import JUDGES, REFUSALS, Vector

FOLDER = Path(__file__).parents[2] / "specs/vectors"


def vectors(name: str) -> list[Vector]:
    found: list[Vector] = json.loads((FOLDER / f"{name}.json").read_text())
    return found


def _named(*, valid: bool) -> list[Any]:
    return [*_cases(valid=valid)]


def _cases(*, valid: bool) -> Iterator[Any]:
    for name in EVERY:
        for number, case in enumerate(vectors(name)):
            if (case["mutation"] is None) == valid:
                told = f"{case.get('case', number)}, {case['mutation']}"
                yield pytest.param(name, case, id=f"{name}: {told}")


@pytest.mark.parametrize("name", EVERY)
def test_v1_a_file_is_what_its_script_writes(name: str) -> None:
    assert (FOLDER / f"{name}.json").read_text() == text(EVERY[name]())


def test_v1_every_file_has_a_script_and_a_judge() -> None:
    assert {path.stem for path in FOLDER.glob("*.json")} == EVERY.keys() == JUDGES.keys()


@pytest.mark.parametrize(("name", "case"), _named(valid=True))
def test_v2_a_valid_case_is_accepted(name: str, case: Vector) -> None:
    JUDGES[name](case)


@pytest.mark.parametrize(("name", "case"), _named(valid=False))
def test_v3_a_case_with_a_mutation_is_refused_with_the_error_of_its_parser(
    name: str, case: Vector
) -> None:
    with pytest.raises(REFUSALS):
        JUDGES[name](case)


@pytest.mark.parametrize("name", EVERY)
def test_v4_a_file_has_valid_cases_and_mutations_and_no_case_twice(name: str) -> None:
    found = vectors(name)
    assert {case["mutation"] is None for case in found} == {True, False}
    told = [json.dumps({**case, "case": "", "mutation": ""}, sort_keys=True) for case in found]
    assert len({*told}) == len(told)


BAD = {
    "a member that the case does not have": {"other": 1},
    "no change": {"size": 1},
}


@pytest.mark.parametrize("why", BAD)
def test_v4_no_mutation_is_written_that_has(why: str) -> None:
    with pytest.raises(ValueError, match="want other values"):
        list(cases("case", {"size": 1}, ("changed", BAD[why])))

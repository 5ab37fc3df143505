"""specs/guarantees.md: every row has a test that exists, or says that it is to come."""

import ast
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TO_COME = "to come"


def rows() -> list[list[str]]:
    lines = (ROOT / "specs/guarantees.md").read_text("utf-8").splitlines()
    table = [line for line in lines if line.startswith("|")][2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table]


def test_the_table_has_numbered_rows_of_five_cells() -> None:
    assert [row[0] for row in rows()] == [str(number) for number in range(1, len(rows()) + 1)]
    assert {len(row) for row in rows()} == {5}
    assert all(all(row) for row in rows())
    assert len(rows()) >= 25
    assert max(Counter(row[1] for row in rows()).values()) == 1


def test_most_acts_are_performed_and_caught_by_a_command() -> None:
    assert sum(row[4] != TO_COME and row[3] != "–" for row in rows()) >= 40


@pytest.mark.parametrize("name", sorted({row[4] for row in rows()} - {TO_COME}))
def test_a_named_test_exists(name: str) -> None:
    assert exists(name)


def test_a_test_that_does_not_exist_is_noticed() -> None:
    assert not exists("tests/ledger/test_guarantees.py::test_no_such")
    assert not exists("tests/no_such.py::test_no_such")


def exists(name: str) -> bool:
    file, _, function = name.partition("::")
    if not (ROOT / file).is_file():
        return False
    found = ast.parse((ROOT / file).read_text("utf-8")).body
    return any(isinstance(node, ast.FunctionDef) and node.name == function for node in found)


def test_a_row_without_a_test_says_so_or_that_nobody_catches_it() -> None:
    claims = [row[2] for row in rows() if row[3] == "–"]
    assert all("nobody" in each for each in claims)

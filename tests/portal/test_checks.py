"""docs/portal-checks.md names tests and commands that exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "portal-checks.md").read_text("utf-8")
TESTS = sorted({*re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", TEXT)})
BENCHMARKS = sorted({*re.findall(r"`python -m benchmarks (\w+)`", TEXT)})


@pytest.mark.parametrize(("file", "name"), TESTS)
def test_every_named_test_exists(file: str, name: str) -> None:
    assert f"def {name}(" in (ROOT / file).read_text("utf-8")


@pytest.mark.parametrize("name", BENCHMARKS)
def test_every_named_benchmark_exists(name: str) -> None:
    assert (ROOT / "benchmarks" / f"{name}.py").is_file()


def test_every_line_of_the_tables_names_a_test_or_a_command() -> None:
    rows = [line for line in TEXT.splitlines() if line.startswith("| ")]
    bare = [
        line
        for line in rows
        if "`" not in line and line not in {"| seen | held by |", "| what | held by |"}
    ]
    assert len(rows) > 25
    assert not bare

"""Everything that is recorded takes its time from `ledger.clock`, in whole seconds."""

import ast
from collections.abc import Iterator
from datetime import UTC

import pytest

from ledger import clock
from tests.architecture import packages

CLOCK = "clock.py"
READS_THE_WALL_CLOCK = {"datetime.now", "datetime.utcnow", "datetime.today", "date.today"} | {
    "time.time",
    "time.time_ns",
}


def wall_clock(tree: ast.Module) -> Iterator[str]:
    """Each place that reads the wall clock, called or passed on, as `line: name`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            name = ".".join(ast.unparse(node).split(".")[-2:])
            if name in READS_THE_WALL_CLOCK:
                yield f"{node.lineno}: {name}"
        elif isinstance(node, ast.ImportFrom) and node.module == "time":
            names = {each.name for each in node.names} & {"time", "time_ns"}
            yield from (f"{node.lineno}: time.{name}" for name in sorted(names))


def test_one_module_of_the_five_packages_reads_the_wall_clock() -> None:
    found = {path: [*wall_clock(tree)] for path, tree in packages.modules().items()}
    assert {path for path, places in found.items() if places} == {f"ledger/{CLOCK}"}


@pytest.mark.parametrize(
    "source",
    [
        "from datetime import datetime, UTC\nat = datetime.now(UTC)",
        "import datetime\nat = datetime.datetime.utcnow()",
        "import time\ndef f(clock=time.time): ...",
        "from time import time",
        "from datetime import date\nat = date.today()",
    ],
)
def test_a_module_that_reads_the_wall_clock_is_found(source: str) -> None:
    assert [*wall_clock(ast.parse(source))]


def test_now_is_aware_and_has_whole_seconds() -> None:
    at = clock.now()
    assert at.tzinfo is UTC
    assert at.microsecond == 0
    assert abs(clock.posix() - at.timestamp()) < 60

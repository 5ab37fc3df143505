"""The numbers of the served bank's customers, and which of them a test may take.

c00001 to c00200 are real customers with the demonstration's grants, thirty days old. The others
decided nothing yet: a test that decides takes one of its own.
"""

from collections.abc import Iterator
from pathlib import Path

GRANTING, CUSTOMERS = 200, 400
NAMED = {"c00201", *(f"c{n:05d}" for n in range(270, 277)), "c00290", "c00298", "c00299", "c00300"}
"""Those that tests name themselves."""

_left: dict[Path, Iterator[str]] = {}


def left(home: Path) -> Iterator[str]:
    """The customers of a served data directory whom no test of this process took yet."""
    return _left.setdefault(home, _all())


def _all() -> Iterator[str]:
    for number in range(GRANTING + 1, CUSTOMERS + 1):
        if (each := f"c{number:05d}") not in NAMED:
            yield each
    raise AssertionError("no customer is left who decided nothing: make CUSTOMERS larger")

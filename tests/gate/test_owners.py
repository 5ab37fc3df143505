"""Clause G34 of specs/gate.md: whose each entry of a read log is."""

import sqlite3
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gate.readlog import membership
from gate.readlog.membership import NOBODY, RUN, Membership
from tests.campaign import sized

PEOPLE = [bytes([n]) * membership.SIZE for n in range(1, 6)]
TWIN = PEOPLE[0][:8] + b"twinning"  # begins like the first one
WORLDS = {
    "nothing": 0,
    "less than a bundle": 255,
    "exactly a bundle": 256,
    "exactly a run": RUN,
    "a run and one": RUN + 1,
    "runs and a part": 2 * RUN + 700,
}


def filled(sizes: Sequence[int], names: Sequence[bytes]) -> sqlite3.Connection:
    """Everybody in turn, written in batches of `sizes`."""
    database = sqlite3.connect(":memory:", isolation_level=None)
    held, at = Membership(database, 0), 0
    for size in sizes:
        held.settle(held.put(names[at : at + size], at))
        at += size
    return database


def by_turns(size: int) -> list[bytes]:
    return [[*PEOPLE, NOBODY][n % 6] for n in range(size)]


def found(database: sqlite3.Connection, who: bytes, size: int) -> list[int]:
    return list(membership.of(database, who, size))


@pytest.mark.parametrize("why", WORLDS)
def test_g34_exactly_the_entries_of_a_customer_are_found_newest_first(why: str) -> None:
    names = by_turns(WORLDS[why])
    database = filled([100] * (len(names) // 100) + [len(names) % 100], names)
    for who in [*PEOPLE, b"a stranger's one"]:
        theirs = [n for n, name in enumerate(names) if name == who]
        assert found(database, who, len(names)) == theirs[::-1]


@settings(max_examples=sized(12, 250))
@given(st.lists(st.integers(0, 600), max_size=6), st.integers(0, 2000))
def test_g34_whatever_the_batches_were(sizes: list[int], below: int) -> None:
    names = by_turns(sum(sizes))
    database = filled(sizes, names)
    theirs = [n for n, name in enumerate(names) if name == PEOPLE[2] and n < below]
    assert found(database, PEOPLE[2], below) == theirs[::-1]
    listed = database.execute("SELECT pseudonym, entry FROM reading ORDER BY entry").fetchall()
    assert listed == [(name, n) for n, name in enumerate(names)]


def test_g34_what_was_put_and_not_kept_leaves_no_trace() -> None:
    database = sqlite3.connect(":memory:", isolation_level=None)
    held = Membership(database, 0)
    held.settle(held.put(PEOPLE[:3], 0))
    database.execute("BEGIN")
    held.put([TWIN] * 300, 3)
    database.execute("ROLLBACK")
    held.settle(held.put([PEOPLE[4]], 3))
    assert found(database, TWIN, 400) == []
    assert found(database, PEOPLE[4], 400) == [3]


def test_g34_a_log_that_is_opened_again_goes_on() -> None:
    database = filled([300], by_turns(300))
    held = Membership(database, 300)
    held.settle(held.put([TWIN], 300))
    assert found(database, TWIN, 301) == [300]
    assert found(database, PEOPLE[0], 301)[0] == 294


def test_g34_names_that_begin_alike_may_be_found_together_and_never_missed() -> None:
    names = [PEOPLE[0], TWIN] * (RUN // 2)
    assert {*found(filled([RUN], names), TWIN, RUN)} >= {*range(1, RUN, 2)}

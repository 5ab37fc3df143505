"""Clause G34 of specs/gate.md: whose each entry of a read log is."""

import sqlite3
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy.dialects import sqlite
from sqlalchemy.schema import CreateTable

from gate.storage import membership
from gate.storage.membership import NOBODY, RUN, Membership
from gate.storage.statement import SqliteRunner, StatementRunner
from gate.storage.tables import ENTRIES
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


def empty() -> sqlite3.Connection:
    database = sqlite3.connect(":memory:", isolation_level=None)
    for table in ENTRIES:
        database.execute(str(CreateTable(table).compile(dialect=sqlite.dialect())))
    return database


def put(index: Membership, stored: StatementRunner, names: Sequence[bytes], first: int) -> None:
    appended = index.append(names, first)
    index.store(stored, appended)
    index.settle(appended)


def filled(sizes: Sequence[int], names: Sequence[bytes]) -> SqliteRunner:
    """Everybody in turn, written in batches of `sizes`."""
    stored = SqliteRunner(empty())
    index, at = Membership(stored, 0), 0
    for size in sizes:
        put(index, stored, names[at : at + size], at)
        at += size
    return stored


def by_turns(size: int) -> list[bytes]:
    return [[*PEOPLE, NOBODY][n % 6] for n in range(size)]


def found(database: StatementRunner, who: bytes, size: int) -> list[int]:
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


def test_g34_what_was_put_and_not_kept_leaves_no_trace() -> None:
    raw = empty()
    stored = SqliteRunner(raw)
    index = Membership(stored, 0)
    put(index, stored, PEOPLE[:3], 0)
    raw.execute("BEGIN")
    index.store(stored, index.append([TWIN] * 300, 3))
    raw.execute("ROLLBACK")
    put(index, stored, [PEOPLE[4]], 3)
    assert found(stored, TWIN, 400) == []
    assert found(stored, PEOPLE[4], 400) == [3]


def test_g34_a_log_that_is_opened_again_goes_on() -> None:
    stored = filled([300], by_turns(300))
    put(Membership(stored, 300), stored, [TWIN], 300)
    assert found(stored, TWIN, 301) == [300]
    assert found(stored, PEOPLE[0], 301)[0] == 294


def test_g34_names_that_begin_alike_may_be_found_together_and_never_missed() -> None:
    names = [PEOPLE[0], TWIN] * (RUN // 2)
    assert {*found(filled([RUN], names), TWIN, RUN)} >= {*range(1, RUN, 2)}

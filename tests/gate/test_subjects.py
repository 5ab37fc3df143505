"""Clause G16 of specs/gate.md: the row of each name, whatever the names are."""

from array import array

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gate.state import subjects
from gate.state.subjects import Subjects
from tests.campaign import sized

names = st.lists(st.text(max_size=12), unique=True, max_size=60)


@settings(max_examples=sized(66, 1000))
@given(names, st.text(max_size=12))
def test_g16_every_name_has_its_row_and_nobody_else_has_one(known: list[str], other: str) -> None:
    held = Subjects.from_names(known)
    held.hot.clear()
    assert [held.row(each) for each in known] == [*range(len(known))]
    assert [*held] == known
    assert [held[row] for row in range(len(known))] == known
    assert (other in held) is (other in known)


def test_g16_the_table_grows_and_finds_everybody_and_only_them() -> None:
    held = Subjects.from_names(f"c{n}" for n in range(20_000))
    held.hot.clear()
    assert all(held.row(f"c{n}") == n for n in range(0, 20_000, 7))
    assert not any(f"d{n}" in held for n in range(2000))
    assert len(held.slots) * 0.6 > 20_000


def test_g16_names_whose_marks_are_equal_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Subjects, "_mark", lambda _, raw: len(raw))
    held = Subjects.from_names(f"c{n}" for n in range(1500))
    held.hot.clear()
    assert all(held.row(f"c{n}") == n for n in range(1500))
    assert "c1500" not in held


def test_g16_what_was_kept_of_a_table_is_the_same_table_and_goes_on() -> None:
    first = Subjects.from_names(["a", "", "名字", "b\nc", "\ud800"])
    raw = first.key, first.text[:], first.ends[:], first.slots.copy()
    second = Subjects.resumed(*raw)
    assert [*second] == [*first]
    assert [second.row(each) for each in first] == [0, 1, 2, 3, 4]
    assert second.add("later") == 5
    assert (second.row("later"), first.row("later")) == (5, None)


def test_g16_names_may_outgrow_what_holds_their_ends() -> None:
    made = Subjects()
    narrow = Subjects.resumed(made.key, made.text, array("B"), made.slots)  # as "I", but sooner
    for n in range(200):
        narrow.add(f"c{n}")
    assert narrow.ends.typecode == "Q"
    assert [*narrow] == [f"c{n}" for n in range(200)]


def test_g16_the_names_of_a_cohort_are_in_the_order_of_rows() -> None:
    held = Subjects.from_names(["a", "b", "c"])
    assert held.of(np.array([True, False, True])) == ["a", "c"]
    assert held.of(np.array([True, True, True])) == ["a", "b", "c"]
    assert held[1:] == ["b", "c"]
    with pytest.raises(IndexError):
        held[3]


def test_g16_who_was_nobody_is_somebody_once_they_say_something() -> None:
    held = Subjects.from_names(["a"])
    assert held.row("b") is None
    assert held.hot["b"] == subjects.NOBODY
    assert held.add("b") == 1
    assert (held.row("b"), [*held]) == (1, ["a", "b"])
    assert held.row("x" * 100_000) is None
    assert not any(len(name) > subjects.MAX_CHARACTERS for name in held.hot)


def test_g16_no_more_names_are_hot_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subjects, "MAX_HOT", 10)
    held = Subjects.from_names(f"c{n}" for n in range(95))
    assert len(held.hot) <= 10
    assert [held.row(f"c{n}") for n in range(95)] == [*range(95)]
    assert len(held.hot) <= 10

"""Cases as those who work on them see them (S18, S19)."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from ledger.events.envelope import Granted, Withdrawn
from steward.cases.case import (
    Act,
    CaseConflictError,
    Cases,
    MalformedActError,
    Status,
    UnknownCaseError,
)
from steward.cases.case_store import CaseStore
from tests.gate.world import NOON
from tests.steward.change.office import ALL, office
from tests.steward.homes import in_files

LATER = NOON + timedelta(hours=2)


@pytest.fixture
def cases(home: Path) -> Cases:
    """One open case, number 1."""
    desk = office(home)
    desk.bank.says("c1", Granted("segmentation", ALL, None))
    desk.bank.says("c1", Withdrawn("segmentation"))
    desk.run()
    return desk.cases


def test_s18_a_case_is_taken_and_closed_with_a_note(cases: Cases) -> None:
    assert cases.take(1, "ada", NOON).status is Status.TAKEN
    assert cases.close(1, "ada", "the fallback serves", LATER).status is Status.CLOSED
    assert cases.open_cases() == []
    assert cases.case(1).status is Status.CLOSED


def test_s18_a_small_matter_is_closed_without_taking_it(cases: Cases) -> None:
    assert cases.close(1, "bo", "nothing to do", NOON).status is Status.CLOSED


def test_s18_taking_what_one_has_changes_nothing(cases: Cases) -> None:
    cases.take(1, "ada", NOON)
    cases.take(1, "ada", LATER)
    assert [each.act for each in cases.acts(1)] == ["opened", "taken"]


def closed(cases: Cases) -> None:
    cases.close(1, "ada", "done", NOON)


CONFLICTS: dict[str, tuple[Callable[[Cases], object], Callable[[Cases], object]]] = {
    "taking what is somebody else's": (
        lambda cases: cases.take(1, "ada", NOON),
        lambda cases: cases.take(1, "bo", NOON),
    ),
    "closing what is somebody else's": (
        lambda cases: cases.take(1, "ada", NOON),
        lambda cases: cases.close(1, "bo", "done", NOON),
    ),
    "taking what is closed": (closed, lambda cases: cases.take(1, "ada", NOON)),
    "closing what is closed": (closed, lambda cases: cases.close(1, "ada", "again", NOON)),
}


@pytest.mark.parametrize("why", CONFLICTS)
def test_s18_a_conflict_changes_nothing(why: str, cases: Cases) -> None:
    before, act = CONFLICTS[why]
    before(cases)
    held = cases.case(1), cases.acts(1)
    with pytest.raises(CaseConflictError, match=r"taken by ada|is closed"):
        act(cases)
    assert (cases.case(1), cases.acts(1)) == held


MALFORMED: dict[str, Callable[[Cases], object]] = {
    "nobody takes it": lambda cases: cases.take(1, " ", NOON),
    "nobody closes it": lambda cases: cases.close(1, "", "done", NOON),
    "no note": lambda cases: cases.close(1, "ada", "\n", NOON),
    "a null character": lambda cases: cases.close(1, "ada", "do\0ne", NOON),
    "a note like a book": lambda cases: cases.close(1, "ada", "x" * 2001, NOON),
}


@in_files
@pytest.mark.parametrize("why", MALFORMED)
def test_s18_an_act_says_who_and_a_closing_says_what(why: str, cases: Cases) -> None:
    with pytest.raises(MalformedActError, match="want"):
        MALFORMED[why](cases)
    assert cases.case(1).status is Status.OPEN


UNKNOWN: dict[str, Callable[[Cases], object]] = {
    "to see it": lambda cases: cases.case(2),
    "to take it": lambda cases: cases.take(2, "ada", NOON),
    "to close it": lambda cases: cases.close(2, "ada", "done", NOON),
    "its acts": lambda cases: cases.acts(2),
    "its entries": lambda cases: cases.entries(2),
}


@in_files
@pytest.mark.parametrize("why", UNKNOWN)
def test_s18_a_case_that_there_is_none_of(why: str, cases: Cases) -> None:
    with pytest.raises(UnknownCaseError, match="no case 2"):
        UNKNOWN[why](cases)


def test_s19_every_step_is_kept_with_who_and_when(cases: Cases) -> None:
    cases.take(1, "ada", NOON)
    cases.close(1, "ada", "the fallback serves", LATER)
    assert cases.acts(1) == [
        Act("opened", "steward", NOON, ""),
        Act("taken", "ada", NOON, ""),
        Act("closed", "ada", LATER, "the fallback serves"),
    ]


@pytest.mark.parametrize("statement", ["UPDATE act SET by = 'bo'", "DELETE FROM act"])
def test_s19_what_was_kept_is_neither_changed_nor_removed(
    statement: str, cases: Cases, home: Path
) -> None:
    with CaseStore(home).reading() as database, pytest.raises(IntegrityError, match="only added"):
        database.execute(text(statement))
    assert [each.by for each in cases.acts(1)] == ["steward"]


def test_the_most_urgent_case_stands_first(home: Path) -> None:
    desk = office(home)
    for hours, scene in ((0, "segmentation"), (1, "direct-marketing")):
        field = "age" if scene == "segmentation" else "email"
        desk.bank.says("c1", Granted(scene, (field,), None))
        desk.bank.says("c1", Withdrawn(scene))
        desk.run(NOON + timedelta(hours=hours))
    assert [each.scene for each in desk.cases.open_cases()] == ["segmentation", "direct-marketing"]

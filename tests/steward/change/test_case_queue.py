"""The queue of cases, and work on several cases (7.9 to 7.14 of specs/portal.md)."""

from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import insert, text

from steward.cases.case import CaseConflictError, Cases, MalformedActError, Status
from steward.cases.case_queue import (
    CHUNK,
    NOBODY,
    PAGE,
    CaseFilter,
    CaseQueue,
    QueueOrder,
    QueueState,
)
from steward.cases.case_store import CaseStore, stamp
from steward.cases.changes import ChangeKind
from steward.storage.cases import CASE
from tests.gate.world import NOON

COUNT = 2 * CHUNK + 3
LATER = NOON + timedelta(hours=2)
DUE = NOON + timedelta(days=3)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Cases 1 to COUNT, of two scenes in turn, each due and opened a minute after the one before,
    but for the first two, which have equal times."""
    with CaseStore(tmp_path).writing() as database:
        database.execute(insert(CASE), [_row(number) for number in range(1, COUNT + 1)])
    return tmp_path


def _row(number: int) -> dict[str, object]:
    at = NOON + timedelta(minutes=max(number, 2))
    return {
        "id": number,
        "scene": ("segmentation", "ai-training")[number % 2],
        "kind": "withdrawal",
        "count": 1,
        "told": 1,
        "live": 1,
        "fields": "[]",
        "fallback": "withhold",
        "opened": stamp(at),
        "gathers_until": stamp(at),
        "due": stamp(at + timedelta(days=3)),
        "status": "open",
        "responsible": "account-manager",
    }


@pytest.fixture
def cases(home: Path) -> Cases:
    cases = Cases(home)
    for name in ("ada", "bo"):
        cases.sign_in(name, "account-manager", NOON)
    return cases


@pytest.fixture
def queue(home: Path) -> CaseQueue:
    return CaseQueue(home)


@pytest.mark.parametrize("order", QueueOrder)
def test_p7_9_pages_and_export_have_every_case_once_in_order(
    queue: CaseQueue, order: QueueOrder
) -> None:
    wanted = CaseFilter(order=order)
    numbers = [*range(1, COUNT + 1)]
    if order is QueueOrder.NEWEST:
        numbers.reverse()
    assert [each.id for each in queue.all(wanted)] == numbers
    pages = [queue.page(wanted, number) for number in range(1, COUNT // PAGE + 2)]
    assert [each.id for page in pages for each in page.cases] == numbers
    assert [page.more for page in pages] == [True] * (len(pages) - 1) + [False]


def test_p7_9_filters_are_combined(queue: CaseQueue, cases: Cases) -> None:
    cases.take(2, "ada", NOON)
    cases.close(4, "bo", "reviewed", NOON)
    found = {
        CaseFilter(QueueState.TAKEN): [2],
        CaseFilter(QueueState.CLOSED): [4],
        CaseFilter(holder="ada", scene="segmentation"): [2],
        CaseFilter(holder="ada", scene="ai-training"): [],
        CaseFilter(kind=ChangeKind.FREEZE): [],
        CaseFilter(QueueState.OPEN, holder=NOBODY, scene="segmentation"): [6, 8],
        CaseFilter(QueueState.ALL): [1, 2],
        CaseFilter(): [1, 2],
    }
    for wanted, numbers in found.items():
        assert [each.id for each in queue.page(wanted, size=2).cases] == numbers, wanted
    assert queue.active() == COUNT - 1


PLANS = {
    "the usual view": (
        "SELECT id FROM cases WHERE status <> 'closed' ORDER BY due, id LIMIT 26",
        "case_active_due",
    ),
    "closed cases": (
        "SELECT id FROM cases WHERE status = 'closed' ORDER BY opened DESC, id DESC LIMIT 26",
        "case_by_age",
    ),
    "all by deadline": ("SELECT id FROM cases ORDER BY due, id LIMIT 26", "case_due"),
    "one person's": (
        "SELECT id FROM cases WHERE holder = 'ada' ORDER BY due, id LIMIT 26",
        "case_of_holder",
    ),
}


@pytest.mark.parametrize("view", PLANS)
def test_p7_9_a_page_reads_an_index_and_sorts_nothing(home: Path, view: str) -> None:
    query, index = PLANS[view]
    with CaseStore(home).reading() as database:
        plan = " ".join(str(row) for row in database.execute(text(f"EXPLAIN QUERY PLAN {query}")))
    assert index in plan
    assert "TEMP B-TREE" not in plan


def test_p7_11_a_closed_case_is_reopened_once_with_a_reason_and_a_deadline(cases: Cases) -> None:
    closed = cases.close(1, "ada", "reviewed", NOON)
    assert (closed.closed, closed.closed_by) == (NOON, "ada")
    with pytest.raises(MalformedActError):
        cases.reopen(1, "bo", " ", DUE, LATER)
    again = cases.reopen(1, "bo", "one was forgotten", DUE, LATER)
    assert (again.status, again.due, again.holder) == (Status.OPEN, DUE, None)
    assert (again.closed, again.closed_by) == (None, None)
    with pytest.raises(CaseConflictError):
        cases.reopen(1, "bo", "twice", DUE, LATER)
    assert [each.act for each in cases.acts(1)] == ["closed", "reopened"]


def test_p7_12_a_comment_is_an_act_also_of_a_closed_case(cases: Cases) -> None:
    cases.close(1, "ada", "reviewed", NOON)
    cases.comment(1, "bo", "the branch agrees", LATER)
    last = cases.acts(1)[-1]
    assert (last.act, last.by, last.at, last.note) == (
        "commented",
        "bo",
        LATER,
        "the branch agrees",
    )
    for bad in ("", " ", "x" * 2001, "a\0b"):
        with pytest.raises(MalformedActError):
            cases.comment(1, "bo", bad, LATER)


def test_p7_13_a_case_is_assigned_by_its_holder_or_anybody_if_it_has_none(cases: Cases) -> None:
    assert cases.assign(1, "bo", "ada", NOON).holder == "bo"
    with pytest.raises(CaseConflictError, match="bo"):
        cases.assign(1, "ada", "ada", NOON)
    assert cases.assign(1, "ada", "bo", LATER).holder == "ada"
    with pytest.raises(MalformedActError, match="eve"):
        cases.assign(1, "eve", "ada", NOON)
    assert [(each.by, each.note) for each in cases.acts(1)] == [("ada", "bo"), ("bo", "ada")]


def test_p7_13_everybody_who_signed_in_can_be_assigned_once(cases: Cases) -> None:
    cases.sign_in("ada", "data-protection-officer", LATER)
    assert cases.assignees() == ["ada", "bo"]


def test_p7_14_all_or_none(cases: Cases) -> None:
    shown = {number: cases.case(number).version for number in (1, 2, 3)}
    cases.comment(2, "bo", "look at this first", NOON)
    cases.take(3, "bo", NOON)
    with pytest.raises(CaseConflictError) as refused:
        cases.take_all(shown, "ada", NOON)
    assert refused.value.numbers == (2, 3)
    assert cases.case(1).status is Status.OPEN
    now = {number: cases.case(number).version for number in (1, 2)}
    cases.take_all(now, "ada", NOON)
    now = {number: cases.case(number).version for number in (1, 2)}
    cases.close_all(now, "ada", "both hold", LATER)
    assert {cases.case(each).status for each in (1, 2)} == {Status.CLOSED}


def test_p7_14_at_most_25_at_once_and_at_least_one(cases: Cases) -> None:
    for shown in ({}, dict.fromkeys(range(1, 27), 0)):
        with pytest.raises(MalformedActError):
            cases.take_all(shown, "ada", NOON)
    cases.take_all(dict.fromkeys(range(1, 26), 0), "ada", NOON)

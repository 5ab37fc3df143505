"""The desk's pages of cases as view models and at their limits (7.9 to 7.16 of specs/portal.md)."""

import csv
import io
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
from starlette.testclient import TestClient

from portal.desk import case_tables
from portal.desk.case_tables import DeadlineClock
from portal.desk.office import SEARCHED, Office
from portal.operations.wiring import Product
from steward.cases.case_queue import NOBODY, CaseFilter, QueueOrder, QueueState
from tests.gate.world import NOON
from tests.portal.conftest import Clock
from tests.portal.desk import ME, furnish

CLOCKS = {
    timedelta(days=2, hours=23): DeadlineClock(False, "day", 2),
    timedelta(hours=23, minutes=59): DeadlineClock(False, "hour", 23),
    timedelta(minutes=59): DeadlineClock(False, "minute", 59),
    timedelta(seconds=5): DeadlineClock(False, "minute", 1),
    timedelta(): DeadlineClock(False, "minute", 1),
    -timedelta(seconds=5): DeadlineClock(True, "minute", 1),
    -timedelta(hours=3, minutes=1): DeadlineClock(True, "hour", 3),
    -timedelta(days=40): DeadlineClock(True, "day", 40),
}


@pytest.fixture
def office(product: Product, clock: Clock) -> Office:
    return furnish(product, clock)


@pytest.fixture
def desk(office: Office, visitor: TestClient) -> Iterator[TestClient]:
    visitor.post("/desk/login", data={"role": "account-manager"})
    yield visitor
    office.cases.close_store()
    office.outbox.close()


@pytest.mark.parametrize("away", CLOCKS)
def test_p7_10_the_time_to_a_deadline_is_in_the_largest_unit_rounded_down(away: timedelta) -> None:
    assert case_tables.deadline_clock(NOON + away, NOON) == CLOCKS[away]


def test_p7_10_a_late_case_says_by_how_much_in_every_language(
    desk: TestClient, clock: Clock
) -> None:
    clock.advance(days=9)
    desk.post("/desk/login", data={"role": "account-manager"})
    for language, late in (("en", "late by"), ("zh-CN", "已逾期"), ("de", "überfällig")):
        desk.post("/language", data={"language": language, "next": "/desk"})
        assert late in desk.get("/desk/cases").text


def test_p7_9_the_address_leaves_out_what_is_usual() -> None:
    assert case_tables.query(CaseFilter()) == ""
    wanted = CaseFilter(QueueState.CLOSED, None, "a b", NOBODY, QueueOrder.NEWEST)
    assert case_tables.query(wanted, 2) == "state=closed&scene=a+b&assignee=-&sort=newest&page=2"


@pytest.mark.parametrize("first", ["=", "+", "-", "@", "\t", "\r"])
def test_p7_15_no_cell_is_a_formula(first: str, office: Office) -> None:
    case = replace(office.cases.case(1), closed_by=f'{first}cmd("x")')
    (_, row) = csv.reader(io.StringIO("".join(case_tables.exported([case]))))
    assert row[-1] == f'\'{first}cmd("x")'


@pytest.mark.parametrize("case", ["", "1", "1.x", "x.1", "-1.1", "1.1.1"])
def test_p7_14_a_selection_that_no_page_sends_is_refused(desk: TestClient, case: str) -> None:
    assert desk.post("/desk/queue/take", data={"case": case}).status_code == 400


def test_p7_14_nothing_selected_and_the_same_case_twice_are_refused(desk: TestClient) -> None:
    for cases in ([], ["1.1", "1.2"]):
        assert desk.post("/desk/queue/take", data={"case": cases}).status_code == 400


def test_p7_16_an_entry_of_another_case_opens_nobody(desk: TestClient, office: Office) -> None:
    form = {"entry": "0", "reason": "curious"}
    assert 0 not in office.cases.entries(1)
    assert desk.post("/desk/cases/1/customers", data=form).status_code == 404
    assert office.register.entries(SEARCHED) == []


def test_p7_16_an_erased_customer_of_a_case_is_nobody_and_the_search_is_logged(
    desk: TestClient, office: Office, clock: Clock
) -> None:
    (entry,) = office.cases.entries(1)
    office.product.ledger.erase(ME, clock())
    page = desk.post("/desk/cases/1/customers", data={"entry": str(entry), "reason": "a letter"})
    assert "The search was recorded." in page.text
    (search,) = office.register.entries(SEARCHED)
    assert (search.about, search.open) == ("", {"by": "account-manager", "ground": "case"})


def test_p7_16_the_search_is_about_the_customer_and_names_the_case(
    desk: TestClient, office: Office
) -> None:
    (entry,) = office.cases.entries(1)
    page = desk.post("/desk/cases/1/customers", data={"entry": str(entry), "reason": "a letter"})
    assert ME in page.text
    ((search, private),) = office.register.of(ME, SEARCHED)
    assert search.open == {"by": "account-manager", "ground": "case"}
    assert private == {"reason": "case 1: a letter"}


def test_p7_14_a_conflict_names_the_case_above_the_present_state(
    desk: TestClient, office: Office, clock: Clock
) -> None:
    stale = {"case": f"1.{office.cases.case(1).version}", "note": "reviewed"}
    office.cases.comment(1, "bo", "wait for me", clock())
    for act in ("take", "close"):
        answer = desk.post(f"/desk/queue/{act}", data=stale, headers={"Accept": "text/html"})
        assert answer.status_code == 409
        assert "Case 1 has changed meanwhile" in answer.text
        assert 'href="/desk/cases/1"' in answer.text
    assert [each.id for each in office.cases.open_cases()] == [1]

"""The steward's desk (section 7 of specs/portal.md)."""

import re
from collections.abc import Iterator
from dataclasses import replace

import pytest
from starlette.testclient import TestClient

from ledger.events.envelope import Granted
from portal.auth.session import COOKIE as CUSTOMER_COOKIE
from portal.desk.office import SEARCHED, Office
from portal.operations.wiring import Product
from steward.oversight.review import ReviewOutcome
from tests.portal.conftest import Clock, browser, sign_in
from tests.portal.desk import ME, TEXT, furnish, say

PAGES = ["/desk", "/desk/cases", "/desk/cases/1", "/desk/cases/1/customers", "/desk/reviews"]
PAGES += ["/desk/cases?state=all&kind=withdrawal&sort=newest&assignee=-", "/desk/contracts"]
PAGES += ["/desk/agreements", "/desk/jobs"]
WRITES = {
    "/desk/cases/1/take": {},
    "/desk/cases/1/assign": {"to": "account-manager"},
    "/desk/cases/1/comment": {"text": "asked the branch"},
    "/desk/cases/1/reopen": {"reason": "not finished"},
    "/desk/cases/1/customers": {"entry": "0", "reason": "letter"},
    "/desk/queue/take": {"case": "1.1"},
    "/desk/queue/close": {"case": "1.1", "note": "reviewed"},
    "/desk/cases/1/close": {"note": "reviewed"},
    "/desk/reviews/1/approve": {"reason": "checked"},
    "/desk/contracts/check": {},
    "/desk/customers": {"customer": ME, "ground": "audit", "reason": "sample"},
}


@pytest.fixture
def office(product: Product, clock: Clock) -> Office:
    return furnish(product, clock)


@pytest.fixture
def desk(office: Office, visitor: TestClient) -> Iterator[TestClient]:
    """An account manager, signed in, at a desk with something on it."""
    assert office.product.home.exists()
    enter(visitor)
    yield visitor
    office.cases.close_store()
    office.outbox.close()


def enter(client: TestClient, role: str = "account-manager") -> TestClient:
    answer = client.post("/desk/login", data={"role": role}, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/desk")
    return client


def test_every_page_speaks_every_language(desk: TestClient) -> None:
    for language in ("en", "zh-CN", "de"):
        desk.post("/language", data={"language": language, "next": "/desk"})
        for path in PAGES:
            page = desk.get(path)
            assert (page.status_code, f'<html lang="{language}" ' in page.text) == (200, True), path


def test_nobody_sees_or_does_anything_without_signing_in(
    office: Office, visitor: TestClient
) -> None:
    assert "nobody is asked for a password" in visitor.get("/desk").text
    for path in PAGES[1:]:
        answer = visitor.get(path, follow_redirects=False)
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
    for path, form in WRITES.items():
        assert visitor.post(path, data=form, follow_redirects=False).status_code == 303
    assert len(office.reviews.waiting()) == 1
    assert office.register.entries(SEARCHED) == []


def test_a_customer_is_no_steward_and_a_steward_no_customer(
    office: Office, visitor: TestClient
) -> None:
    sign_in(visitor, ME)
    assert visitor.get("/desk/cases", follow_redirects=False).status_code == 303
    visitor.cookies.delete(CUSTOMER_COOKIE)
    enter(visitor)
    assert visitor.get("/desk/cases").status_code == 200
    assert visitor.get("/customer", follow_redirects=False).status_code == 303
    assert office.product.ledger.size


def test_without_the_demonstration_there_is_no_demo_login(product: Product, clock: Clock) -> None:
    settings = product.settings.model_copy(update={"demo": False})
    with browser(replace(product, settings=settings), clock) as client:
        assert "account manager" not in client.get("/desk").text
        assert client.post("/desk/login", data={"role": "account-manager"}).status_code == 401


def test_an_unknown_role_does_not_sign_in(visitor: TestClient) -> None:
    assert visitor.post("/desk/login", data={"role": "owner"}).status_code == 401


def test_leaving_the_desk_ends_the_session(desk: TestClient) -> None:
    desk.post("/desk/logout")
    assert desk.get("/desk/cases", follow_redirects=False).status_code == 303


def test_todays_page_shows_what_waits(desk: TestClient) -> None:
    page = desk.get("/desk").text
    assert "Nearest branch" in page
    assert "permission withdrawn" in page
    assert "1 decision waits." in page
    assert "three times in a row" in page
    assert "Authorisation coverage" in page


def test_a_case_is_taken_and_closed_with_a_note(desk: TestClient, office: Office) -> None:
    assert "Take this case" in desk.get("/desk/cases/1").text
    page = desk.post("/desk/cases/1/take").text
    assert "Take this case" not in page
    page = desk.post("/desk/cases/1/close", data={"note": "postcode area agreed"}).text
    assert "postcode area agreed" in page
    assert office.cases.open_cases() == []
    assert [each.by for each in office.cases.acts(1)][1:] == ["account-manager"] * 2


def test_a_case_somebody_else_took_is_not_taken_away(desk: TestClient, office: Office) -> None:
    desk.post("/desk/cases/1/take")
    enter(desk, "data-protection-officer")
    for path in ("take", "close"):
        answer = desk.post(f"/desk/cases/1/{path}", data={"note": "mine"})
        assert answer.status_code == 409
        assert "Somebody was faster" in answer.text
    assert len(office.cases.open_cases()) == 1


def test_a_case_that_is_not_there_is_not_found(desk: TestClient) -> None:
    for path in ("/desk/cases/99", "/desk/cases/99/take"):
        answer = desk.post(path) if path.endswith("take") else desk.get(path)
        assert answer.status_code == 404
    assert desk.get("/desk/cases/0").status_code == 400


VERDICTS = {
    ReviewOutcome.APPROVE: ("We will refund the fee <b>today</b>.", TEXT),
    ReviewOutcome.EDIT: ("We will look into it.", "We will look into it."),
    ReviewOutcome.REFUSE: (TEXT, None),
}


@pytest.mark.parametrize("verdict", ReviewOutcome)
def test_a_person_decides_at_the_desk(
    verdict: ReviewOutcome, desk: TestClient, office: Office
) -> None:
    typed, released = VERDICTS[verdict]
    (waiting,) = office.reviews.waiting()
    form = {"reason": "checked with the branch", "text": typed}
    assert desk.post(f"/desk/reviews/{waiting.number}/{verdict}", data=form).status_code == 200
    ruling = office.reviews.decision(waiting.number, ME, "care-desk")
    assert ruling is not None
    assert (ruling.verdict, ruling.text, ruling.by) == (verdict, released, "account-manager")
    again = desk.post(f"/desk/reviews/{waiting.number}/{verdict}", data=form)
    assert again.status_code == 409


def test_the_words_of_a_service_are_escaped_and_a_deadline_passes(
    desk: TestClient, clock: Clock
) -> None:
    page = desk.get("/desk/reviews").text
    assert "&lt;b&gt;today&lt;/b&gt;" in page
    assert "overdue" not in page
    clock.advance(hours=24)
    enter(desk)
    assert "overdue" in desk.get("/desk/reviews").text


def test_a_decision_without_a_reason_is_none(desk: TestClient, office: Office) -> None:
    number = office.reviews.waiting()[0].number
    for form in ({}, {"reason": " "}, {"reason": "x" * 501}):
        assert desk.post(f"/desk/reviews/{number}/refuse", data=form).status_code == 400
    assert desk.post(f"/desk/reviews/{number}/burn", data={"reason": "x"}).status_code == 400
    assert len(office.reviews.waiting()) == 1


def test_after_erasure_a_proposal_can_only_be_refused(
    desk: TestClient, office: Office, clock: Clock
) -> None:
    office.product.ledger.erase(ME, clock())
    page = desk.get("/desk/reviews").text
    assert "This customer was erased" in page
    assert "Approve" not in page
    number = office.reviews.waiting()[0].number
    assert desk.post(f"/desk/reviews/{number}/refuse", data={"reason": "gone"}).status_code == 200


def test_missed_contracts_are_shown_with_their_substitute(desk: TestClient) -> None:
    page = desk.get("/desk/contracts").text
    assert "In: Nearest branch by location." in page
    assert "Missed 4 times in a row" in page
    assert "names no substitute that is in order" in page  # its substitute misses as well
    assert "arrives late" in page
    assert "<bdi>Text message platform</bdi> › <bdi>Customer relationship system</bdi>" in page


def test_the_health_of_all_agreements_is_shown_over_time(desk: TestClient, clock: Clock) -> None:
    before = desk.get("/desk/agreements").text.count("<circle")
    assert before > 0
    clock.advance(days=3)
    enter(desk)
    assert desk.post("/desk/contracts/check").status_code == 200
    after = desk.get("/desk/agreements").text
    assert after.count("<circle") > before
    assert ">21 Nov<" in after
    assert ">24 Nov<" in after


def test_contracts_are_checked_at_the_press_of_a_button(
    desk: TestClient, office: Office, clock: Clock
) -> None:
    assert desk.post("/desk/contracts/check").status_code == 200
    assert office.contracts.last_run() == clock()
    assert desk.post("/desk/contracts/check").status_code == 409


def test_the_aggregate_follows_the_ledger(
    desk: TestClient, office: Office, product: Product, clock: Clock
) -> None:
    before = desk.get("/desk/agreements").text
    say(product, clock, Granted("segmentation", ("age", "job"), None))
    assert desk.get("/desk/agreements").text != before
    total = office.agreements(clock()).total
    fresh = Office(product).agreements(clock())
    assert total == fresh.total


def test_a_search_is_logged_with_its_reason_before_anything_is_shown(
    desk: TestClient, office: Office, product: Product
) -> None:
    name = str((product.gate.source.row(ME, ["name"]) or {})["name"])
    reads = len([*product.reads_of(ME)])
    form = {"customer": ME, "ground": "complaint", "reason": "letter of Monday"}
    page = desk.post("/desk/customers", data=form).text
    assert name in page
    assert "Looked up 1 time in all." in page
    ((entry, private),) = office.register.of(ME, SEARCHED)
    assert entry.open == {"by": "account-manager", "ground": "complaint"}
    assert private == {"reason": "letter of Monday"}
    assert len([*product.reads_of(ME)]) == reads + 1  # the customer sees that the name was read
    assert "Looked up 2 times in all." in desk.post("/desk/customers", data=form).text


BAD_SEARCHES = {
    "without a reason": {"customer": ME, "ground": "audit"},
    "with a blank one": {"customer": ME, "ground": "audit", "reason": "  "},
    "without a ground": {"customer": ME, "reason": "sample"},
    "on a ground of one's own": {"customer": ME, "ground": "curiosity", "reason": "sample"},
}


def test_nobody_is_looked_up_without_a_ground_and_a_reason(
    desk: TestClient, office: Office
) -> None:
    for why, form in BAD_SEARCHES.items():
        assert desk.post("/desk/customers", data=form).status_code == 400, why
    assert office.register.entries(SEARCHED) == []


def test_a_search_for_somebody_without_an_agreement_says_nothing_and_is_logged(
    desk: TestClient, office: Office
) -> None:
    pages = []
    for customer in ("c00059", "nobody"):  # a customer who never said anything, and none at all
        form = {"customer": customer, "ground": "audit", "reason": "sample"}
        pages.append(desk.post("/desk/customers", data=form).text)
    without = [re.sub(r'name="customer" value="[^"]*"', "", each) for each in pages]
    assert without[0] == without[1], "but for the form of the choice of a language"
    assert "The search was recorded." in pages[0]
    assert [each.about != "" for each in office.register.entries(SEARCHED)] == [True, False]


def test_no_page_names_a_customer_and_only_a_review_says_about_whom(
    desk: TestClient, product: Product
) -> None:
    row = product.gate.source.row(ME, ["name", "email", "phone"]) or {}
    for path in PAGES:
        page = desk.get(path).text
        assert not [value for value in row.values() if str(value) in page], path
        assert (ME in page) is (path == "/desk/reviews"), path


def test_another_site_cannot_make_a_steward_do_anything(desk: TestClient) -> None:
    crossing = {"Sec-Fetch-Site": "cross-site"}
    for path, form in WRITES.items():
        assert desk.post(path, data=form, headers=crossing).status_code == 403, path
        if not path.endswith("/customers"):
            assert desk.get(path).status_code == 405, path  # a GET never writes


def test_changing_the_language_after_a_search_does_not_repeat_it(
    desk: TestClient, office: Office
) -> None:
    desk.post("/desk/customers", data=WRITES["/desk/customers"])
    page = desk.post("/language", data={"language": "zh-CN", "next": "/desk/customers"})
    assert page.status_code == 200
    assert page.url.path == "/desk/agreements"
    assert len(office.register.entries(SEARCHED)) == 1


def test_a_source_that_is_down_is_said_to_be(
    desk: TestClient, product: Product, clock: Clock
) -> None:
    class Down:
        key = "id"

        def open(self, _name: str) -> None:
            return None

    with browser(replace(product, tables=Down()), clock) as client:
        clock.advance(hours=1)
        answer = enter(client).post("/desk/contracts/check")
    assert answer.status_code == 503
    assert "Nothing was checked" in answer.text

"""M11: a steward's day with cases at the desk (clauses 7.9 to 7.16 of specs/portal.md)."""

import csv
import io
import re

import pytest

from tests.features.catalogue import feature
from tests.features.served import Person, Site, wait_for

CASE = re.compile(r'href="/desk/cases/(\d+)"')
PICK = re.compile(r'name="case" value="((\d+)\.\d+)"')
CHOICE = re.compile(r'name="entry" value="(\d+)"')
SCENES = ("segmentation", "lead-scoring", "recommendation")


@pytest.fixture
def manager(site: Site) -> Person:
    return site.steward()


@pytest.fixture
def officer(site: Site) -> Person:
    return site.steward("data-protection-officer")


def left(manager: Person, customer: Person, scene: str) -> int:
    """The case of this customer's withdrawal from a scene."""
    customer.switch(scene, "allow")
    customer.switch(scene, "withdraw")
    entry = str(customer.receipts()[0])

    def filed() -> int | None:
        queue = manager.page(f"/desk/cases?scene={scene}&kind=withdrawal&sort=newest")
        for number in dict.fromkeys(CASE.findall(queue.html)):
            if entry in CHOICE.findall(manager.page(f"/desk/cases/{number}/customers").html):
                return int(number)
        return None

    return wait_for(filed, f"case of the withdrawal from {scene}")


def listed(person: Person, query: str) -> set[int]:
    return {int(each) for each in CASE.findall(person.page(f"/desk/cases?{query}").html)}


def picks(person: Person, query: str, *cases: int) -> list[str]:
    """What ticking these cases sends."""
    shown = {int(number): value for value, number in PICK.findall(person.page(query).html)}
    return [shown[each] for each in cases]


@feature("M11")
def test_p7_9_the_queue_is_filtered_by_its_address(manager: Person, customer: Person) -> None:
    case = left(manager, customer, SCENES[0])
    for query in ("", "state=open", f"scene={SCENES[0]}", "kind=withdrawal", "assignee=-"):
        assert case in listed(manager, query), query
    for query in ("state=taken", "state=closed", "scene=lead-scoring", "kind=freeze"):
        assert case not in listed(manager, query), query
    page = manager.page(f"/desk/cases?state=open&scene={SCENES[0]}&sort=age")
    for chosen in ("open", SCENES[0], "age"):
        assert f'<option value="{chosen}" selected>' in page.html
    for query in ("state=lost", "kind=x", "sort=name", "page=0", "page=401"):
        assert manager.client.get(f"/desk/cases?{query}").status_code == 400, query


@feature("M11")
def test_p7_10_an_open_case_says_how_long_is_left(manager: Person, customer: Person) -> None:
    case = left(manager, customer, SCENES[0])
    assert re.search(r"\d+ (days?|hours?|minutes?) left", manager.page(f"/desk/cases/{case}").html)


@feature("M11")
def test_p7_11_p7_12_a_closed_case_stays_with_comments_and_is_reopened(
    manager: Person, customer: Person
) -> None:
    case = left(manager, customer, SCENES[1])
    place = f"/desk/cases/{case}"
    manager.press(manager.page(place), f"{place}/comment", text="asked the sales team")
    manager.press(manager.page(place), f"{place}/close", note="the fallback holds")
    assert case not in listed(manager, "")
    assert case in listed(manager, "state=closed")
    page = manager.page(place)
    assert "asked the sales team" in page.html
    assert "Closed by" in page.html
    assert "the fallback holds" in page.html
    again = manager.press(page, f"{place}/reopen", reason="one use was forgotten")
    assert again.status == 200
    assert "one use was forgotten" in again.html
    assert case in listed(manager, "state=open")
    assert case not in listed(manager, "state=closed")


@feature("M11")
def test_p7_13_a_case_is_assigned_and_only_its_holder_passes_it_on(
    manager: Person, officer: Person, customer: Person
) -> None:
    case = left(manager, customer, SCENES[2])
    place = f"/desk/cases/{case}"
    page = manager.page(place)
    assert manager.press(page, f"{place}/assign", to="data-protection-officer").status == 200
    assert case in listed(manager, "assignee=data-protection-officer")
    refused = manager.press(page, f"{place}/assign", to="account-manager")
    assert refused.status == 409
    assert "Somebody was faster" in refused.html
    assert "<bdi>data-protection-officer</bdi>" in refused.html, "the present state"
    assert officer.press(officer.page(place), f"{place}/assign", to="nobody").status == 400
    officer.press(officer.page(place), f"{place}/assign", to="account-manager")
    assert case in listed(manager, "assignee=account-manager")


@feature("M11")
def test_p7_14_cases_are_taken_and_closed_together_or_not_at_all(
    manager: Person, officer: Person, customer: Person
) -> None:
    first, second = (left(manager, customer, each) for each in ("ai-training", "nearest-branch"))
    queue = "/desk/cases?state=open&sort=newest"
    stale = picks(manager, queue, first, second)
    officer.press(officer.page(f"/desk/cases/{first}"), f"/desk/cases/{first}/take")
    address = "/desk/queue/take?state=open&sort=newest"
    answer = manager.client.post(address, data={"case": stale})
    assert answer.status_code == 409
    assert f"Case {first} has changed" in answer.text
    assert second in listed(manager, "state=open"), "nothing happened"
    officer.press(
        officer.page(f"/desk/cases/{first}"), f"/desk/cases/{first}/assign", to="account-manager"
    )
    both = picks(manager, "/desk/cases?sort=newest", first, second)
    closing = {"case": both, "note": "both fallbacks hold"}
    done = manager.client.post("/desk/queue/close?sort=newest", data=closing)
    assert (done.status_code, done.url.query) == (200, b"sort=newest")
    assert {first, second} <= listed(manager, "state=closed&sort=newest")
    for each in (first, second):
        assert "both fallbacks hold" in manager.page(f"/desk/cases/{each}").html


@feature("M11")
def test_p7_15_the_export_has_the_filtered_cases_and_no_customer(
    site: Site, manager: Person, customer: Person
) -> None:
    case = left(manager, customer, SCENES[0])
    care = site.read("customer-care", "contract-service", customer.subject, "name")
    answer = manager.client.get(f"/desk/cases.csv?scene={SCENES[0]}")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    rows = [*csv.DictReader(io.StringIO(answer.text))]
    assert str(case) in {each["case"] for each in rows}
    assert {each["scene"] for each in rows} == {SCENES[0]}
    for private in (customer.subject, care["fields"]["name"]["value"]):
        assert private not in answer.text


@feature("M11")
def test_p7_16_a_customer_of_a_case_is_opened_with_a_reason_and_sees_it(
    site: Site, manager: Person, customer: Person
) -> None:
    case = left(manager, customer, SCENES[0])
    place, entry = f"/desk/cases/{case}/customers", str(customer.receipts()[0])
    name = site.read("customer-care", "contract-service", customer.subject, "name")
    shown = manager.page(place)
    assert customer.subject not in shown.html
    assert manager.press(shown, place + "?page=1", entry=entry, reason=" ").status == 400
    before = customer.page("/customer/reads").html.count("<li>")
    found = manager.press(shown, place + "?page=1", entry=entry, reason="asks for a call")
    assert name["fields"]["name"]["value"] in found.html
    assert customer.page("/customer/reads").html.count("<li>") > before


@feature("M25")
def test_p7_16_proposals_are_folded_and_have_pages(
    site: Site, manager: Person, customer: Person
) -> None:
    customer.switch(SCENES[0], "allow")  # who decided nothing has no key to seal a proposal with
    numbers = []
    for number in range(27):
        text = f"We will refund the fee of booking {number}."
        body = {"subject": customer.subject, "text": text}
        numbers.append(site.ask("branch-finder", "/v1/proposals", body).json()["number"])
    first = manager.page("/desk/reviews")
    assert first.html.count("<details>") == 25
    assert 'href="?page=2"' in first.html
    assert "<details>" in manager.page("/desk/reviews?page=2").html
    for each in numbers:  # other tests of this site look for their own on the first page
        refused = manager.client.post(f"/desk/reviews/{each}/refuse", data={"reason": "a test"})
        assert refused.status_code == 200

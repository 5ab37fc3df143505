"""M37: one page names every recipient, what it holds and when it last read, and stops it."""

import re
from datetime import UTC, datetime

from tests.features.catalogue import feature
from tests.features.page import Page
from tests.features.served import Person, Site, views

PLACE = "/customer/recipients"
SCENE, SERVICE = "recommendation", "recommender"
ANOTHER, OF_ANOTHER = "lead-scoring", "sales-desk"
PARTNERS = "third-party-sharing"


def line(page: Page, service: str) -> str:
    """The text of one recipient's line."""
    start = page.html.index(f'id="{service}"')
    return " ".join(re.sub(r"<[^>]*>", " ", page.html[start:].partition("</article>")[0]).split())


def personal(site: Site, customer: Person, service: str, scene: str, *fields: str) -> set[str]:
    answer = site.read(service, scene, customer.subject, *fields)
    return {name for name, view in views(answer).items() if view == "personal"}


def sent_by(page: Page, address: str) -> dict[str, str]:
    return dict(page.button(address).fields)


@feature("M37")
def test_the_page_says_what_a_recipient_was_given_and_when(site: Site, customer: Person) -> None:
    before = line(customer.page(PLACE), SERVICE)
    assert "May not read your data now" in before
    assert "Nothing of yours, ever." in before
    assert personal(site, customer, SERVICE, SCENE, "age") == set(), "drawn values are not theirs"
    assert "Nothing of yours, ever." in line(customer.page(PLACE), SERVICE)
    customer.switch(SCENE, "allow")
    assert personal(site, customer, SERVICE, SCENE, "age", "job") == {"age", "job"}
    after, today = line(customer.page(PLACE), SERVICE), datetime.now(UTC)
    assert "May read your data now" in after
    for title in ("Age", "Occupation"):
        assert re.search(rf"{title}.{{0,20}} last on {today.day} {today:%B %Y}", after)
    assert "Nothing of yours, ever." in line(customer.page(PLACE), OF_ANOTHER)


@feature("M37")
def test_one_press_stops_a_recipient_and_leaves_the_others(site: Site, customer: Person) -> None:
    for scene in (SCENE, ANOTHER):
        customer.switch(scene, "allow")
    assert personal(site, customer, SERVICE, SCENE, "age") == {"age"}
    receipts = len(customer.receipts())
    shown = customer.page(PLACE)
    assert "Stopping ends: Personalised recommendations." in line(shown, SERVICE)
    answer = customer.press(shown, f"{PLACE}/{SERVICE}/stop")
    assert answer.status == 200
    assert "From now on these uses get nothing personal of you." in answer.html
    assert personal(site, customer, SERVICE, SCENE, "age") == set()
    assert personal(site, customer, OF_ANOTHER, ANOTHER, "age") == {"age"}
    stopped = line(answer, SERVICE)
    assert "May not read your data now" in stopped
    assert "last on" in stopped, "what it was given it has"
    assert len(customer.receipts()) == receipts + 1
    assert (
        "Stop the uses that are named beside the button" in customer.page("/customer/history").html
    ), "the words that were seen"


@feature("M37")
def test_everything_is_refused_in_one_press_and_nothing_is_allowed_in_bulk(
    site: Site, customer: Person
) -> None:
    for scene in (SCENE, ANOTHER, PARTNERS):
        customer.switch(scene, "allow")
    page = customer.page(PLACE)
    assert not [each for each in page.buttons() if "allow" in each.address]
    answer = customer.press(page, f"{PLACE}/stop")
    assert answer.status == 200
    assert personal(site, customer, SERVICE, SCENE, "age") == set()
    assert personal(site, customer, OF_ANOTHER, ANOTHER, "age") == set()
    assert f'action="{PLACE}/stop"' not in answer.html, "there is nothing left to stop"
    assert re.search(r'class="count"><strong>0</strong>', customer.page("/customer").html)
    locked = line(answer, "customer-care")
    assert "That goes on." in locked, "a contract is not ended by a switch"
    assert personal(site, customer, "customer-care", "contract-service", "name") == {"name"}


def test_a_press_on_changed_words_and_on_nobody_is_refused(customer: Person) -> None:
    customer.switch(SCENE, "allow")
    sent = sent_by(customer.page(PLACE), f"{PLACE}/{SERVICE}/stop")
    forged = dict.fromkeys(sent, f"en.{'0' * 64}")
    assert customer.client.post(f"{PLACE}/{SERVICE}/stop", data=forged).status_code == 409
    assert customer.client.post(f"{PLACE}/nobody/stop", data=sent).status_code == 404
    assert "May read your data now" in line(customer.page(PLACE), SERVICE)


def test_a_recipient_is_found_by_its_name(customer: Person) -> None:
    assert 'id="recommender"' in customer.page(f"{PLACE}?find=RECOMM").html
    assert 'id="sales-desk"' not in customer.page(f"{PLACE}?find=RECOMM").html
    assert "No recipient has this name." in customer.page(f"{PLACE}?find=zzz").html

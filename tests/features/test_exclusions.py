"""M6, M18: items left out stay out, tabs of several scenes do not conflict, partners are named."""

from collections.abc import Mapping
from typing import Any

from tests.features.catalogue import feature
from tests.features.page import Page
from tests.features.served import Person, Site, views

SCENE, SERVICE = "recommendation", "recommender"
PLACE = f"/customer/scenes/{SCENE}"
LEFT_OUT = "age"


def items(page: Page) -> Mapping[str, bool]:
    """The items of the scene's page, and whether each is allowed."""
    found = [each for each in page.buttons() if each.address.endswith("/allow")]
    prefix = f"{PLACE}/items/"
    return {
        each.address.removeprefix(prefix).removesuffix("/allow"): bool(each.pressed)
        for each in found
        if each.address.startswith(prefix)
    }


def personal(site: Site, customer: Person, *fields: str) -> set[str]:
    answer: dict[str, Any] = site.read(SERVICE, SCENE, customer.subject, *fields)
    return {name for name, view in views(answer).items() if view == "personal"}


@feature("M6")
def test_an_item_that_was_left_out_stays_out_when_the_scene_is_switched_off_and_on(
    site: Site, customer: Person
) -> None:
    customer.switch(SCENE, "allow")
    everything = items(customer.page(PLACE))
    assert all(everything.values())
    assert len(everything) > 2
    customer.switch_item(SCENE, LEFT_OUT, "withdraw")
    some = {**everything, LEFT_OUT: False}
    for _ in range(2):
        assert items(customer.page(PLACE)) == some
        customer.switch(SCENE, "withdraw")
        assert "You left out: " in customer.page(PLACE).html, "which is told before the press"
        customer.switch(SCENE, "allow")
    assert items(customer.page(PLACE)) == some
    assert personal(site, customer, *everything) == {*everything} - {LEFT_OUT}
    assert "Pressing “Allowed” allows the rest" in customer.page(PLACE).html
    customer.switch(SCENE, "allow")  # of some, which is how one widens
    assert items(customer.page(PLACE)) == everything
    customer.switch(SCENE, "withdraw")
    customer.switch(SCENE, "allow")
    assert items(customer.page(PLACE)) == everything


@feature("M6")
def test_one_item_that_was_allowed_alone_is_allowed_alone_again(customer: Person) -> None:
    customer.switch_item(SCENE, LEFT_OUT, "allow")
    alone = items(customer.page(PLACE))
    assert [name for name, allowed in alone.items() if allowed] == [LEFT_OUT]
    customer.switch(SCENE, "withdraw")
    customer.switch(SCENE, "allow")
    assert items(customer.page(PLACE)) == alone


@feature("M18")
def test_an_act_on_another_scene_in_another_tab_is_no_conflict(
    site: Site, customer: Person
) -> None:
    tab = customer.page("/customer")
    customer.switch("lead-scoring", "allow")
    assert customer.press(tab, f"{PLACE}/allow").status == 200
    assert personal(site, customer, "age") == {"age"}
    assert customer.press(tab, "/customer/scenes/lead-scoring/withdraw").status == 409


def test_the_first_page_names_the_partners_of_whom_it_speaks(customer: Person) -> None:
    card = customer.page("/customer").html.partition('<article id="third-party-sharing"')[2]
    card = card.partition("</article>")[0]
    assert "the two partners named here" in card
    assert "Harbour Insurance" in card
    assert "Meadow Travel" in card

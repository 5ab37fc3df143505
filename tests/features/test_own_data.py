"""M37: a customer sees their own values, and beside each what services are answered of it."""

import json
import re
from html import unescape
from typing import Any

import pytest

from tests.features.catalogue import feature
from tests.features.page import Page
from tests.features.served import Person, Site, sovereign, views, wait_for

PLACE = "/customer/data"
SCENE, SERVICE = "recommendation", "recommender"
USE, TITLE = "Personalised recommendations", "Age"
YOU = "You, yourself"


def text(html: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", html)).split())


def card(page: Page, item: str) -> str:
    """The markup of one item's card."""
    start = page.html.index(f'id="{item}"')
    return page.html[start:].partition("</article>")[0]


def seen(page: Page, item: str, scene: str) -> str:
    """What services of one scene see of an item: the mark and the value."""
    parts = card(page, item).split('<div class="seen">')[1:]
    (found,) = [each for each in parts if f'href="/customer/scenes/{scene}"' in each]
    return text(found.partition("<ul")[0])


def own(page: Page, item: str) -> str:
    return text(re.search(r'<dd class="own-value">(.*?)</dd>', card(page, item))[1])  # type: ignore[index]


def looked(customer: Person) -> Page:
    answer = customer.press(customer.page(PLACE), PLACE)
    assert answer.status == 200, answer.html
    return answer


def answered(site: Site, customer: Person, item: str) -> tuple[str, str]:
    read = site.read(SERVICE, SCENE, customer.subject, item)
    return views(read)[item], str(read["fields"][item]["value"])


@feature("M37")
def test_3_26_own_values_stand_beside_what_a_service_is_answered(
    site: Site, customer: Person
) -> None:
    customer.switch(SCENE, "allow")
    page = looked(customer)
    view, value = answered(site, customer, "age")
    assert view == "personal"
    assert own(page, "age") == value
    assert seen(page, "age", SCENE) == f"Your data {value}"
    customer.switch(SCENE, "withdraw")
    after = looked(customer)
    assert own(after, "age") == value, "what is stored is the same"
    view, drawn = answered(site, customer, "age")
    if view == "synthetic":
        assert seen(after, "age", SCENE) == f"Made up {drawn}"
    else:
        assert (view, seen(after, "age", SCENE)) == ("withheld", "Withheld")


@feature("M37")
def test_3_26_every_drawn_value_is_the_one_that_is_answered(site: Site, customer: Person) -> None:
    page, scene, service = looked(customer), "segmentation", "analytics"
    fields = [
        item
        for item in re.findall(r'<article class="card" id="([^"]+)"', page.html)
        if f'href="/customer/scenes/{scene}"' in card(page, item)
    ]
    read = site.read(service, scene, customer.subject, *fields)
    shown = {"personal": "Your data", "synthetic": "Made up", "generalised": "Less exact"}
    assert {*views(read).values()} >= {"synthetic"}
    for item, view in views(read).items():
        value = read["fields"][item]["value"]
        wanted = "Withheld" if view == "withheld" else f"{shown[view]} {value}"
        assert seen(page, item, scene) == wanted, item


@feature("M37")
def test_3_25_looking_is_a_read_of_the_customers_own(site: Site, customer: Person) -> None:
    customer.page(PLACE)
    assert YOU not in customer.page("/customer/reads").html, "a GET shows and logs nothing"
    shown = customer.page("/customer/recipients").html
    looked(customer)
    reads = customer.page("/customer/reads").html
    assert reads.count(YOU) == 1
    assert "You looked at your own data here." in reads
    assert "required by law" in reads
    assert customer.page("/customer/recipients").html.count("last on") == shown.count("last on")
    for service in (SERVICE, "analytics", "customer-care"):
        assert f"<bdi>{service}</bdi>" not in reads


@feature("M37")
def test_g310_a_replay_checks_the_entry(site: Site, customer: Person) -> None:
    looked(customer)
    read = site.read(SERVICE, SCENE, customer.subject, "age")
    log = str(read["read_log"]).rpartition("/")[2]

    def checked() -> dict[str, Any] | None:
        """The report, once the log that has the entry is anchored."""
        ran = sovereign("replay", log, "--data-dir", site.home, "--json")
        report: dict[str, Any] = json.loads(ran.stdout)
        assert not report["differences"]
        return report if ran.returncode == 0 and report["entries"] > read["entry"] else None

    wait_for(checked, "replay of an anchored log")


def test_3_25_a_get_shows_no_value(customer: Person) -> None:
    page = customer.page(PLACE)
    assert "own-value" not in page.html
    assert "May read it now" in page.html
    assert len(looked(customer).html.encode()) < 60_000


@pytest.mark.parametrize("place", ["/customer/recipients", "/customer/map"])
def test_3_24_other_pages_lead_there(customer: Person, place: str) -> None:
    assert f'href="{PLACE}"' in customer.page(place).html

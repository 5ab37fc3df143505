"""M16: everything that happened to a customer's permissions and data, in one list with proofs."""

import csv
import io
import re

import pytest

from tests.features.catalogue import feature
from tests.features.page import Page
from tests.features.served import Person, Site

PLACE = "/customer/timeline"
SCENE, SERVICE = "recommendation", "recommender"
OLDER = re.compile(r'href="(/customer/timeline\?[^"]*reads=[^"]*)"')
TIME = re.compile(r'<time datetime="([^"]+)"')
LINE = re.compile(r'<li class="([a-z-]+)">(.*?)</li>', re.DOTALL)


@pytest.mark.parametrize("place", ["/customer/reads", "/customer/history"])
def test_3_28_a_page_beyond_the_last_does_not_say_that_nothing_happened(
    customer: Person, place: str
) -> None:
    customer.switch("segmentation", "allow")
    nothing = ("Nobody has read your data yet.", "You have not decided anything yet.")
    far = customer.page(f"{place}?page=99999").html
    assert "There is nothing on this page." in far
    assert 'href="?page=1"' in far
    assert not [each for each in nothing if each in far]


@feature("M16")
def test_3_32_every_kind_of_event_is_in_one_list_with_its_proof(
    site: Site, customer: Person
) -> None:
    customer.switch(SCENE, "allow")
    site.read(SERVICE, SCENE, customer.subject, "age", "job")
    steward = site.steward()
    asked = {"customer": customer.subject, "ground": "complaint", "reason": "letter of Monday"}
    assert steward.client.post("/desk/customers", data=asked).status_code == 200
    customer.switch(SCENE, "withdraw")
    shown = lines(customer.page(PLACE))
    decided = [text for kind, text in shown if kind == "decision"]
    receipts = customer.receipts()
    for receipt, text in zip(receipts, decided, strict=True):
        assert f"/customer/receipts/{receipt}/paper" in text
    (read,) = (text for kind, text in shown if kind == "read" and "Recommend" in text)
    assert "Age and Occupation" in read
    assert re.search(r"entry [\d,]+", read)
    (looked_up,) = (text for kind, text in shown if kind == "look-up")
    assert "letter of Monday" in looked_up
    assert "of the company" in looked_up
    moments = [TIME.findall(text)[0] for _, text in shown]
    assert moments == sorted(moments, reverse=True), "newest first"
    only = lines(customer.page(f"{PLACE}?kind=look-up"))
    assert [kind for kind, _ in only] == ["look-up"]
    assert customer.client.get(f"{PLACE}?kind=anything").status_code != 200


@feature("M16")
def test_3_32_pages_follow_without_a_gap_and_the_export_has_all_of_them(
    site: Site, customer: Person
) -> None:
    customer.switch(SCENE, "allow")
    for _ in range(52):
        site.read(SERVICE, SCENE, customer.subject, "age")
    customer.switch(SCENE, "withdraw")
    first = customer.page(PLACE)
    (older,) = OLDER.findall(first.html)
    second = customer.page(older.replace("&amp;", "&"))
    assert not OLDER.findall(second.html)
    table = customer.client.get(f"{PLACE}.csv")
    rows = [*csv.DictReader(io.StringIO(table.text))]
    listed = customer.client.get(f"{PLACE}.json").json()
    assert [each["text"] for each in rows] == [each["text"] for each in listed]
    assert len(lines(first)) == 50
    assert [kind for kind, _ in lines(first) + lines(second)] == [each["kind"] for each in listed]
    read = [each["entry"] for each in listed if each["kind"] == "read"]
    assert len(read) >= 52
    assert read == sorted({*read}, reverse=True)
    receipts = [each["proof"] for each in listed if each["kind"] == "decision"]
    assert receipts == [f"/customer/receipts/{each}" for each in customer.receipts()]
    only = customer.client.get(f"{PLACE}.json?kind=decision").json()
    assert [each["proof"] for each in only] == receipts


def lines(page: Page) -> list[tuple[str, str]]:
    """Kind and markup of each line."""
    return LINE.findall(page.plain)

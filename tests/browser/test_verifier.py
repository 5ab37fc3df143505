"""The verifier in the page: a second implementation, held to the same vectors as the first."""

import json
import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from portal.operations.wiring import Product
from tests.browser.conftest import Open

VECTORS = Path(__file__).parents[2] / "specs" / "vectors" / "inclusion.json"
SUBJECT = "c00007"
INCLUDED = """async vectors => {
  const { included } = await import("/static/verify.js");
  const bytes = text => Uint8Array.from(text.match(/../g) ?? [], pair => parseInt(pair, 16));
  return Promise.all(vectors.map(async v => {
    try {
      await included(bytes(v.leaf), v.index, v.size, bytes(v.root), v.proof.map(bytes));
      return true;
    } catch { return false; }
  }));
}"""
VERIFY_ALL = """async ([receipts, keys]) => {
  const { verify } = await import("/static/verify.js");
  return Promise.all(receipts.map(each => verify(each, keys).then(() => true, () => false)));
}"""


@pytest.fixture
def page(visit: Open) -> Page:
    return visit("/verify")


def receipt(house: Product) -> str:
    return house.ledger.receipt(house.ledger.history(SUBJECT)[0].index)


def key(house: Product) -> str:
    return (house.home / "keys" / "consent.vkey").read_text()


def test_it_agrees_with_every_vector(page: Page) -> None:
    vectors = json.loads(VECTORS.read_text())
    accepted = page.evaluate(INCLUDED, vectors)
    assert accepted == [each["mutation"] is None for each in vectors]


def test_it_accepts_receipts_and_refuses_every_change_of_what_it_checks(
    page: Page, house: Product
) -> None:
    good = receipt(house)
    signatures = good.index("\n\n", good.index("\n\n") + 2)
    checked = good.find("\n— ", signatures + 3)  # signatures by keys it was not given follow
    changed = [
        good[:at] + chr(ord(good[at]) ^ 1) + good[at + 1 :]
        for at in range(checked if checked > 0 else len(good))
    ]
    changed += [good + "\n", good[:-1], good.replace("\n", "\r\n"), good + good, "", " "]
    assert page.evaluate(VERIFY_ALL, [[good], key(house)]) == [True]
    assert not any(page.evaluate(VERIFY_ALL, [changed, key(house)]))


def test_it_says_how_many_signatures_it_did_not_check(page: Page, house: Product) -> None:
    good = receipt(house)
    page.fill("#receipt", good)
    page.click("#check button")
    unchecked = good.count("\n— ") - 1
    fact = page.locator("[data-fact=unchecked] dd")
    expect(fact).to_have_text(str(unchecked) if unchecked else "")


def test_it_accepts_what_the_company_said_in_public(page: Page, house: Product) -> None:
    public = [
        house.ledger.receipt(index) for index in range(house.ledger.size - 3, house.ledger.size)
    ]
    assert page.evaluate(VERIFY_ALL, [public, key(house)]) == [True] * 3


BAD_KEYS = {
    "nothing": "",
    "not a key": "key",
    "another log's": "reads",
    "one character changed": "changed",
}


@pytest.mark.parametrize("kind", BAD_KEYS.values(), ids=BAD_KEYS.keys())
def test_it_refuses_another_key(page: Page, house: Product, kind: str) -> None:
    good = key(house)
    found = {
        "changed": good[:-3] + ("A" if good[-3] != "A" else "B") + good[-2:],
        "reads": next((house.home / "keys").glob("reads-*.vkey")).read_text(),
    }
    assert page.evaluate(VERIFY_ALL, [[receipt(house)], found.get(kind, kind)]) == [False]


def test_the_page_says_what_was_proven_with_the_network_off(page: Page, house: Product) -> None:
    page.wait_for_load_state("networkidle")
    page.context.set_offline(True)
    page.fill("#receipt", receipt(house))
    page.click("#check button")
    expect(page.locator("#good")).to_be_visible()
    expect(page.locator("[data-fact=who] dd")).to_have_text(SUBJECT)
    expect(page.locator("[data-fact=scene] dd")).to_have_text("service-reminder")
    expect(page.locator("#bad")).to_be_hidden()


def test_the_page_shows_failure_as_clearly(page: Page, house: Product) -> None:
    page.fill("#receipt", receipt(house).replace("index ", "index 1"))
    page.click("#check button")
    expect(page.locator("#bad")).to_be_visible()
    expect(page.locator("#bad h2")).to_have_text("Not verified")
    expect(page.locator("#reason")).to_have_text(
        re.compile(r"is entry [\d,]+ of the log, but the log")
    )
    expect(page.locator("#good")).to_be_hidden()


REASONS = {
    "en": "This is not a receipt.",
    "zh-CN": "这不是回执。",
    "de": "Das ist kein Beleg.",
}


@pytest.mark.parametrize("language", REASONS)
def test_the_reason_is_in_the_readers_language(visit: Open, language: str) -> None:
    page = visit("/verify", language=language)
    page.fill("#receipt", "hello")
    page.click("#check button")
    expect(page.locator("#reason")).to_contain_text(REASONS[language])
    expect(page.locator("#unread")).to_be_hidden()


def test_what_a_browser_cannot_check_is_not_called_wrong(page: Page, house: Product) -> None:
    page.evaluate("() => { crypto.subtle.importKey = () => Promise.reject(new Error('none')); }")
    page.fill("#receipt", receipt(house))
    page.click("#check button")
    expect(page.locator("#unread h2")).to_have_text("This browser could not check it")
    expect(page.locator("#bad")).to_be_hidden()
    expect(page.locator("#good")).to_be_hidden()


def test_a_customer_checks_an_entry_of_the_history(visit: Open, house: Product) -> None:
    page = visit("/customer/history", subject=SUBJECT)
    page.locator(".timeline > li").last.get_by_text("Check it yourself").click()
    expect(page.locator("#good")).to_be_visible()
    expect(page.locator("[data-fact=act] dd")).to_have_text("Allowed")


def test_without_a_script_the_page_says_what_to_do(visit: Open) -> None:
    page = visit("/verify", javascript=False)
    expect(page.locator("main")).to_contain_text("sovereign verify")
    expect(page.locator("#check")).to_be_hidden()

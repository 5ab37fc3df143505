"""Clauses 5.3 to 5.5 of specs/portal.md, in a browser: zones, what was typed, both directions."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Open

PAGES = ("/customer", "/customer/history", "/customer/map", "/customer/leave", "/verify", "/docs")
WIDE = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
CUT = """[...document.querySelectorAll("button, a.button")].filter((each) =>
  each.offsetParent && each.scrollWidth > each.clientWidth + 1).map((each) => each.textContent)"""
PHONE = 360


def test_times_are_in_the_readers_zone(visit: Open) -> None:
    page = visit("/customer/reads", subject="c00021", zone="Asia/Tokyo", language="en")
    page.reload()  # the first look was a read itself
    time = page.locator("main time").first
    expect(time).to_have_text(re.compile(r"GMT\+9|JST"))
    stated = time.get_attribute("title") or ""
    assert stated.endswith(" UTC"), "it still says the moment in UTC"


def test_times_in_what_a_press_brought_are_in_the_readers_zone(visit: Open) -> None:
    place = "/customer/scenes/nearest-branch"
    page = visit(place, subject="c00054", zone="Asia/Tokyo", language="en")
    page.click("#nearest-branch-allow")
    expect(page.locator(".facts time")).to_have_text(re.compile(r"GMT\+9|JST"))


def test_without_a_script_times_say_utc(visit: Open) -> None:
    page = visit("/customer/reads", subject="c00022", javascript=False, language="en")
    page.reload()
    expect(page.locator("main time").first).to_have_text(re.compile("UTC$"))


def test_what_was_typed_is_there_in_the_other_language(visit: Open) -> None:
    page = visit("/verify", language="en")
    page.fill("#receipt", "a receipt that somebody pasted")
    page.click("[data-languages] [lang=de]")
    expect(page.locator("html")).to_have_attribute("lang", "de")
    expect(page.locator("#receipt")).to_have_value("a receipt that somebody pasted")
    expect(page.locator("#bad")).to_be_visible()  # and it was checked again


@pytest.mark.parametrize("direction", ["ltr", "rtl"])
@pytest.mark.parametrize("path", PAGES)
def test_long_words_fit_a_phone_in_both_directions(visit: Open, path: str, direction: str) -> None:
    """German words are long. The same layout runs from right to left."""
    page = visit(path, subject="c00023", language="de", width=PHONE)
    page.evaluate("(direction) => { document.documentElement.dir = direction; }", direction)
    assert not page.evaluate(WIDE)
    assert page.evaluate(CUT) == []

"""Presses that do not reach the portal (clauses 3.22 and 3.23 of specs/portal.md)."""

import pytest
from playwright.sync_api import Page, expect

from portal.operations.wiring import Product
from tests.browser.conftest import Open, settled
from tests.browser.test_journeys import granted

SCENE = "nearest-branch"
OFF, ON = f"#{SCENE}-withdraw", f"#{SCENE}-allow"


def allowed(visit: Open, subject: str) -> Page:
    page = ready(visit("/customer", subject=subject))
    page.click(ON)
    expect(page.locator(ON)).to_have_attribute("aria-pressed", "true")
    return page


def test_a_withdrawal_without_a_connection_is_kept_and_sent_later(
    visit: Open, house: Product
) -> None:
    page = allowed(visit, "c00043")
    page.context.set_offline(True)
    page.click(OFF)
    expect(page.locator("#away")).to_contain_text("Not recorded yet")
    assert granted(house, "c00043", SCENE)
    page.context.set_offline(False)
    expect(page.locator(OFF)).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#away")).to_be_hidden()
    assert not granted(house, "c00043", SCENE)


def test_a_permission_without_a_connection_is_never_sent(visit: Open, house: Product) -> None:
    page = ready(visit("/customer", subject="c00044"))
    page.context.set_offline(True)
    page.click(ON)
    expect(page.locator("#away")).to_contain_text("never sent later")
    assert page.evaluate("sessionStorage.length") == 0
    page.context.set_offline(False)
    page.reload()
    expect(page.locator(OFF)).to_have_attribute("aria-pressed", "true")
    assert house.ledger.version("c00044") == 0


def test_what_waits_is_sent_for_its_customer_alone(visit: Open, house: Product) -> None:
    page = allowed(visit, "c00045")
    allowed(visit, "c00046")
    page.context.set_offline(True)
    page.click(OFF)
    expect(page.locator("#away")).to_be_visible()
    page.context.clear_cookies()
    page.context.set_offline(False)
    page.goto("/")
    signed_in(page, "c00046")
    expect(page.locator(ON)).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#away")).to_be_hidden()
    assert granted(house, "c00045", SCENE)
    assert granted(house, "c00046", SCENE)


@pytest.mark.parametrize(("javascript", "subject"), [(True, "c00047"), (False, "c00048")])
def test_who_is_signed_out_meanwhile_is_told_that_nothing_was_recorded(
    visit: Open, house: Product, subject: str, javascript: bool
) -> None:
    page = visit("/customer", subject=subject, javascript=javascript)
    if javascript:
        ready(page)
    page.click(ON)
    settled(page)
    expect(page.locator(ON)).to_have_attribute("aria-pressed", "true")
    page.context.clear_cookies()
    page.click(OFF)
    expect(page.locator(".notice[role=alert]")).to_contain_text(
        "signed out before this was recorded"
    )
    assert granted(house, subject, SCENE)
    signed_in(page, subject)
    wished = OFF if javascript else ON  # a withdrawal is kept, if there is a script to keep it
    expect(page.locator(wished)).to_have_attribute("aria-pressed", "true")
    assert granted(house, subject, SCENE) is not javascript


def ready(page: Page) -> Page:
    """Once the page has the script that is loaded last."""
    page.locator("#away[data-listens]").wait_for(state="attached")
    return page


def signed_in(page: Page, subject: str) -> None:
    page.fill("#customer", subject)
    page.press("#customer", "Enter")
    page.wait_for_url("**/customer")

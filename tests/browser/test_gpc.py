"""Section 10 of specs/portal.md in a real browser: a signal that is first sent later."""

import pytest
from playwright.sync_api import expect

from ledger.events.reducer import SceneConsent, SceneWithdrawal
from portal.operations.wiring import Product
from tests.browser.conftest import Open, settled


@pytest.mark.parametrize(("javascript", "subject"), [(True, "c00050"), (False, "c00051")])
def test_a_signal_that_is_sent_later_is_recorded_by_the_page(
    visit: Open, house: Product, subject: str, javascript: bool
) -> None:
    page = visit("/customer", subject=subject, javascript=javascript)
    page.click("#ads-device-id-allow")
    settled(page)
    expect(page.locator("#ads-device-id .notice")).to_be_visible()
    page.set_extra_http_headers({"Sec-GPC": "1"})
    page.goto("/customer")
    if not javascript:  # a button; with a script the page sends it off by itself
        state = house.ledger.state(subject)
        assert state is not None
        assert isinstance(state.scenes["ads-device-id"], SceneConsent)
        page.click(".signal button")
    settled(page)
    expect(page.locator(".signal")).to_contain_text("recorded it")
    expect(page.locator(".signal button")).to_have_count(0)
    expect(page.locator("#ads-device-id-withdraw")).to_have_attribute("aria-pressed", "true")
    state = house.ledger.state(subject)
    assert state is not None
    assert isinstance(state.scenes["ads-device-id"], SceneWithdrawal)
    assert house.ledger.version(subject) == 2

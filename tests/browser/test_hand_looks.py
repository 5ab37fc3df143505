"""The pages of the consent host, held to the rules of every page: tests/browser/test_looks.py."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from ledger.events.acts import KeyEnrolled
from portal.customer import paper
from tests.browser import patience
from tests.browser.hosts import Site, arrive, authenticator, make, two
from tests.browser.test_looks import (
    AXE,
    LANGUAGE,
    MOST_BYTES,
    MOST_SCRIPT_BYTES,
    RULES,
    RUN_AXE,
    SCANNED,
    SETTINGS,
    STYLE,
    WEIGH,
)
from tests.portal.conftest import seeded

__all__ = ["seeded", "two"]

Two = tuple[Browser, Site]
SUBJECTS = {"en": "c00040", "zh-CN": "c00041"}
CONSENT = [
    "/customer",
    "/customer/scenes/anomaly-detection",
    "/customer/keys",
    "/customer/mandates",
]
LOGIN = ["/customer", "/customer/keys", "/customer/mandates"]
SMALL = """() => [...document.querySelectorAll("button, input:not([type=hidden]), summary, nav a")]
  .filter(each => each.checkVisibility())
  .map(each => [each.outerHTML, each.getBoundingClientRect()])
  .filter(([, box]) => box.width < 24 || box.height < 24).map(([html]) => html)"""


@pytest.fixture(scope="module", params=SUBJECTS)
def reader(two: Two, request: pytest.FixtureRequest) -> Iterator[tuple[Page, list[str]]]:
    """Somebody with two keys, a mandate page and a recovery that waits; and all the pages there
    are for them."""
    browser, site = two
    page = arrive(browser, site, SUBJECTS[request.param], locale=request.param)
    authenticator(page)
    make(page, site)
    make(page, site, kind="browser")
    make(page, site, "recover")
    yield page, [*(site.consent + each for each in CONSENT), *(site.login + each for each in LOGIN)]
    page.context.close()


@pytest.mark.campaign
def test_no_page_breaks_a_rule(reader: tuple[Page, list[str]]) -> None:
    page, addresses = reader
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    for address in addresses:
        page.goto(address)
        page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
        page.evaluate(AXE.read_text())
        for width, scheme in SETTINGS:
            page.set_viewport_size({"width": width, "height": 900})
            page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
            if (width, scheme) in SCANNED[page.evaluate(LANGUAGE)]:
                assert page.evaluate(RUN_AXE, RULES) == [], (address, width, scheme)
            assert page.evaluate("document.documentElement.scrollWidth") <= width, address
        assert page.evaluate(SMALL) == [], address
    assert said == []


def test_the_pages_are_light(two: Two, reader: tuple[Page, list[str]]) -> None:
    browser, _ = two
    page, addresses = reader
    state = page.context.storage_state()
    for address in addresses:
        fresh = patience.context(browser, storage_state=state).new_page()
        fresh.goto(address, wait_until="networkidle")
        total, script, later = fresh.evaluate(WEIGH)
        assert 0 < total <= MOST_BYTES, address
        assert script <= MOST_SCRIPT_BYTES, address
        assert later == 0, "nothing is kept where a key signs"
        fresh.context.close()


def test_allow_and_refuse_look_the_same_where_one_signs(two: Two) -> None:
    browser, site = two
    page = arrive(browser, site, "c00042")
    authenticator(page)
    make(page, site)
    looks = {}
    for wish in ("allow", "withdraw"):
        page.goto(f"{site.consent}/customer")
        with page.expect_navigation():
            page.click(f"#segmentation-{wish}")
        expect(page.locator(f"#segmentation-{wish}")).to_have_attribute("aria-pressed", "true")
        page.mouse.move(0, 0)
        page.evaluate("document.activeElement.blur()")
        shown = page.locator("#segmentation .switch")
        on = shown.locator("button[aria-pressed=true]").evaluate(STYLE)
        off = shown.locator("button[aria-pressed=false]").evaluate(STYLE)
        looks[wish] = (
            on[1:],
            off[1:],
        )  # widths are equal to the pixel, or the columns would differ
    assert looks["allow"] == looks["withdraw"]
    page.context.close()


def test_the_code_on_a_paper_opens_the_page_that_verifies_it(two: Two) -> None:
    browser, site = two
    page = arrive(browser, site, "c00043")
    authenticator(page)
    make(page, site)
    page.goto(f"{site.consent}/customer")
    with page.expect_navigation():
        page.click("#segmentation-allow")
    enrolled, granted = site.product.ledger.history("c00043")
    index = granted.index
    asked: list[str] = []
    anybody = patience.context(browser).new_page()
    anybody.on("request", lambda request: asked.append(request.url))
    key = site.app.state.context.link_key
    address = paper.address(f"{site.login}/verify", key, "c00043", index)
    anybody.goto(str(address))
    expect(anybody.locator("#good")).to_be_visible()
    expect(anybody.locator("[data-fact=act] dd")).to_have_text("Allowed")
    assert isinstance(enrolled.event.act, KeyEnrolled)
    by = f"passkey {enrolled.event.act.key.id.hex()}"
    expect(anybody.locator("[data-fact=signer] dd")).to_have_text(by)
    secret = str(address).partition(".")[2].rpartition(".")[2]
    assert secret not in anybody.url
    assert not [url for url in asked if secret in url.partition("#")[0]]
    for each in (page, anybody):
        each.context.close()

"""The steward's desk in a real browser: accessibility in both languages, light and dark."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from portal.desk.office import Office
from portal.operations.wiring import Product
from steward.oversight.review import Proposal
from tests.browser.conftest import opened, serving
from tests.browser.test_looks import AXE, RULES, RUN_AXE, SETTINGS
from tests.portal.conftest import Clock, copy
from tests.portal.desk import ME, furnish

PAGES = [
    "/desk",
    "/desk/cases",
    "/desk/cases/1",
    "/desk/cases/1/customers",
    "/desk/cases?state=all&sort=newest",
    "/desk/reviews",
    "/desk/contracts",
    "/desk/agreements",
]


@pytest.fixture(scope="module")
def office(seeded: Path, tmp_path_factory: pytest.TempPathFactory) -> Product:
    product = copy(seeded, tmp_path_factory.mktemp("office") / "home")
    furnish(product, Clock(datetime.now(UTC).replace(microsecond=0) - timedelta(hours=5)))
    return product


@pytest.fixture(scope="module")
def address(office: Product) -> Iterator[str]:
    with serving(office) as place:
        yield place


@pytest.fixture(params=["en", "zh-CN"])
def steward(chromium: Browser, address: str, request: pytest.FixtureRequest) -> Iterator[Page]:
    """An account manager, reading in one language."""
    page = opened(chromium, address, "/desk", language=request.param)
    page.click('button[value="account-manager"]')
    yield page
    page.context.close()


@pytest.mark.campaign
def test_no_page_of_the_desk_breaks_an_accessibility_rule(steward: Page) -> None:
    for path in PAGES:
        steward.goto(path)
        steward.evaluate(AXE.read_text())
        for width, scheme in SETTINGS:
            steward.set_viewport_size({"width": width, "height": 900})
            steward.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
            assert steward.evaluate(RUN_AXE, RULES) == [], (path, width, scheme)


def test_no_page_of_the_desk_scrolls_sideways_on_a_phone(steward: Page) -> None:
    steward.set_viewport_size({"width": 360, "height": 640})
    for path in PAGES:
        steward.goto(path)
        assert steward.evaluate("document.documentElement.scrollWidth") <= 360, path


def test_7_17_on_a_phone_each_case_shows_all_its_facts(steward: Page) -> None:
    steward.set_viewport_size({"width": 360, "height": 640})
    steward.goto("/desk/cases")
    cells = steward.locator(".cards tbody tr").first.locator("td")
    boxes = cells.evaluate_all("all => all.map(each => each.getBoundingClientRect())")
    assert len(boxes) == 9
    assert all(box["left"] >= 0 and box["right"] <= 360 for box in boxes)
    labels = cells.evaluate_all(
        "all => all.map(each => getComputedStyle(each, '::before').content)"
    )
    heads = steward.locator(".cards thead th").all_inner_texts()
    assert [label.strip('"') for label in labels] == heads
    steward.goto("/desk/cases/1")
    gap = steward.evaluate("""() => {
      const assign = document.querySelector("form[action$=assign]");
      const field = document.querySelector("form[action$=close] label").getBoundingClientRect();
      return field.top - assign.querySelector("button").getBoundingClientRect().bottom;
    }""")
    assert gap >= 24, "what is assigned and what is closed are told apart"


def test_the_way_in_breaks_no_accessibility_rule(chromium: Browser, address: str) -> None:
    page = opened(chromium, address, "/desk")
    page.evaluate(AXE.read_text())
    assert page.evaluate(RUN_AXE, RULES) == []
    page.context.close()


def test_a_steward_searches_decides_and_closes_without_javascript(
    chromium: Browser, address: str
) -> None:
    page = opened(chromium, address, "/desk", javascript=False)
    page.click('button[value="data-protection-officer"]')
    page.goto("/desk/agreements")
    page.fill("#customer", ME)
    page.select_option("#ground", "complaint")
    page.fill("#reason", "letter of Monday")
    page.click('form[action="/desk/customers"] button')
    assert page.locator("#found-title").inner_text().startswith(ME)
    page.goto("/desk/reviews")
    page.click("details summary")
    page.fill('input[name="reason"]', "checked with the branch")
    page.click('button[formaction$="/edit"]')
    assert page.url.endswith("/desk/reviews")
    assert page.locator("textarea").count() == 0
    page.goto("/desk/cases/1")
    page.fill("#note", "postcode area agreed")
    page.click('form[action$="/close"] button')
    assert "postcode area agreed" in page.locator(".timeline").inner_text()
    page.context.close()


def test_p7_16_a_page_of_many_proposals_is_short(
    chromium: Browser, seeded: Path, tmp_path: Path
) -> None:
    product = copy(seeded, tmp_path / "home")
    office = Office(product)
    for number in range(46):
        text = f"We will refund the fee of booking {number}. " * 20
        office.reviews.propose(Proposal("care-desk", ME, text), datetime.now(UTC))
    with serving(product) as place:
        page = opened(chromium, place, "/desk")
        page.click('button[value="account-manager"]')
        page.goto("/desk/reviews")
        heights = [page.evaluate("document.documentElement.scrollHeight")]
        page.click('nav.pages a[href="?page=2"]')
        assert page.locator(".reviews li").count() == 21
        heights.append(page.evaluate("document.documentElement.scrollHeight"))
        page.context.close()
    assert max(heights) < 6000, heights

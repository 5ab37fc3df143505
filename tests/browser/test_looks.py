"""What pages look like to everybody: accessibility, equality of choices, weight, calm."""

from collections.abc import Iterator
from itertools import product as every
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser import patience
from tests.browser.conftest import Open, opened, settled
from tests.campaign import sized

AXE = Path(__file__).parent / "axe.min.js"
SUBJECT = "c00007"
PAGES = [
    "/",
    "/customer",
    "/customer/scenes/nearest-branch",
    "/customer/scenes/anomaly-detection",
    "/customer/recipients",
    "/customer/data",
    "/customer/map",
    "/customer/map?item=balance",
    "/customer/history",
    "/customer/timeline",
    "/customer/reads",
    "/customer/passkeys",
    "/customer/keys",
    "/customer/mandates",
    "/customer/receipts/43/paper",
    "/customer/leave",
    "/customer/leave/everything",
    "/handoff",
    "/regulator",
    "/regulator/opening",
    "/verify",
    "/docs",
    "/nothing",
]
WIDTHS = (320, 768, 1280)
SCHEMES = ("light", "dark")
SETTINGS = [*every(WIDTHS, SCHEMES)] if sized(0, 1) else [(320, "light"), (1280, "dark")]
# In which settings each language is held to the rules: light and dark are one style for both.
SCANNED = (
    dict.fromkeys(("en", "zh-CN"), SETTINGS)
    if sized(0, 1)
    else {"en": SETTINGS[:1], "zh-CN": SETTINGS[1:]}
)
LANGUAGE = "document.documentElement.lang"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
RUN_AXE = """async rules => {
  const found = await axe.run(document, {
    runOnly: rules,
    rules: {"color-contrast-enhanced": {enabled: true}},
    resultTypes: ["violations"],
  });
  return found.violations.map(v => `${v.id}: ${v.nodes.map(n => n.html).join(" | ")}`);
}"""


@pytest.fixture(scope="module", params=["en", "zh-CN"])
def reader(chromium: Browser, site: str, request: pytest.FixtureRequest) -> Iterator[Page]:
    """Somebody signed in, reading in one language."""
    page = opened(chromium, site, "/customer", subject=SUBJECT, language=request.param)
    yield page
    page.context.close()


@pytest.mark.campaign
@pytest.mark.parametrize("path", PAGES)
def test_no_page_breaks_an_accessibility_rule(path: str, reader: Page) -> None:
    reader.goto(path)
    reader.evaluate(AXE.read_text())
    for width, scheme in SCANNED[reader.evaluate(LANGUAGE)]:
        reader.set_viewport_size({"width": width, "height": 900})
        reader.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
        assert reader.evaluate(RUN_AXE, RULES) == [], (path, width, scheme)


@pytest.mark.parametrize("path", PAGES)
def test_no_page_scrolls_sideways_on_a_small_phone(path: str, reader: Page) -> None:
    reader.set_viewport_size({"width": 320, "height": 640})
    reader.goto(path)
    assert reader.evaluate("document.documentElement.scrollWidth") <= 320


@pytest.mark.parametrize("path", PAGES)
def test_every_control_is_big_enough_to_hit(path: str, reader: Page) -> None:
    reader.goto(path)
    small = reader.evaluate("""() => [...document.querySelectorAll(
            "button, input:not([type=hidden]), select, summary, nav a")]
        .filter(each => each.checkVisibility())
        .map(each => [each.outerHTML, each.getBoundingClientRect()])
        .filter(([, box]) => box.width < 24 || box.height < 24).map(([html]) => html)""")
    assert small == []


@pytest.mark.parametrize("path", PAGES)
def test_every_control_shows_its_focus(path: str, reader: Page) -> None:
    reader.set_viewport_size({"width": 1280, "height": 900})
    reader.goto(path)
    seen = set()
    for _ in range(60):
        reader.keyboard.press("Tab")
        outlined = reader.evaluate("""() => {
            const at = document.activeElement;
            if (at === document.body) return null;
            const style = getComputedStyle(at), shape = at.querySelector?.("rect");
            return style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2
                || shape && parseFloat(getComputedStyle(shape).strokeWidth) >= 2;
        }""")
        if outlined is None:
            break
        seen.add(outlined)
    assert seen == {True}


STYLE = """each => {
  const style = getComputedStyle(each), box = each.getBoundingClientRect();
  const named = ["fontSize", "fontWeight", "color", "backgroundColor", "borderColor", "padding",
                 "cursor", "opacity", "textDecorationLine"];
  return [box.width, box.height, ...named.map(name => style[name])];
}"""


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("path", ["/customer", "/customer/scenes/nearest-branch"])
def test_allow_and_refuse_look_the_same(visit: Open, path: str, scheme: str) -> None:
    page = visit(path, subject=SUBJECT, scheme=scheme)
    page.emulate_media(
        reduced_motion="reduce", color_scheme="dark" if scheme == "dark" else "light"
    )
    sizes = page.locator(".switch").evaluate_all(
        "all => all.map(each => [...each.children].map(b => [b.offsetWidth, b.offsetHeight]))"
    )
    assert all(abs(allow[0] - refuse[0]) <= 1 and allow[1] == refuse[1] for allow, refuse in sizes)
    place = ".switch" if path != "/customer" else "#nearest-branch .switch"
    looks = {}
    for wish in ("allow", "withdraw"):
        page.click(f"#nearest-branch-{wish}")
        settled(page)
        expect(page.locator(f"#nearest-branch-{wish}")).to_have_attribute("aria-pressed", "true")
        page.mouse.move(0, 0)
        page.evaluate("document.activeElement.blur()")
        on = page.locator(f"{place} >> nth=0 >> button[aria-pressed=true]").evaluate(STYLE)
        off = page.locator(f"{place} >> nth=0 >> button[aria-pressed=false]").evaluate(STYLE)
        looks[wish] = (on[1:], off[1:])  # widths were compared above, to the pixel
    assert looks["allow"] == looks["withdraw"]


def test_nothing_on_a_page_moves(visit: Open) -> None:
    page = visit("/customer", subject=SUBJECT)
    page.click("#ads-device-id button[aria-pressed=true]")
    page.wait_for_selector("#ads-device-id .notice")
    settled(page)
    moving = page.evaluate("""() => [...document.querySelectorAll("*")]
        .map(each => getComputedStyle(each))
        .filter(style => [style.transitionDuration, style.animationDuration].some(parseFloat))
        .length""")
    assert moving == 0


def test_no_page_asks_anybody_else_for_anything(reader: Page, site: str) -> None:
    asked: list[str] = []
    reader.on("request", lambda request: asked.append(request.url))
    for path in PAGES:
        reader.goto(path)
    assert asked
    assert [url for url in asked if not url.startswith(f"{site}/")] == []


def test_no_page_complains(reader: Page) -> None:
    said: list[str] = []
    reader.on("console", lambda message: said.append(message.text))
    reader.on("pageerror", lambda error: said.append(str(error)))
    for path in PAGES[:-1]:  # the last is missing on purpose
        reader.goto(path)
    reader.goto("/customer")
    reader.click("#service-reminder button[aria-pressed=true]")
    reader.wait_for_selector("#service-reminder .notice")
    settled(reader)
    assert said == []


MOST_BYTES, MOST_SCRIPT_BYTES = 50_000, 15_000
LATER_BYTES = 2_500  # of a script that is loaded when the page can be used already
WEIGH = """() => {
  const all = ["navigation", "resource"].flatMap(kind => performance.getEntriesByType(kind));
  const later = all.filter(each => each.name.includes("/away.js"));
  const script = all.filter(each => each.name.includes(".js") && !later.includes(each));
  const sum = entries => entries.reduce((total, each) => total + each.transferSize, 0);
  return [sum(all), sum(script), sum(later)];
}"""


def test_the_centre_is_light(visit: Open) -> None:
    page = visit("/", subject=SUBJECT)
    fresh = page.context.browser
    assert fresh is not None
    state = page.context.storage_state()
    context = patience.context(fresh, base_url=page.url, storage_state=state)
    page = context.new_page()
    page.goto("/customer", wait_until="networkidle")
    page.locator("#away[data-listens]").wait_for(state="attached")
    total, script, later = page.evaluate(WEIGH)
    context.close()
    assert 0 < total <= MOST_BYTES
    assert 0 < script <= MOST_SCRIPT_BYTES
    assert 0 < later <= LATER_BYTES


def test_nothing_moves_while_the_page_loads(visit: Open) -> None:
    page = visit("/customer", subject=SUBJECT)
    shift = page.evaluate("""() => new Promise(done => {
        let sum = 0;
        new PerformanceObserver(list => list.getEntries().forEach(each => sum += each.value))
            .observe({type: "layout-shift", buffered: true});
        setTimeout(() => done(sum), 300);
    })""")
    assert shift == 0

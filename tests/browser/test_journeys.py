"""A person in front of a real browser: section 3 of specs/portal.md."""

import pytest
from playwright.sync_api import Page, expect

from ledger.events.reducer import SceneConsent, SceneWithdrawal
from portal.operations.wiring import Product
from tests.browser.conftest import Open, settled

ALLOWED = "nearest-branch"
WAYS = {"with a script": True, "without a script": False}


def held(house: Product, subject: str, scene: str) -> SceneConsent | SceneWithdrawal | None:
    state = house.ledger.state(subject)
    return state.scenes.get(scene) if state else None


def granted(house: Product, subject: str, scene: str) -> bool:
    return isinstance(held(house, subject, scene), SceneConsent)


def pressed(page: Page, scene: str) -> str:
    settled(page)
    return page.locator(f"#{scene} .switch button[aria-pressed=true]").inner_text()


@pytest.mark.parametrize(("javascript", "subject"), [(True, "c00020"), (False, "c00021")])
def test_one_press_allows_and_one_withdraws(
    visit: Open, house: Product, subject: str, javascript: bool
) -> None:
    page = visit("/customer", subject=subject, javascript=javascript)
    assert pressed(page, ALLOWED) == "Not allowed"
    page.click(f"#{ALLOWED}-allow")
    expect(page.locator(f"#{ALLOWED} .notice")).to_contain_text("Recorded: allowed.")
    assert pressed(page, ALLOWED) == "Allowed"
    assert granted(house, subject, ALLOWED)
    page.click(f"#{ALLOWED}-withdraw")
    expect(page.locator(f"#{ALLOWED} .notice")).to_contain_text("This applies from now on.")
    assert pressed(page, ALLOWED) == "Not allowed"
    assert not granted(house, subject, ALLOWED)
    expect(page.locator("#overview .count strong")).to_have_text("0")


def test_with_a_script_only_the_fragment_changes(visit: Open) -> None:
    page = visit("/customer", subject="c00022")
    page.evaluate("window.kept = true")
    for scene in ("segmentation", "ai-training", "segmentation"):  # the version moves along
        page.click(f"#{scene}-allow")
        settled(page)
        expect(page.locator(f"#{scene} .notice")).to_be_visible()
    assert page.evaluate("window.kept")
    expect(page.locator("#overview .count strong")).to_have_text("2")


@pytest.mark.parametrize(("javascript", "subject"), [(True, "c00023"), (False, "c00024")])
def test_undo_takes_the_last_act_back(
    visit: Open, house: Product, subject: str, javascript: bool
) -> None:
    page = visit("/customer", subject=subject, javascript=javascript)
    page.click(f"#{ALLOWED}-allow")
    settled(page)
    page.goto("/customer/history")
    page.goto("/customer")  # it is offered until it is dismissed
    page.click(f"#{ALLOWED} .notice button[formaction$=undo]")
    settled(page)
    expect(page.locator(f"#{ALLOWED}-withdraw")).to_have_attribute("aria-pressed", "true")
    assert house.ledger.version(subject) == 2
    page.click(f"#{ALLOWED} .notice button[formaction$=dismiss]")
    settled(page)
    expect(page.locator(f"#{ALLOWED} .notice")).to_have_count(0)
    page.reload()
    expect(page.locator(f"#{ALLOWED} .notice")).to_have_count(0)


@pytest.mark.parametrize(("javascript", "subject"), [(True, "c00052"), (False, "c00053")])
def test_what_was_recorded_stands_beside_what_was_pressed(
    visit: Open, subject: str, javascript: bool
) -> None:
    page = visit(f"/customer/scenes/{ALLOWED}", subject=subject, javascript=javascript, width=360)
    last = page.locator(".items li").last
    last.locator("button").first.click()
    settled(page)
    expect(last.locator(".notice")).to_be_visible()
    expect(page.locator(".notice:visible")).to_have_count(1)
    if javascript:
        expect(last.locator(".notice")).to_be_in_viewport()


@pytest.mark.parametrize(("javascript", "subject"), [(True, "c00025"), (False, "c00026")])
def test_an_item_is_two_activations_from_home(
    visit: Open, house: Product, subject: str, javascript: bool
) -> None:
    page = visit("/customer", subject=subject, javascript=javascript)
    page.click(f"#{ALLOWED} .meta a")
    page.click("#location-allow")
    settled(page)
    expect(page.locator("#location-allow")).to_have_attribute("aria-pressed", "true")
    now = held(house, subject, ALLOWED)
    assert isinstance(now, SceneConsent)
    assert now.fields == {"location"}
    page.click("#location-withdraw")
    settled(page)
    expect(page.locator("#location-withdraw")).to_have_attribute("aria-pressed", "true")
    assert not granted(house, subject, ALLOWED)


@pytest.mark.parametrize(("javascript", "subject"), [(True, "c00027"), (False, "c00028")])
def test_two_windows_never_overwrite_each_other(
    visit: Open, house: Product, subject: str, javascript: bool
) -> None:
    page = visit("/customer", subject=subject, javascript=javascript)
    other = page.context.new_page()
    other.goto("/customer")
    for version, wish in enumerate(("allow", "withdraw"), 1):
        other.click(f"#segmentation-{wish}")
        expect(other.locator(f"#segmentation-{wish}")).to_have_attribute("aria-pressed", "true")
        settled(other)
        assert house.ledger.version(subject) == version
    page.click("#segmentation-allow")
    settled(page)
    expect(page.locator(".conflict")).to_contain_text("have changed meanwhile")
    assert house.ledger.version(subject) == 2
    page.click("#segmentation-allow")  # decided again, on what stands now
    expect(page.locator("#segmentation-allow")).to_have_attribute("aria-pressed", "true")
    settled(page)
    assert house.ledger.version(subject) == 3
    other.click("#ai-training-allow")  # about which nothing changed
    expect(other.locator("#ai-training .notice")).to_be_visible()
    assert house.ledger.version(subject) == 4


def test_the_keyboard_is_enough(visit: Open, house: Product) -> None:
    page = visit("/customer", subject="c00029")
    for _ in range(80):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "service-reminder-allow":
            break
    assert page.evaluate("document.activeElement.matches(':focus-visible')")
    page.keyboard.press("Enter")
    expect(page.locator("#service-reminder .notice")).to_be_visible()
    settled(page)
    assert granted(house, "c00029", "service-reminder")
    assert page.evaluate("document.activeElement.id") == "service-reminder-allow"


def test_the_first_tab_offers_to_skip_to_the_content(visit: Open) -> None:
    page = visit("/customer", subject="c00007")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"


@pytest.mark.parametrize("javascript", WAYS.values(), ids=WAYS.keys())
def test_the_language_is_switched_in_place(visit: Open, javascript: bool) -> None:
    page = visit("/customer/history", subject="c00007", javascript=javascript)
    page.click("button[lang=zh-CN]")
    expect(page.locator("h1")).to_have_text("操作记录")
    assert page.url.endswith("/customer/history")
    assert page.locator("html").get_attribute("lang") == "zh-CN"


@pytest.mark.parametrize("javascript", WAYS.values(), ids=WAYS.keys())
def test_a_code_brings_the_customer_to_the_phone(visit: Open, javascript: bool) -> None:
    desk = visit("/customer", subject="c00007", javascript=javascript)
    desk.click(".phone button")
    code = desk.locator(".code").inner_text()
    if javascript:
        phone = visit(f"/handoff#{code}", width=360)
        expect(phone.locator("#code")).to_have_value(code)
        assert code not in phone.url
    else:
        phone = visit("/handoff", width=360, javascript=False)
        phone.fill("#code", code)
    phone.click("main button")
    assert phone.url.endswith("/customer")
    expect(phone.locator("h1")).to_have_text(desk_greeting(desk))


def desk_greeting(desk: Page) -> str:
    desk.goto("/customer")
    return desk.locator("h1").inner_text()


def test_picking_an_item_on_the_map_shows_its_path(visit: Open) -> None:
    page = visit("/customer/map", subject="c00007")
    page.click('a[href="/customer/map?item=location#map"]')
    expect(page.locator(".flow path.chosen")).to_have_count(2)
    expect(page.locator("tbody tr")).to_have_count(1)


def test_3_29_on_a_phone_the_map_is_a_list_with_every_column(visit: Open) -> None:
    page = visit("/customer/map", subject="c00007", width=360)
    expect(page.locator("svg.flow")).to_be_hidden()
    first = page.locator(".routes > li").first
    expect(first).to_contain_text("flows into 5 of 8 uses")
    first.locator("summary").click()
    expect(first.locator("p.meta").first).to_be_in_viewport(ratio=1)
    expect(first.locator("ul a").first).to_be_in_viewport(ratio=1)
    assert first.locator("ul li").count() == 8
    page.set_viewport_size({"width": 1280, "height": 900})
    expect(page.locator("svg.flow")).to_be_visible()
    expect(page.locator(".routes")).to_be_hidden()


def test_a_developer_tries_a_read_on_the_page(visit: Open) -> None:
    page = visit("/docs", javascript=False)
    page.select_option("select[name=service]", "branch-finder")
    page.select_option("select[name=scene]", "nearest-branch")
    page.click("form.fields button")
    expect(page.locator("#try-title ~ pre")).to_contain_text('"read_log"')


@pytest.mark.parametrize(("javascript", "subject"), [(True, "c00030"), (False, "c00031")])
def test_a_condition_is_a_sentence_one_completes(
    visit: Open, house: Product, subject: str, javascript: bool
) -> None:
    page = visit("/customer/scenes/anomaly-detection", subject=subject, javascript=javascript)
    page.fill("#figure-0", "90.5")
    page.press("#figure-0", "Enter")  # sets the condition, and nothing else on the page
    expect(page.locator(".condition").first).to_contain_text("Set.")
    settled(page)
    expect(page.locator("#figure-0")).to_have_value("90.5")
    state = house.ledger.state(subject)
    assert state is not None
    assert [each.threshold for each in state.triggers["anomaly-detection"]] == [9050]
    assert not granted(house, subject, "anomaly-detection")
    page.click("#condition-0-clear")
    expect(page.locator("#condition-0-clear")).to_be_disabled()


def test_a_second_press_before_the_first_is_answered_changes_nothing(
    visit: Open, house: Product
) -> None:
    page = visit("/customer", subject="c00032")
    page.evaluate("""() => ["segmentation", "ai-training"]
        .forEach(scene => document.getElementById(`${scene}-allow`).click())""")
    settled(page)
    expect(page.locator("#segmentation .notice")).to_be_visible()
    expect(page.locator(".conflict")).to_have_count(0)
    assert house.ledger.version("c00032") == 1
    expect(page.locator("#ai-training-withdraw")).to_have_attribute("aria-pressed", "true")

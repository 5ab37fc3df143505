"""Five tasks counted, the keyboard at 400 % zoom, and what a screen reader hears."""

import pytest
from playwright.sync_api import Page, expect

from gate.reads.request import ReadRequest
from ledger.clock import now
from portal.operations.wiring import Product
from tests.browser.conftest import Open, settled
from tests.browser.test_journeys import granted
from tests.portal.conftest import allow

PARTNERS, REMINDER = "third-party-sharing", "service-reminder"
LEAVING = "c00057"  # of these customers no other test reads anything


class Hand:
    """Somebody who presses links and buttons, and types; each is one activation."""

    def __init__(self, page: Page) -> None:
        self.page, self.activations = page, 0

    def press(self, place: str) -> None:
        self.page.locator(place).first.click()
        self.activations += 1

    def type(self, place: str, text: str) -> None:
        self.page.fill(place, text)
        self.activations += 1


def stop_a_partner(hand: Hand, house: Product) -> None:
    (partner,) = (each.id for each in house.scenes[PARTNERS].services[:1])
    hand.press('nav a[href="/customer/recipients"]')
    hand.press(f"#{partner} form button")
    expect(hand.page.locator(".notice")).to_contain_text("From now on")
    assert not granted(house, "c00055", PARTNERS)


def see_who_read_the_phone_number(hand: Hand, house: Product) -> None:
    service = house.scenes[REMINDER].services[0]
    hand.press('nav a[href="/customer/recipients"]')
    expect(hand.page.locator(f"#{service.id} dd").first).to_contain_text("Mobile number last on")


def get_the_words(hand: Hand, _: Product) -> None:
    hand.press('nav a[href="/customer/history"]')
    hand.press(".timeline summary")
    expect(hand.page.locator(".seen-words").first).to_be_visible()


def prove_a_withdrawal(hand: Hand, _: Product) -> None:
    hand.press('nav a[href="/customer/history"]')
    hand.press('.timeline a[href$="/paper"]')
    expect(hand.page.locator(".paper-code svg").first).to_be_visible()


def leave(hand: Hand, _: Product) -> None:
    hand.press('main a[href="/customer/leave"]')
    hand.press('a[href="/customer/leave/everything"]')
    hand.type("#word", "erase")
    hand.press("#leave button")
    expect(hand.page.locator("h1")).to_have_text("You are leaving")


TASKS = {
    "stop everything a named partner has": (stop_a_partner, 3),
    "see who read my phone number last month": (see_who_read_the_phone_number, 3),
    "get the words I agreed to": (get_the_words, 4),
    "prove to a third person that I withdrew": (prove_a_withdrawal, 4),
    "leave": (leave, 6),
}


@pytest.mark.parametrize("task", TASKS)
def test_3_33_five_tasks_take_few_activations(visit: Open, house: Product, task: str) -> None:
    do, at_most = TASKS[task]
    subject = LEAVING if do is leave else "c00055"
    if do is not leave:
        for scene in (PARTNERS, REMINDER):
            allow(house, subject, scene)
    service = house.scenes[REMINDER].services[0].id
    house.gate.read(ReadRequest(service, REMINDER, subject, ("phone",), now()))
    hand = Hand(visit("/customer", subject=subject, javascript=False))
    do(hand, house)
    assert hand.activations <= at_most


def test_at_400_percent_the_keyboard_is_enough(visit: Open, house: Product) -> None:
    """A window of 1280 by 900 at 400 % has 320 by 225 CSS pixels (WCAG 2.2, 1.4.10)."""
    page = visit("/customer/scenes/nearest-branch", subject="c00056", width=320)
    page.set_viewport_size({"width": 320, "height": 225})
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "nearest-branch-allow":
            break
    expect(page.locator("#nearest-branch-allow")).to_be_in_viewport()
    page.keyboard.press("Enter")
    settled(page)
    expect(page.locator("#nearest-branch-allow")).to_have_attribute("aria-pressed", "true")
    assert granted(house, "c00056", "nearest-branch")
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    for _ in range(60):
        page.keyboard.press("Tab")
        if (page.evaluate("document.activeElement.getAttribute('formaction')") or "").endswith(
            "undo"
        ):
            break
    page.keyboard.press("Enter")
    settled(page)
    expect(page.locator("#nearest-branch-withdraw")).to_have_attribute("aria-pressed", "true")
    assert not granted(house, "c00056", "nearest-branch")


def test_a_screen_reader_hears_what_a_scene_is_and_how_it_stands(visit: Open) -> None:
    page = visit("/customer", subject="c00058")
    card = page.locator("#nearest-branch")
    expect(card).to_match_aria_snapshot("""
      - article "Nearest branch by location":
        - heading "Nearest branch by location" [level=2]
        - group "Nearest branch by location":
          - button "Allowed"
          - button "Not allowed" [pressed]
    """)
    page.goto("/customer/recipients")
    expect(page.locator("#recommender")).to_match_aria_snapshot("""
      - article "Recommendation engine":
        - heading "Recommendation engine" [level=2]
        - term: Was given
        - definition: Nothing of yours, ever.
        - term: Takes part in
        - definition:
          - list:
            - listitem:
              - link "Personalised recommendations"
    """)

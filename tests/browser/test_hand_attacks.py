"""Attacks on the customer's own hand, with the attacker's best effort in a real browser.

The attacker may be the company's own server, a login page, a page around ours, or another customer.
Each tries to have something recorded that this customer did not press; nothing ever is.
"""

import json
from base64 import b64decode, b64encode, urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from ledger.events.envelope import Instruction
from tests.browser import patience
from tests.browser.hosts import Site, arrive, authenticator, make, sign_in, two
from tests.portal.conftest import seeded

__all__ = ["seeded", "two"]

Two = tuple[Browser, Site]
SUBJECT, SCENE = "c00030", "segmentation"
NOT_SIGNED = "is not what this page shows"


@pytest.fixture(scope="module")
def victim(two: Two) -> Page:
    """A customer with a passkey, at the centre on the consent host."""
    browser, site = two
    page = arrive(browser, site, SUBJECT)
    authenticator(page)
    make(page, site)
    return page


@pytest.fixture
def page(victim: Page, two: Two) -> Page:
    victim.goto(f"{two[1].consent}/customer")
    return victim


def version(site: Site, subject: str = SUBJECT) -> int:
    return site.product.ledger.version(subject)


def press(page: Page, button: str = f"#{SCENE}-allow") -> None:
    page.click(button)
    expect(page.locator("#unsigned")).to_contain_text(NOT_SIGNED)


# As the page's own script would, but from the attacker's: a draft, and its challenge.
DRAFT = """async scene => {
  const { format, parse } = await import("/static/canonical.js");
  const { base64, sha256, text, join } = await import("/static/bytes.js");
  const button = document.getElementById(`${scene}-allow`);
  const body = new URLSearchParams(new FormData(button.form, button));
  const headers = {Accept: "application/json", "Sovereign-Evidence": "A"};
  const reply = await fetch(button.formAction, {method: "POST", body, headers});
  const said = new Uint8Array(await reply.arrayBuffer());
  const challenge = await sha256(join(text("sovereign/instruction/v1\\0"), said));
  const [key] = parse(document.getElementById("hand").dataset.keys);
  return {challenge: base64(challenge), key: key.id, said: base64(said), status: reply.status};
}"""
HAND_IN = """async ([response, key]) => {
  const plain = text => btoa(atob(text.replaceAll("-", "+").replaceAll("_", "/")));
  const { authenticatorData, clientDataJSON, signature } = response;
  const body = JSON.stringify({type: "passkey", key, signature: plain(signature),
    authenticator_data: plain(authenticatorData), client_data: plain(clientDataJSON)});
  const headers = {Accept: "application/json"};
  return (await fetch("/customer/signed", {method: "POST", body, headers})).status;
}"""


def changed(change: Callable[[dict[str, Any]], None]) -> Callable[[bytes], bytes]:
    def rewritten(body: bytes) -> bytes:
        said = json.loads(body)
        change(said)
        return json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()

    return rewritten


# What a dishonest server may hand out to be signed in place of the instruction that was pressed.
DRAFTS: dict[str, Callable[[bytes], bytes]] = {
    "another scene": changed(lambda said: said["act"].update(scene="ai-training")),
    "fewer fields": changed(lambda said: said["act"]["fields"].pop()),
    "one more field": changed(lambda said: said["act"]["fields"].append("email")),
    "an end": changed(lambda said: said["act"].update(until="2036-01-01T00:00:00Z")),
    "a withdrawal": changed(
        lambda said: said.update(act={"type": "withdrawn", "scene": SCENE, "fields": None})
    ),
    "other words": changed(lambda said: said["wording"].update(digest=44 * "A")),
    "another language": changed(lambda said: said["wording"].update(locale="zh-CN")),
    "another customer": changed(lambda said: said.update(subject="c00031")),
    "another log": changed(lambda said: said.update(origin="evil.example/consent")),
    "another class": changed(lambda said: said.update(evidence="C")),
    "another version": changed(lambda said: said.update(seq=said["seq"] + 1)),
    "a mandate": changed(lambda said: said.update(mandate=43 * "A" + "=")),
    "one more part": changed(lambda said: said.update(also="this")),
    "a blank": lambda body: body.replace(b'":', b'": ', 1),
    "a line end": lambda body: body + b"\n",
    "parts in another order": lambda body: json.dumps(
        dict(reversed(json.loads(body).items())), separators=(",", ":")
    ).encode(),
    "a key twice": lambda body: b'{"act":null,' + body[1:],
    "an escape": lambda body: body.replace(b"segmentation", b"\\u0073egmentation"),
    "a fraction": lambda body: body.replace(b'"seq":', b'"seq":0.0,"seq":'),
    "an exponent": lambda body: body.replace(b'"seq":', b'"seq":1e0,"also":'),
    "half a character": lambda body: body.replace(b'"locale":"en"', b'"locale":"\\ud800"'),
    "other bytes": lambda body: body[:-1] + b"\xff}",
    "nothing": lambda _: b"",
}


DISHONEST = """async ([scene, body]) => {
  const real = window.fetch, get = navigator.credentials.get.bind(navigator.credentials);
  const bytes = Uint8Array.from(atob(body), sign => sign.charCodeAt(0));
  const pressed = address => String(address).endsWith(`/${scene}/allow`);
  window.fetch = (...all) => pressed(all[0]) ? Promise.resolve(new Response(bytes)) : real(...all);
  navigator.credentials.get = (...all) => (window.asked = true, get(...all));
}"""


def answer_with(page: Page, change: Callable[[bytes], bytes]) -> None:
    """From now on what comes back to be signed is the true draft, changed."""
    true = b64decode(page.evaluate(DRAFT, SCENE)["said"])
    page.evaluate(DISHONEST, [SCENE, b64encode(change(true)).decode()])


@pytest.mark.parametrize("why", DRAFTS)
def test_the_page_signs_nothing_but_what_was_pressed(two: Two, page: Page, why: str) -> None:
    before = version(two[1])
    answer_with(page, DRAFTS[why])
    press(page)
    assert page.evaluate("window.asked") is None  # the key was not even asked
    assert version(two[1]) == before


def test_what_was_pressed_is_signed(two: Two, page: Page) -> None:
    """The control: the same way round, unchanged."""
    before = version(two[1])
    answer_with(page, bytes)
    with page.expect_navigation():
        page.click(f"#{SCENE}-allow")
    assert version(two[1]) == before + 1
    with page.expect_navigation():
        page.click(f"#{SCENE}-withdraw")


SHOWN = {
    "the consequence": ("consequence", "Nothing at all happens."),
    "the alternative": ("alternative", "There is none."),
    "the summary": ("summary", "We only count you."),
    "one letter": ("title", "Segmentation and trend"),
    "the days": ("days", "7 days"),
    "who reads": ("services", "Nobody"),
    "the contract": ("version", "9.9.9"),
}


@pytest.mark.parametrize("why", SHOWN)
def test_words_other_than_those_on_the_page_are_not_signed(two: Two, page: Page, why: str) -> None:
    """The server shows kinder words than those whose digest it hands out to be signed."""
    site, before = two[1], version(two[1])
    part, kinder = SHOWN[why]
    page.evaluate(
        "([scene, part, kinder]) => document.querySelector("
        "`#${scene} [data-word='${part}']`).textContent = kinder",
        [SCENE, part, kinder],
    )
    press(page)
    assert version(site) == before


def test_words_that_changed_after_the_page_was_shown_are_not_signed(two: Two, page: Page) -> None:
    """The button still carries what the page showed; the portal has other words by now."""
    site, before = two[1], version(two[1])
    page.evaluate(
        "scene => document.getElementById(`${scene}-allow`).value = `en.${'0'.repeat(64)}`", SCENE
    )
    page.click(f"#{SCENE}-allow")
    expect(page.locator("#unsigned")).to_be_visible()
    assert version(site) == before


LAUNDER = """async ([party, challenge]) => {
  const bytes = Uint8Array.from(atob(challenge), sign => sign.charCodeAt(0));
  const publicKey = {challenge: bytes, userVerification: "required", ...(party && {rpId: party})};
  try { return (await navigator.credentials.get({publicKey})).toJSON(); }
  catch (error) { return error.name; }
}"""


def test_a_login_page_cannot_use_the_keys_for_consent(two: Two, page: Page) -> None:
    """It asks for the consent host's keys by name, and then for whatever key there is."""
    site = two[1]
    page.goto(f"{site.login}/")
    party = "consent.bank.example"
    assert page.evaluate(LAUNDER, [party, "AAAA"]) == "SecurityError"
    assert page.evaluate(LAUNDER, ["", "AAAA"]) == "NotAllowedError"


def test_a_login_key_signs_no_consent(two: Two) -> None:
    """The login page has a consent's challenge signed by the key people sign in with."""
    browser, site = two
    page = arrive(browser, site, "c00032")
    authenticator(page)
    make(page, site)
    page.goto(f"{site.login}/customer/passkeys")
    page.click("#passkey button")
    page.wait_for_selector("ul.items li")
    page.goto(f"{site.consent}/customer")
    drafted = page.evaluate(DRAFT, SCENE)
    page.goto(f"{site.login}/")
    laundered = page.evaluate(LAUNDER, ["", drafted["challenge"]])
    assert laundered["type"] == "public-key"
    before = version(site, "c00032")
    page.goto(f"{site.consent}/customer")
    page.evaluate(DRAFT, SCENE)
    status = page.evaluate(HAND_IN, [laundered["response"], drafted["key"]])
    assert status == 400
    assert version(site, "c00032") == before
    page.context.close()


def test_a_page_around_ours_shows_nothing_and_signs_nothing(two: Two, page: Page) -> None:
    """A frame on a foreign page: of our page, and of a key that is asked for from within it."""
    site, before = two[1], version(two[1])
    around = f"<iframe src='{site.consent}/customer' allow='publickey-credentials-get *'></iframe>"
    page.route(f"{site.evil}/", lambda route: route.fulfill(body=around, content_type="text/html"))
    page.goto(f"{site.evil}/")
    page.wait_for_timeout(500)
    (frame,) = page.frames[1:]
    assert frame.url.startswith("chrome-error:") or not frame.locator("main").count()
    assert page.evaluate(LAUNDER, ["consent.bank.example", "AAAA"]) == "SecurityError"
    assert version(site) == before


def test_a_signature_given_in_a_frame_is_refused(two: Two, page: Page) -> None:
    """Even where the browser lets it through: what it says of the frame is read."""
    site, before = two[1], version(two[1])
    drafted = page.evaluate(DRAFT, SCENE)
    made = page.evaluate(LAUNDER, ["consent.bank.example", drafted["challenge"]])
    framed = json.loads(_unpadded(made["response"]["clientDataJSON"])) | {"crossOrigin": True}
    made["response"]["clientDataJSON"] = _padded(json.dumps(framed).encode())
    assert page.evaluate(HAND_IN, [made["response"], drafted["key"]]) == 400
    assert version(site) == before


def test_another_customers_key_signs_nothing(two: Two, page: Page) -> None:
    """The other customer presses, and signs with a key that is in force: their own."""
    browser, site = two
    other = arrive(browser, site, "c00033")
    authenticator(other)
    make(other, site)
    other.goto(f"{site.consent}/customer")
    drafted = page.evaluate(DRAFT, SCENE)
    signed = other.evaluate(LAUNDER, ["consent.bank.example", drafted["challenge"]])
    theirs = other.evaluate(DRAFT, SCENE)["key"]
    before = version(site)
    for key in (theirs, drafted["key"]):
        assert page.evaluate(HAND_IN, [signed["response"], key]) in {400, 403}
        page.evaluate(DRAFT, SCENE)
    assert version(site) == before
    other.context.close()


def test_a_grant_is_not_replayed_after_its_withdrawal(two: Two, page: Page) -> None:
    site = two[1]
    drafted = page.evaluate(DRAFT, SCENE)
    made = page.evaluate(LAUNDER, ["consent.bank.example", drafted["challenge"]])
    assert page.evaluate(HAND_IN, [made["response"], drafted["key"]]) == 204
    granted = site.product.ledger.history(SUBJECT)[-1].event
    assert isinstance(granted, Instruction)
    page.reload()
    with page.expect_navigation():
        page.click(f"#{SCENE}-withdraw")
    before = version(site)
    assert page.evaluate(HAND_IN, [made["response"], drafted["key"]]) == 409  # nothing waits
    page.evaluate(DRAFT, SCENE)
    assert page.evaluate(HAND_IN, [made["response"], drafted["key"]]) == 400  # another waits
    assert version(site) == before


def test_a_key_for_consent_signs_nobody_in(two: Two, page: Page) -> None:
    """The consent host's key answers a login's challenge, and is handed to the login."""
    browser, site = two
    stranger = patience.context(browser).new_page()
    stranger.goto(f"{site.login}/")
    options = stranger.evaluate(
        """async () => (await fetch("/login/passkey/options", {method: "POST"})).json()"""
    )
    made = page.evaluate(LAUNDER, ["consent.bank.example", _padded_base64(options["challenge"])])
    status = stranger.evaluate(
        """async made => (await fetch("/login/passkey", {method: "POST",
            body: JSON.stringify(made), headers: {Accept: "application/json"}})).status""",
        made,
    )
    assert status == 401
    stranger.goto(f"{site.login}/customer")
    assert stranger.url == f"{site.login}/"
    stranger.context.close()


def test_nobody_is_lured_into_a_session_of_another(two: Two) -> None:
    """The attacker's own code, sent off by a page of theirs in the victim's browser."""
    browser, site = two
    attacker = patience.context(browser).new_page()
    sign_in(attacker, site, "c00034")
    code = attacker.evaluate(
        """async () => (await (await fetch("/customer/continue", {method: "POST"})).text())
            .match(/name="code" value="([^"]+)"/)[1]"""
    )
    form = (
        f"<form method=post action='{site.consent}/enter'><input name=code value='{code}'></form>"
    )
    victim = patience.context(browser).new_page()
    victim.route(f"{site.evil}/", lambda route: route.fulfill(body=form, content_type="text/html"))
    victim.goto(f"{site.evil}/")
    with victim.expect_navigation():
        victim.evaluate("document.forms[0].submit()")
    victim.goto(f"{site.consent}/customer")
    assert victim.url == f"{site.login}/"
    for each in (attacker, victim):
        each.context.close()


def _unpadded(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _padded(data: bytes) -> str:
    return urlsafe_b64encode(data).decode()


def _padded_base64(text: str) -> str:
    return b64encode(_unpadded(text)).decode()

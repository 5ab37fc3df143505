"""Section 10 of specs/portal.md: what a browser's Global Privacy Control does."""

import json
from hashlib import sha256

import pytest
from starlette.testclient import TestClient

from gate.reads.request import ReadRequest
from ledger.events.envelope import EvidenceClass, Instruction, Withdrawn
from ledger.events.reducer import SceneConsent, SceneWithdrawal
from portal.consent import gpc, wording
from portal.operations.wiring import Product
from portal.web import i18n
from tests.portal.conftest import Clock, browser, sign_in

ME = "c00007"
SIGNAL = {"Sec-GPC": "1"}
SCENES = SHARING, ADS = "third-party-sharing", "ads-device-id"
NOT_THE_SIGNAL = {"zero": "0", "a word": "true", "one and a blank": "1 1", "two": "11", "none": ""}


def allow(client: TestClient, product: Product, scene: str) -> str:
    words = wording.token(product.scenes[scene], i18n.load()["en"])
    form = {"version": str(product.ledger.version(ME)), "words": words, "back": "centre"}
    answer = client.post(f"/customer/scenes/{scene}/allow", data=form)
    assert answer.status_code == 200, answer.text
    return answer.text


def said(product: Product) -> list[Instruction]:
    return [each.event for each in product.ledger.history(ME)]


def held(product: Product, scene: str) -> SceneConsent | SceneWithdrawal | None:
    state = product.ledger.state(ME)
    return state.scenes.get(scene) if state else None


@pytest.fixture
def sharing(customer: TestClient, product: Product) -> TestClient:
    """Customer c00007, who allowed both scenes and signed out again."""
    for scene in SCENES:
        allow(customer, product, scene)
    customer.post("/logout")
    return customer


def test_a_sign_in_that_carries_the_signal_withdraws_sharing_and_advertising(
    sharing: TestClient, product: Product
) -> None:
    before = product.ledger.version(ME)
    sharing.headers.update(SIGNAL)
    sign_in(sharing, ME)
    first, second = said(product)[before:]
    assert [first.act, second.act] == [Withdrawn(SHARING), Withdrawn(ADS)]
    assert {first.evidence, second.evidence} == {EvidenceClass.SESSION}
    assert all(isinstance(held(product, scene), SceneWithdrawal) for scene in SCENES)


def test_the_instruction_names_the_signal_as_its_words(
    sharing: TestClient, product: Product
) -> None:
    sharing.headers.update(SIGNAL)
    sign_in(sharing, ME)
    words = b'{"locale":"en","scene":"ads-device-id","signal":"Sec-GPC: 1"}'
    assert said(product)[-1].wording.digest == sha256(words).digest()
    assert "Your browser withdrew" in sharing.get("/customer/history").text


def test_the_effect_is_shown_with_its_receipts(sharing: TestClient, product: Product) -> None:
    sharing.headers.update(SIGNAL)
    page = sign_in(sharing, ME).get("/customer").text
    assert "not to sell or share" in page
    for recorded in product.ledger.history(ME)[-2:]:
        assert f"/customer/receipts/{recorded.index}" in page


def test_what_is_withdrawn_already_is_not_withdrawn_again(
    sharing: TestClient, product: Product
) -> None:
    sharing.headers.update(SIGNAL)
    sign_in(sharing, ME)
    after = product.ledger.version(ME)
    sharing.post("/customer/gpc")
    sharing.post("/logout")
    sign_in(sharing, ME)
    assert product.ledger.version(ME) == after


def test_who_allows_it_after_the_signal_has_decided(sharing: TestClient, product: Product) -> None:
    sharing.headers.update(SIGNAL)
    sign_in(sharing, ME)
    page = allow(sharing, product, ADS)
    assert "overrides your browser" in page
    for _ in range(2):
        sharing.post("/customer/gpc")
        sharing.post("/logout")
        sign_in(sharing, ME)
    assert isinstance(held(product, ADS), SceneConsent)
    assert isinstance(held(product, SHARING), SceneWithdrawal)


def test_a_get_that_carries_the_signal_records_nothing_and_offers_to(
    customer: TestClient, product: Product
) -> None:
    allow(customer, product, ADS)
    before = product.ledger.version(ME)
    page = customer.get("/customer", headers=SIGNAL).text
    assert product.ledger.version(ME) == before
    assert 'hx-post="/customer/gpc"' in page
    assert 'formaction="/customer/gpc"' in page
    answer = customer.post("/customer/gpc", headers=SIGNAL)
    assert 'hx-post="/customer/gpc"' not in answer.text
    assert isinstance(held(product, ADS), SceneWithdrawal)


def test_a_press_before_it_is_recorded_is_not_taken_back(
    customer: TestClient, product: Product
) -> None:
    customer.headers.update(SIGNAL)
    allow(customer, product, ADS)
    customer.post("/customer/gpc")
    assert isinstance(held(product, ADS), SceneConsent)


@pytest.mark.parametrize("value", NOT_THE_SIGNAL.values(), ids=NOT_THE_SIGNAL.keys())
def test_any_other_value_is_no_signal(sharing: TestClient, product: Product, value: str) -> None:
    before = product.ledger.version(ME)
    sharing.headers["Sec-GPC"] = value
    page = sign_in(sharing, ME).get("/customer").text
    sharing.post("/customer/gpc")
    assert product.ledger.version(ME) == before
    assert "not to sell or share" not in page


def test_one_good_header_among_several_is_the_signal(sharing: TestClient, product: Product) -> None:
    headers = [*sharing.headers.items(), ("Sec-GPC", "0"), ("Sec-GPC", "1")]
    sharing.post("/login", data={"customer": ME}, headers=headers, follow_redirects=False)
    assert isinstance(held(product, ADS), SceneWithdrawal)


def test_the_gate_shares_nothing_from_that_moment(
    sharing: TestClient, product: Product, clock: Clock
) -> None:
    scene = product.scenes[ADS]
    request = ReadRequest(scene.services[0].id, ADS, ME, (*scene.fields,)[:1], clock())
    assert product.gate.read(request).values["device_id"] is not None
    sharing.headers.update(SIGNAL)
    sign_in(sharing, ME)
    assert product.gate.read(request).values["device_id"] is None


@pytest.mark.usefixtures("still")
def test_a_visitor_is_told_and_nothing_is_recorded(visitor: TestClient, product: Product) -> None:
    before = product.ledger.size
    page = visitor.get("/", headers=SIGNAL)
    assert "You are not signed in" in page.text
    assert "Sec-GPC" in page.headers["vary"]
    assert visitor.post("/customer/gpc", headers=SIGNAL, follow_redirects=False).status_code == 303
    assert product.ledger.size == before


@pytest.mark.usefixtures("still")
def test_the_site_says_that_it_honours_the_signal(visitor: TestClient) -> None:
    answer = visitor.get("/.well-known/gpc.json")
    assert answer.headers["content-type"] == "application/json"
    assert json.loads(answer.text) == {"gpc": True, "lastUpdate": gpc.LAST_UPDATE}


def test_two_windows_that_carry_it_record_it_once(
    sharing: TestClient, product: Product, clock: Clock
) -> None:
    before = product.ledger.version(ME)
    for _ in range(2):
        with browser(product, clock) as window:
            window.headers.update(SIGNAL)
            sign_in(window, ME)
    assert product.ledger.version(ME) == before + 2

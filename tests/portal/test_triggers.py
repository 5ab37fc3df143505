"""Clause 3.15 of specs/portal.md: conditions a customer sets, and the gate obeys."""

import re
from datetime import timedelta

import pytest
from starlette.testclient import TestClient

from gate.decision.decide import Reason
from gate.reads.request import ReadRequest
from ledger.events.envelope import SignalReported, TriggerCleared, TriggerSet
from portal.consent import conditions, wording
from portal.operations.wiring import Product
from portal.web import i18n
from portal.web.problems import MalformedFormError
from tests.portal.conftest import START, Clock

ME, SCENE, SERVICE = "c00007", "anomaly-detection", "fraud-desk"
FROZEN = "Your condition is met"


def press(client: TestClient, product: Product, path: str, figure: str = "") -> tuple[int, str]:
    form = {
        "version": str(product.ledger.version(ME)),
        "words": wording.token(product.scenes[SCENE], i18n.load()["en"]),
        "figure": figure,
    }
    answer = client.post(f"/customer/scenes/{SCENE}/conditions/{path}", data=form)
    return answer.status_code, answer.text


def report(product: Product, clock: Clock, value: int) -> None:
    trigger = product.scenes[SCENE].triggers[0]
    product.ledger.announce([SignalReported(trigger.source, trigger.signal, value, clock())])


def reason(product: Product, clock: Clock) -> Reason:
    return product.gate.decide(ReadRequest(SERVICE, SCENE, ME, ("age",), clock())).reason


def test_a_condition_freezes_the_scene_by_itself_and_lets_go(
    customer: TestClient, product: Product, clock: Clock
) -> None:
    report(product, clock, 9500)
    status, page = press(customer, product, "0/set", "92.5")
    assert (status, "Recorded: condition set." in page) == (200, True)
    assert product.ledger.history(ME)[-1].event.act == TriggerSet(
        SCENE, "metric_below", "anomaly-model-accuracy", 9250
    )
    assert reason(product, clock) is Reason.GRANTED
    report(product, clock, 9249)
    assert reason(product, clock) is Reason.FROZEN
    page = customer.get("/customer").text
    assert FROZEN in page
    assert ">Stopped<" in page
    report(product, clock, 9250)
    assert reason(product, clock) is Reason.GRANTED
    assert FROZEN not in customer.get("/customer").text


def test_without_a_fresh_report_it_freezes_too(
    customer: TestClient, product: Product, clock: Clock
) -> None:
    page = press(customer, product, "0/set", "92")[1]
    assert "It waits for the first report" in page
    assert FROZEN not in page, "it does not hold"
    assert reason(product, clock) is Reason.FROZEN


def test_clearing_the_condition_lets_go(
    customer: TestClient, product: Product, clock: Clock
) -> None:
    press(customer, product, "0/set", "92")
    page = press(customer, product, "0/clear")[1]
    assert "Recorded: condition cleared." in page
    assert isinstance(product.ledger.history(ME)[-1].event.act, TriggerCleared)
    assert reason(product, clock) is Reason.GRANTED


def test_setting_what_is_set_records_nothing(customer: TestClient, product: Product) -> None:
    press(customer, product, "0/set", "92")
    version = product.ledger.version(ME)
    assert "Nothing to change." in press(customer, product, "0/set", "92.00")[1]
    press(customer, product, "1/clear")
    assert product.ledger.version(ME) == version


def test_an_incident_needs_no_figure(customer: TestClient, product: Product) -> None:
    assert press(customer, product, "1/set")[0] == 200
    held = product.ledger.state(ME)
    assert held is not None
    assert [each.template for each in held.triggers[SCENE]] == ["incident_open"]


def test_the_page_shows_the_last_report(
    customer: TestClient, product: Product, clock: Clock
) -> None:
    report(product, clock, 9475)
    clock.advance(minutes=5)
    page = customer.get(f"/customer/scenes/{SCENE}").text
    assert re.search(r"Last report: 94\.75%, <time [^>]*>21 Nov 2026", page)


def test_the_words_of_the_conditions_are_among_the_words_shown(product: Product) -> None:
    scene = product.scenes[SCENE]
    assert scene.triggers[0].title["zh-CN"].encode() in wording.shown(scene, i18n.load()["zh-CN"])


FIGURES = {"92": 9200, "92.5": 9250, "92,05": 9205, " 0 ": 0, "100": 10_000, "0.01": 1}


@pytest.mark.parametrize(("text", "parts"), FIGURES.items())
@pytest.mark.usefixtures("still")
def test_a_figure_is_read_in_per_cent(text: str, parts: int, product: Product) -> None:
    assert conditions.read_figure(product.scenes[SCENE].triggers[0], text) == parts


BAD_FIGURES = {
    "nothing": "",
    "a word": "high",
    "negative": "-1",
    "above a hundred": "100.01",
    "three places": "92.555",
    "exponent": "1e2",
    "other digits": "９２",
    "a sign of per cent": "92%",
    "very long": "9" * 400,
}


@pytest.mark.parametrize("text", BAD_FIGURES.values(), ids=BAD_FIGURES.keys())
@pytest.mark.usefixtures("still")
def test_a_bad_figure_is_refused(text: str, product: Product, customer: TestClient) -> None:
    with pytest.raises(MalformedFormError, match="figure is"):
        conditions.read_figure(product.scenes[SCENE].triggers[0], text)
    version = product.ledger.version(ME)
    assert press(customer, product, "0/set", text)[0] == 400
    assert product.ledger.version(ME) == version


@pytest.mark.usefixtures("still")
def test_a_condition_the_contract_does_not_offer_is_unknown(
    customer: TestClient, product: Product
) -> None:
    assert press(customer, product, "2/set", "92")[0] == 404
    assert press(customer, product, "-1/clear")[0] == 404


def test_a_report_from_the_future_does_not_count(
    customer: TestClient, product: Product, clock: Clock
) -> None:
    trigger = product.scenes[SCENE].triggers[0]
    late = START + timedelta(hours=1)
    product.ledger.announce([SignalReported(trigger.source, trigger.signal, 9900, late)])
    press(customer, product, "0/set", "92")
    assert reason(product, clock) is Reason.FROZEN

"""M7: a condition that a customer sets freezes a model's access by itself."""

from tests.features import signals
from tests.features.catalogue import feature
from tests.features.conftest import Bank
from tests.features.served import Person, Site, views, wait_for

SCENE, PLACE = "anomaly-detection", "/customer/scenes/anomaly-detection"


def report(site: Site, bank: Bank, ten_thousandths: int) -> int:
    """Report the model's accuracy as its evaluator does; the HTTP status.

    A report is dated in whole seconds and must be later than the last one.
    """
    body = {"note": signals.accuracy(ten_thousandths, bank.monitor_key)}
    return site.ask("fraud-desk", "/v1/signals", body).status_code


@feature("M7")
def test_a_signed_report_below_the_customers_threshold_freezes_the_reads(
    site: Site, bank: Bank, customer: Person
) -> None:
    def reason() -> str:
        return str(site.read("fraud-desk", SCENE, customer.subject, "age")["reason"])

    wait_for(lambda: report(site, bank, 9600) == 201, "accepted report")
    customer.switch(SCENE, "allow")
    page = customer.page(PLACE)
    assert customer.press(page, f"{PLACE}/conditions/0/set", figure="92").status == 200
    assert reason() == "granted"

    wait_for(lambda: report(site, bank, 9150) == 201, "accepted report")
    frozen = site.read("fraud-desk", SCENE, customer.subject, "age")
    assert (frozen["decision"], frozen["reason"]) == (False, "frozen")
    assert views(frozen)["age"] in {"synthetic", "withheld"}

    wait_for(lambda: report(site, bank, 9700) == 201, "accepted report")
    assert reason() == "granted"


@feature("M7")
def test_a_condition_without_a_report_waits_and_says_so_before_and_after_it_is_set(
    site: Site, bank: Bank, customer: Person
) -> None:
    def reason() -> str:
        return str(site.read("fraud-desk", SCENE, customer.subject, "age")["reason"])

    customer.switch(SCENE, "allow")
    page = customer.page(PLACE)
    assert "If you set it now, nothing personal is read for this until the first one" in page.html
    answer = customer.press(page, f"{PLACE}/conditions/1/set")
    assert "It waits for the first report. Nothing personal" in answer.html
    assert reason() == "frozen"
    for address in (PLACE, "/customer"):
        shown = customer.page(address).html
        assert "Your condition waits for its first report" in shown
        assert "is met, so nothing personal" not in shown
    note = signals.signed("anomaly-model-incident", 10_000, bank.monitor_key)
    assert site.ask("fraud-desk", "/v1/signals", {"note": note}).status_code == 201
    assert "Your condition is met" in customer.page("/customer").html

    def ended() -> bool:
        note = signals.signed("anomaly-model-incident", 0, bank.monitor_key)
        return site.ask("fraud-desk", "/v1/signals", {"note": note}).status_code == 201

    wait_for(ended, "accepted report")
    assert reason() == "granted"
    assert "waits for" not in customer.page(PLACE).html


@feature("M7")
def test_a_report_that_its_source_did_not_sign_is_refused(site: Site, bank: Bank) -> None:
    note = signals.accuracy(5000, bank.monitor_key).replace("5000", "5001")
    assert site.ask("fraud-desk", "/v1/signals", {"note": note}).status_code == 400

"""M1–M6, M10, M13: the sovereignty centre, its switches, and what a service is answered."""

import re

import pytest

from tests.features.catalogue import feature
from tests.features.page import Page
from tests.features.served import Person, Site, views

TWELVE = {
    "contract-service",
    "service-reminder",
    "lead-scoring",
    "direct-marketing",
    "recommendation",
    "nearest-branch",
    "anomaly-detection",
    "renewal-forecast",
    "segmentation",
    "ads-device-id",
    "third-party-sharing",
    "ai-training",
}
STATISTICS = "anonymous-statistics"  # a line of its own
CARD = re.compile(r'<article[^>]* data-scene="([^"]+)".*?</article>', re.DOTALL)
WORDS = ("consequence", "alternative")


def cards(page: Page) -> dict[str, str]:
    """The HTML of each scene's card in the centre."""
    return {found[1]: found[0] for found in CARD.finditer(page.plain)}


def allowed(customer: Person, scene: str) -> bool:
    """Whether the centre shows the scene as allowed."""
    page = customer.page("/customer")
    allow = page.button(f"/customer/scenes/{scene}/allow").pressed
    withdraw = page.button(f"/customer/scenes/{scene}/withdraw").pressed
    assert allow is not withdraw
    return bool(allow)


@feature("M1")
def test_a_read_rests_on_the_very_entry_that_the_customer_signed_off(
    site: Site, customer: Person
) -> None:
    customer.switch("recommendation", "allow")
    agreed = customer.receipts()[0]
    answer = site.read("recommender", "recommendation", customer.subject, "age")
    assert (answer["decision"], answer["determined_by"]) == (True, agreed)
    customer.switch("recommendation", "withdraw")
    ended = customer.receipts()[0]
    answer = site.read("recommender", "recommendation", customer.subject, "age")
    assert (answer["decision"], answer["determined_by"]) == (False, ended)
    assert answer["ledger_size"] > ended


@feature("M2")
@pytest.mark.parametrize("language", ["en", "zh-CN"])
def test_the_customer_sees_twelve_scenes(language: str, site: Site, customer: Person) -> None:
    visitor = site.visitor(**{"Accept-Language": language})
    visitor.client.post("/login", data={"customer": customer.subject})
    page = visitor.page("/customer")
    assert f'<html lang="{language}" ' in page.html
    assert cards(page).keys() == TWELVE | {STATISTICS}
    for scene in TWELVE:
        assert f'data-scene="{scene}"' in visitor.page(f"/customer/scenes/{scene}").html


@feature("M3")
def test_granting_and_withdrawing_take_the_same_single_post(site: Site, customer: Person) -> None:
    scene, address = "recommendation", "/customer/scenes/recommendation"
    page = customer.page("/customer")
    allow, withdraw = page.button(f"{address}/allow"), page.button(f"{address}/withdraw")
    assert allow.fields == withdraw.fields
    assert views(site.read("recommender", scene, customer.subject, "age"))["age"] != "personal"

    customer.press(page, f"{address}/allow")
    assert allowed(customer, scene)
    answer = site.read("recommender", scene, customer.subject, "age", "job")
    assert (answer["decision"], set(views(answer).values())) == (True, {"personal"})

    customer.switch(scene, "withdraw")
    assert not allowed(customer, scene)
    answer = site.read("recommender", scene, customer.subject, "age", "job")
    assert (answer["decision"], answer["reason"]) == (False, "withdrawn")
    assert set(views(answer).values()) <= {"synthetic", "withheld"}


@feature("M4")
def test_signing_in_leads_to_the_centre_and_the_centre_to_everything(customer: Person) -> None:
    centre = customer.page("/customer")
    assert 'id="overview"' in centre.html
    for scene in TWELVE:
        assert f'href="#{scene}"' in centre.html
    for place in ("map", "history", "reads", "leave"):
        assert f'href="/customer/{place}"' in centre.html
        customer.page(f"/customer/{place}")


@feature("M4")
def test_nobody_else_sees_the_centre(site: Site) -> None:
    assert site.visitor().client.get("/customer").url.path == "/"


FLOWS = {
    "name to lead scoring": ("name", "Core banking", "lead-scoring"),
    "mobile number to reminders": ("phone", "Text message platform", "service-reminder"),
}
ROW = re.compile(r"<tr><td>[^<]*</td><td>([^<]*)</td><td><a href=\"/customer/scenes/([^\"]+)\">")


@feature("M5")
@pytest.mark.parametrize("flow", FLOWS)
def test_the_map_leads_from_an_item_over_its_system_to_its_uses(
    flow: str, customer: Person
) -> None:
    item, system, scene = FLOWS[flow]
    shown = ROW.findall(customer.page(f"/customer/map?item={item}").plain)
    assert (system, scene) in shown
    assert {each for each, _ in shown} == {system}


@feature("M5")
def test_a_flow_on_the_map_follows_the_decision(customer: Person) -> None:
    def flowing() -> int:
        return customer.page("/customer/map?item=phone").html.count('class="allowed chosen"')

    before = flowing()
    customer.switch("service-reminder", "allow")
    assert flowing() > before


@feature("M6")
def test_one_item_of_a_scene_is_switched_off_alone(site: Site, customer: Person) -> None:
    customer.switch("recommendation", "allow")
    customer.switch_item("recommendation", "age", "withdraw")
    answer = site.read("recommender", "recommendation", customer.subject, "age", "job")
    assert views(answer)["age"] in {"synthetic", "withheld"}
    assert views(answer)["job"] == "personal"
    customer.switch_item("recommendation", "age", "allow")
    answer = site.read("recommender", "recommendation", customer.subject, "age", "job")
    assert set(views(answer).values()) == {"personal"}


@feature("M10")
def test_a_withdrawal_changes_the_marks_and_not_the_schema(site: Site, customer: Person) -> None:
    fields = ("age", "job", "balance", "housing")
    for scene in ("segmentation", "renewal-forecast"):
        customer.switch(scene, "allow")
    before = site.read("analytics", "segmentation", customer.subject, *fields)
    customer.switch("segmentation", "withdraw")
    after = site.read("analytics", "segmentation", customer.subject, *fields)
    assert after.keys() == before.keys()
    assert [*after["fields"]] == [*before["fields"]] == sorted(fields)
    for name in fields:
        value, was = after["fields"][name]["value"], before["fields"][name]["value"]
        assert type(value) is type(was), name
    assert set(views(after).values()) == {"synthetic"}
    untouched = site.read("risk-desk", "renewal-forecast", customer.subject, "age")
    assert views(untouched) == {"age": "personal"}


@feature("M13")
@pytest.mark.parametrize("language", ["en", "zh-CN"])
def test_consequence_and_alternative_stand_before_each_switch(
    language: str, site: Site, customer: Person
) -> None:
    visitor = site.visitor(**{"Accept-Language": language})
    visitor.client.post("/login", data={"customer": customer.subject})
    for scene, card in cards(visitor.page("/customer")).items():
        switch = card.find("formaction=")
        for word in WORDS:
            text = re.search(rf'data-word="{word}">([^<]+)<', card)
            assert text is not None, (scene, word)
            assert len(text[1]) > 8, (scene, word)
            assert scene == "contract-service" or text.end() < switch, (scene, word)
    assert customer.receipts() == []  # looking changes nothing


@feature("M33")
def test_what_rests_on_the_contract_is_shown_and_locked(site: Site, customer: Person) -> None:
    card = cards(customer.page("/customer"))["contract-service"]
    assert "locked" in card
    assert "formaction=" not in card
    answer = site.read("customer-care", "contract-service", customer.subject, "name")
    assert (answer["reason"], views(answer)["name"]) == ("legal-basis-contract", "personal")
    page = customer.page("/customer/scenes/recommendation")
    fields = page.button("/customer/scenes/recommendation/withdraw").fields
    forged = customer.client.post("/customer/scenes/contract-service/withdraw", data=fields)
    assert forged.status_code in {400, 403, 404, 409}
    assert customer.receipts() == []

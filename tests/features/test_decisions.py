"""M17 and M25: automated decisions are explained, and risky ones wait for a person."""

from typing import Any

import pytest

from tests.features.catalogue import feature
from tests.features.served import Person, Site

SERVICE = "branch-finder"


@feature("M17")
def test_a_service_explains_a_decision_and_the_customer_reads_it(
    site: Site, customer: Person
) -> None:
    customer.switch("nearest-branch", "allow")
    answer = site.read(SERVICE, "nearest-branch", customer.subject, "postcode_area")
    area = answer["fields"]["postcode_area"]["value"]
    explained = {
        "subject": customer.subject,
        "outcome": "three branches offered",
        "inputs": {"postcode_area": area},
        "reasons": ["these branches lie in the area"],
        "model": "distances",
        "model_version": "2.1",
        "prompt_version": "7",
        "read_log": answer["read_log"],
        "entry": answer["entry"],
    }
    assert site.ask(SERVICE, "/v1/decisions", explained).status_code == 201
    page = customer.page("/customer/reads").html
    for part in ("three branches offered", "these branches lie in the area", area, "2.1"):
        assert part in page
    invented = explained | {"inputs": {"age": 30}}  # which was not read
    assert site.ask(SERVICE, "/v1/decisions", invented).status_code == 400
    assert site.ask("ad-desk", "/v1/decisions", explained).status_code == 400


TEXTS = {
    "a refund": "We will refund the fee.",
    "a termination": "We terminate your contract.",
    "a legal threat": "Our lawyer will write to you.",
    "a free offer": "You get a free month.",
    "a refund in Chinese": "我们将为您退款。",
}


@feature("M25")
@pytest.mark.parametrize("why", TEXTS)
def test_a_risky_operation_waits_until_a_person_decides(
    why: str, site: Site, customer: Person
) -> None:
    customer.switch("nearest-branch", "allow")
    proposal: dict[str, Any] = {"subject": customer.subject, "text": TEXTS[why]}
    answer = site.ask(SERVICE, "/v1/proposals", proposal).json()
    assert answer["waits"] is True
    ruling = f"/v1/proposals/{answer['number']}/ruling"
    asked = {"subject": customer.subject}
    assert site.ask(SERVICE, ruling, asked).json() == {"decided": False}

    manager = site.steward()
    page, place = manager.page("/desk/reviews"), f"/desk/reviews/{answer['number']}"
    assert manager.press(page, f"{place}/edit", text="Not yet.", reason="checked").status == 200
    decided = site.ask(SERVICE, ruling, asked).json()
    assert (decided["verdict"], decided["text"]) == ("edit", "Not yet.")


@feature("M25")
def test_what_is_harmless_waits_for_nobody(site: Site, customer: Person) -> None:
    customer.switch("nearest-branch", "allow")
    harmless = {"subject": customer.subject, "text": "Thank you for your message."}
    assert site.ask(SERVICE, "/v1/proposals", harmless).json()["waits"] is False

"""M11 and M24: those responsible learn what a customer switched off, and whom only masked."""

import json
import re
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import pytest

from tests.features.catalogue import feature
from tests.features.served import INSTALLED, Person, Site, wait_for

SCENE, ITEM = "segmentation", "balance"


@pytest.fixture
def case(site: Site, customer: Person) -> dict[str, Any]:
    """The case that opens when a customer switches one item off."""
    customer.switch(SCENE, "allow")
    customer.switch_item(SCENE, ITEM, "withdraw")
    return wait_for(lambda: opened(site), "case")


def opened(site: Site) -> dict[str, Any]:
    rows = INSTALLED.done("steward", "cases", "--json", "--data-dir", site.home).splitlines()
    about = [each for each in map(json.loads, rows) if each["items"] == [ITEM]]
    return about[0] if about else {}


def letter(folder: Path, case: int) -> str:
    """The words of the delivered notice about a case."""
    for path in folder.glob("*.eml"):
        message = message_from_bytes(path.read_bytes(), policy=policy.default)
        if str(message["Subject"]).startswith(f"Case {case}:"):
            return str(message.get_content())
    return ""


@feature("M11", "M24")
def test_a_withdrawal_opens_a_case_whose_notice_states_the_measured_loss(
    site: Site, customer: Person, case: dict[str, Any]
) -> None:
    assert (case["scene"], case["fallback"]) == (SCENE, "synthetic")
    assert 0 < case["loss"]["mean"] <= case["loss"]["p95"]
    text = wait_for(lambda: letter(site.home / "mail", case["case"]), "delivered notice")
    assert f"{100 * case['loss']['mean']:.3g} %" in text
    asked = {"scene": SCENE, "fields": [ITEM]}
    table = site.ask("analytics", "/v1/table", asked, accept="application/x-ndjson")
    (release,) = re.findall(r'release="([^"]+)"', table.headers["Sovereign-Completion"])
    assert f"measured on {release}" in text, "the release on which its tables rest"
    assert case["due"][:10] in text

    care = site.read("customer-care", "contract-service", customer.subject, "name")
    name = care["fields"]["name"]["value"]
    assert f"{name[0]}***" in text
    for sensitive in (name, customer.subject):
        assert sensitive not in text


@feature("M11")
def test_the_case_is_worked_on_at_the_desk(site: Site, case: dict[str, Any]) -> None:
    manager, place = site.steward(case["responsible"]), f"/desk/cases/{case['case']}"
    assert f'href="{place}"' in manager.page("/desk/cases").html
    manager.press(manager.page(place), f"{place}/take")
    manager.press(manager.page(place), f"{place}/close", note="the fallback holds")
    assert "the fallback holds" in manager.page(place).html
    assert f'href="{place}"' not in manager.page("/desk/cases").html

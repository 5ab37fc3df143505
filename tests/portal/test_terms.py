"""What a customer sees of a contract that was widened (clauses V5, V6 of specs/health.md)."""

import re
from pathlib import Path
from shutil import copytree

import pytest

from gate.decision.decide import Reason
from gate.reads.request import ReadRequest
from ledger.events.envelope import ScenePublished
from portal.operations.wiring import Product
from tests.bank import BANK
from tests.portal.conftest import Clock, browser, copy, sign_in
from tests.portal.test_customer import ALLOWED, ME, press

NOTE = "We have widened this use since you allowed it."


@pytest.fixture
def widened(seeded: Path, tmp_path: Path) -> Product:
    """The seeded bank, whose customers had agreed before version 2 asked for consent again."""
    folder = copytree(BANK, tmp_path / "company")
    path = folder / "scenes" / f"{ALLOWED}.odcs.yaml"
    text = path.read_text("utf-8")
    since = "customProperties:\n  - {property: consentSince, value: 2.0.0}\n  - {property: order"
    text = text.replace("\nversion: 1.0.1", "\nversion: 2.0.0")
    path.write_text(text.replace("customProperties:\n  - {property: order", since), "utf-8")
    return copy(seeded, tmp_path / "home", company=str(folder))


def test_a_widened_scene_says_so_and_is_not_in_force(widened: Product, clock: Clock) -> None:
    with browser(widened, clock) as client:
        page = sign_in(client, ME).get(f"/customer/scenes/{ALLOWED}").text
    assert NOTE in page
    assert re.search(rf'id="{ALLOWED}-withdraw"[^>]*aria-pressed="true"', page)


def test_one_press_allows_a_widened_scene_again(widened: Product, clock: Clock) -> None:
    asked = ReadRequest("branch-finder", ALLOWED, ME, ("location",), clock())
    assert widened.gate.decide(asked).reason is Reason.SUPERSEDED
    with browser(widened, clock) as client:
        status, page = press(sign_in(client, ME), widened, f"{ALLOWED}/allow")
    assert (status, NOTE in page) == (200, False)
    assert widened.gate.decide(asked).reason is Reason.GRANTED


def test_nobody_decides_on_a_contract_that_is_no_longer_in_force(
    product: Product, clock: Clock
) -> None:
    scene = product.scenes[ALLOWED]
    product.ledger.announce([ScenePublished(scene.id, "9.0.0", "9" * 64, clock())])
    version = product.ledger.version(ME)
    with browser(product, clock) as client:
        status, _ = press(sign_in(client, ME), product, f"{ALLOWED}/allow")
    assert status == 409
    assert product.ledger.version(ME) == version

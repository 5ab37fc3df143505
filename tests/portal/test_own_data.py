"""What is stored about a customer, where something is missing: the source, the row, the key."""

import logging

import pytest
from fastapi.testclient import TestClient

from gate.decision.quota import Usage
from gate.reads.sources.interface import SourceUnavailableError
from portal.operations.wiring import Product
from tests.portal.conftest import Clock, browser, sign_in

PLACE, ME = "/customer/data", "c00007"


class DownSource:
    """A source that fails and quotes a value."""

    key = "id"

    def row(self, _subject: str, _columns: object) -> None:
        raise SourceUnavailableError("clara.whitby@mail.example")


@pytest.fixture
def down(product: Product, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> TestClient:
    client = sign_in(browser(product, clock), ME)
    monkeypatch.setattr(product.gate, "source", DownSource())
    return client


def test_3_27_a_source_that_is_down_is_said_to_be(
    down: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        page = down.post(PLACE)
    assert page.status_code == 200
    assert "We cannot reach the system that stores your data" in page.text
    assert "<dt>Your own value</dt>" not in page.text
    assert "What they see" in page.text
    assert "mail.example" not in page.text + caplog.text
    reads = down.get("/customer/reads").text
    assert "You, yourself" in reads


def test_3_25_a_post_from_elsewhere_shows_nothing(customer: TestClient, product: Product) -> None:
    before = product.gate.journal.log.size
    answer = customer.post(PLACE, headers={"Sec-Fetch-Site": "cross-site"})
    assert answer.status_code == 403
    assert product.gate.journal.log.size == before


def test_3_25_signed_out_nobody_sees_anything(visitor: TestClient) -> None:
    assert "own-value" not in visitor.post(PLACE).text


def test_g312_looking_uses_up_no_quota_and_logs_one_entry(
    customer: TestClient, product: Product, clock: Clock
) -> None:
    quotas, scenes = product.gate.options.quotas, product.gate.scenes.values()

    def used() -> list[Usage]:
        pairs = [(service.id, each.id) for each in scenes for service in each.services]
        return [quotas.usage(*pair, clock()) for pair in pairs]

    before, size = used(), product.gate.journal.log.size
    assert "<dt>Your own value</dt>" in customer.post(PLACE).text
    assert product.gate.journal.log.size == size + 1
    assert used() == before

"""Clauses 11.1 to 11.3 of specs/portal.md: a receipt on paper, and the code that opens it."""

import re

import pytest
from starlette.testclient import TestClient

from ledger.verify.receipt import parse, verify
from portal.customer import paper
from portal.operations.wiring import Product
from tests.portal.conftest import Clock, browser, sign_in

ME, OTHER = "c00007", "c00008"
KEY = bytes(range(32))


def first(product: Product, subject: str = ME) -> int:
    return product.ledger.history(subject)[0].index


def code(client: TestClient, product: Product) -> str:
    """The secret of the customer's first receipt, as the code on the page holds it."""
    key = client.app.state.context.link_key  # type: ignore[attr-defined] # an application of ours
    return paper.secret(key, ME, first(product))


@pytest.mark.usefixtures("still")
def test_the_page_says_in_plain_words_who_said_what_when_and_how(
    customer: TestClient, product: Product
) -> None:
    recorded = product.ledger.history(ME)[0]
    page = customer.get(f"/customer/receipts/{recorded.index}/paper").text
    name = (product.gate.source.row(ME, ["name"]) or {})["name"]
    wanted = [
        f"<bdi>{name}</bdi> (<bdi>{ME}</bdi>)",
        "Allowed:",
        "taken over from earlier records",
        "18 Nov 2026, 12:00:00 UTC",
        f"Entry {recorded.index} of the log {product.ledger.origin}",
        recorded.event.wording.digest.hex(),
        "<svg",
    ]
    assert [each for each in wanted if each not in page] == []


@pytest.mark.usefixtures("still")
def test_it_says_so_in_chinese_too(customer: TestClient, product: Product) -> None:
    page = customer.get(
        f"/customer/receipts/{first(product)}/paper", headers={"Accept-Language": "zh-CN"}
    ).text
    assert "号回执" in page
    assert "2026年11月18日" in page


@pytest.mark.usefixtures("still")
def test_another_customers_paper_does_not_exist(customer: TestClient, product: Product) -> None:
    answer = customer.get(f"/customer/receipts/{first(product, OTHER)}/paper")
    assert answer.status_code == 404


@pytest.mark.usefixtures("still")
def test_the_code_is_short_and_its_secret_stays_in_the_browser() -> None:
    uuid = "6f0c8b1e-5a57-4c8e-9f0e-0d5f4a3c2b1a"
    address = paper.address("https://privacy.bank.example/verify", KEY, uuid, 123_456_789)
    assert address is not None
    assert len(address) <= paper.MAX_BYTES
    before, fragment = address.split("#")
    assert re.fullmatch(r"123456789\.[\w-]{22,}", fragment)
    assert uuid not in address
    assert before == "https://privacy.bank.example/verify"


@pytest.mark.usefixtures("still")
def test_what_does_not_fit_gets_no_code() -> None:
    assert paper.address("https://privacy.bank.example/verify", KEY, "x" * 100, 1) is None


@pytest.mark.usefixtures("still")
def test_the_secret_opens_this_receipt_without_a_login(
    customer: TestClient, product: Product, clock: Clock
) -> None:
    index, secret = first(product), code(customer, product)
    with browser(product, clock) as anybody:
        answer = anybody.post("/receipts", data={"index": str(index), "secret": secret})
    receipt = parse(answer.text)
    verify(receipt, product.ledger.log.verifiers)
    assert receipt.extra["event"]["subject"] == ME


def changed(secret: str) -> dict[str, str]:
    flipped = secret[:5] + ("A" if secret[5] != "A" else "B") + secret[6:]
    return {
        "one character changed": flipped,
        "cut": secret[:-1],
        "longer": f"{secret}AA",
        "of another portal": paper.secret(KEY, ME, 0),
        "no base64": "!" * 30,
        "empty": "-",
    }


@pytest.mark.usefixtures("still")
@pytest.mark.parametrize("why", changed("A" * 22))
def test_another_secret_finds_nothing(customer: TestClient, product: Product, why: str) -> None:
    secret = changed(code(customer, product))[why]
    answer = customer.post("/receipts", data={"index": str(first(product)), "secret": secret})
    assert answer.status_code == 404


@pytest.mark.usefixtures("still")
def test_a_secret_opens_no_other_entry(customer: TestClient, product: Product) -> None:
    second = product.ledger.history(ME)[1].index
    form = {"index": str(second), "secret": code(customer, product)}
    assert customer.post("/receipts", data=form).status_code == 404


def test_after_erasure_the_code_opens_nothing(
    visitor: TestClient, product: Product, clock: Clock
) -> None:
    sign_in(visitor, ME)
    form = {"index": str(first(product)), "secret": code(visitor, product)}
    product.ledger.erase(ME, clock())
    assert visitor.post("/receipts", data=form).status_code == 404

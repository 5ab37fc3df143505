"""Clause S50 of specs/steward.md: an authority looks into one history, and is seen doing it."""

from collections.abc import Iterator
from pathlib import Path
from re import search

import pytest
from starlette.testclient import TestClient

from ledger.verify import receipt
from portal.operations.wiring import Product
from steward.oversight.authority_access import AuthorityAccessError, AuthorityAccesses
from steward.oversight.register import UnsealableError
from tests.portal.conftest import START, Clock, browser, sign_in
from tests.portal.test_desk import enter

ME, OTHER = "c00007", "c00008"
REASON = "complaint 2026/114"


@pytest.fixture
def officer(product: Product, clock: Clock) -> Iterator[TestClient]:
    with browser(product, clock) as client:
        client.post("/desk/login", data={"role": "data-protection-officer"})
        yield client


@pytest.fixture
def token(officer: TestClient) -> str:
    form = {"customer": ME, "reason": REASON, "days": "30"}
    page = officer.post("/desk/openings", data=form)
    found = search(r"translate=\"no\">([\w-]{43})</pre>", page.text)
    assert found, page.text
    return found[1]


def opened(client: TestClient, customer: str, token: str) -> int:
    form = {"customer": customer, "token": token}
    return client.post("/regulator/opening", data=form).status_code


def test_s50_the_token_opens_that_history_with_its_proofs(
    visitor: TestClient, token: str, product: Product
) -> None:
    page = visitor.post("/regulator/opening", data={"customer": ME, "token": token})
    assert page.status_code == 200
    said = product.ledger.history(ME)
    assert said
    shown = page.text.split('translate="no">')[1].split("</pre>")[0]
    kept = receipt.parse(shown.replace("&#43;", "+").replace("&#34;", '"'))
    receipt.verify(kept, product.ledger.log.verifiers)


def test_s50_token_and_number_together_or_nothing(visitor: TestClient, token: str) -> None:
    for customer, said in ((OTHER, token), (ME, token[:-1]), (ME, ""), ("nobody", token)):
        assert opened(visitor, customer, said) in {400, 401}
    refused = [
        visitor.post("/regulator/opening", data={"customer": who, "token": "x" * 43}).text
        for who in (ME, "nobody")
    ]
    assert refused[0] == refused[1], "it says whether there is such a customer"


def test_s50_until_the_time_is_over(visitor: TestClient, token: str, clock: Clock) -> None:
    clock.advance(days=29, hours=23)
    assert opened(visitor, ME, token) == 200
    clock.advance(hours=1)
    assert opened(visitor, ME, token) == 401


def test_s50_the_customer_sees_who_why_and_how_often(visitor: TestClient, token: str) -> None:
    for _ in range(2):
        opened(visitor, ME, token)
    opened(visitor, ME, "wrong")
    page = sign_in(visitor, ME).get("/customer/reads").text
    assert REASON in page
    assert "data-protection-officer" in page
    assert "used 2 times" in page
    assert REASON not in sign_in(visitor, OTHER).get("/customer/reads").text


def test_s50_the_register_keeps_no_token_and_no_name(token: str, product: Product) -> None:
    kept = b"".join(path.read_bytes() for path in Path(product.home).glob("register.sqlite*"))
    assert token.encode() not in kept
    assert REASON.encode() not in kept
    product.register().verify()


def test_s50_after_erasure_nothing_opens(visitor: TestClient, token: str, product: Product) -> None:
    product.ledger.erase(ME, START)
    assert opened(visitor, ME, token) == 401
    assert AuthorityAccesses(product.register()).of(ME) == []


def test_s50_only_the_data_protection_officer_makes_tokens(
    visitor: TestClient, product: Product
) -> None:
    form = {"customer": ME, "reason": REASON, "days": "30"}
    assert visitor.post("/desk/openings", data=form, follow_redirects=False).status_code == 303
    enter(visitor)  # an account manager
    assert visitor.post("/desk/openings", data=form).status_code == 404
    assert visitor.get("/desk/openings").status_code == 404
    assert AuthorityAccesses(product.register()).of(ME) == []


REFUSED = {
    "no reason": (" ", 30),
    "no days": (REASON, 0),
    "too long": (REASON, 91),
    "back": (REASON, -1),
}


@pytest.mark.parametrize("why", REFUSED)
def test_s50_what_is_out_of_bounds_makes_no_token(why: str, product: Product) -> None:
    reason, days = REFUSED[why]
    with pytest.raises(AuthorityAccessError, match="1 to 90 days"):
        AuthorityAccesses(product.register()).grant(ME, "dpo", reason, days, START)


def test_s50_there_is_nothing_to_open_of_whom_the_source_does_not_know(product: Product) -> None:
    """Of who gave no instruction there are reads."""
    with pytest.raises(UnsealableError):
        AuthorityAccesses(product.register()).grant("c99999", "dpo", REASON, 3, START)

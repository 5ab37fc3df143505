"""The download of read keys (specs/gate.md, G135)."""

from starlette.testclient import TestClient

from ledger.verify import read_keys
from portal.operations.wiring import Product
from tests.portal.conftest import Clock, sign_in

ADDRESS = "/customer/reads/keys"


def test_g135_the_download_has_the_keys_of_this_customer_alone(
    customer: TestClient, product: Product
) -> None:
    answer = customer.get(ADDRESS)
    assert answer.headers["Cache-Control"] == "no-store"
    assert "attachment" in answer.headers["Content-Disposition"]
    keys, origin = read_keys.parse(answer.content), product.gate.journal.log.origin
    tags = product.ledger.read_log_tags("c00007", origin)
    assert tags is not None
    assert keys.logs[origin] == tags.key
    assert keys.positions is not None
    assert keys.positions[origin] == tags.position_key
    assert keys.number == product.ledger.numbers(["c00007"])["c00007"]


def test_g135_it_takes_a_sign_in_of_the_last_five_minutes(
    customer: TestClient, clock: Clock
) -> None:
    clock.advance(minutes=5)
    assert customer.get(ADDRESS).status_code == 403
    sign_in(customer, "c00007")
    assert customer.get(ADDRESS).status_code == 200


def test_nobody_without_a_session_gets_it(visitor: TestClient) -> None:
    answer = visitor.get(ADDRESS, follow_redirects=False)
    assert answer.status_code in {303, 401}

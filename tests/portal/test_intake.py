"""What services hand in over HTTP: explanations and proposals (M17, M25)."""

from datetime import timedelta
from typing import Any

import pytest
from starlette.testclient import TestClient

from gate.reads.request import ReadRequest
from ledger.events.envelope import SignalReported
from ledger.tlog import signed_note
from portal.desk.office import Office
from portal.jobs import contract_checks
from portal.operations.wiring import Product
from steward.oversight.model_signals import signed
from steward.oversight.review import ReviewOutcome
from tests.portal.conftest import Clock
from tests.portal.test_customer import ME

REFUND = {"subject": ME, "text": "We will refund the fee."}


def post(
    client: TestClient, path: str, body: dict[str, Any], service: str = "branch-finder"
) -> tuple[int, dict[str, Any]]:
    headers = {"Authorization": f"Bearer demo-{service}", "Accept": "application/json"}
    answer = client.post(path, json=body, headers=headers)
    return answer.status_code, answer.json()


def decision(product: Product, clock: Clock, **changes: object) -> dict[str, Any]:
    asked = ReadRequest("branch-finder", "nearest-branch", ME, ("postcode_area",), clock())
    answer = product.gate.read(asked)
    return {
        "subject": ME,
        "outcome": "three branches",
        "inputs": dict(answer.values),
        "reasons": ["they lie in this area"],
        "model": "distances",
        "model_version": "2.1",
        "read_log": answer.read_log,
        "entry": answer.entry,
    } | changes


def test_a_service_explains_its_decision_and_the_customer_reads_it(
    customer: TestClient, product: Product, clock: Clock
) -> None:
    assert post(customer, "/v1/decisions", decision(product, clock)) == (201, {"number": 1})
    assert "they lie in this area" in customer.get("/customer/reads").text


def test_a_refused_explanation_says_why_and_nothing_is_kept(
    customer: TestClient, product: Product, clock: Clock
) -> None:
    refused = {
        "not its own reading": (decision(product, clock), "ad-desk", 400),
        "no reason": (decision(product, clock, reasons=[]), "branch-finder", 400),
        "an input it did not read": (
            decision(product, clock, inputs={"age": 9}),
            "branch-finder",
            400,
        ),
        "a broken number": (decision(product, clock, inputs={"age": 1.5}), "branch-finder", 400),
        "an unknown part": (decision(product, clock, extra=1), "branch-finder", 400),
        "no token": (decision(product, clock), "nobody", 401),
    }
    for why, (body, service, status) in refused.items():
        found, problem = post(customer, "/v1/decisions", body, service)
        assert (found, problem["status"]) == (status, status), why
        assert problem["type"].startswith("urn:sovereign:problem:"), why
    _, problem = post(customer, "/v1/decisions", decision(product, clock, reasons=[]))
    assert problem["why"] == "0 reasons, want 1 to 20"
    assert "three branches" not in customer.get("/customer/reads").text


def test_a_proposal_waits_until_a_person_decided_and_only_its_service_hears_of_it(
    visitor: TestClient, product: Product, clock: Clock
) -> None:
    _, answer = post(visitor, "/v1/proposals", REFUND)
    number = answer["number"]
    assert answer == {"waits": True, "number": number}
    place = f"/v1/proposals/{number}/ruling"
    assert post(visitor, place, {"subject": ME}) == (200, {"decided": False})
    Office(product).reviews.decide(
        number, ReviewOutcome.EDIT, by="lin", reason="checked", text="Not yet.", at=clock()
    )
    _, told = post(visitor, place, {"subject": ME})
    assert (told["verdict"], told["text"]) == ("edit", "Not yet.")
    for body, service in (({"subject": ME}, "ad-desk"), ({"subject": "c00008"}, "branch-finder")):
        assert post(visitor, place, body, service) == (200, {"decided": False})


def test_a_harmless_proposal_waits_for_nobody(visitor: TestClient) -> None:
    harmless = {"subject": ME, "text": "Thank you for your message."}
    assert post(visitor, "/v1/proposals", harmless) == (200, {"waits": False, "number": None})


REFUSED: dict[str, tuple[dict[str, Any], str, int]] = {
    "no token": (REFUND, "nobody", 401),
    "an operation nobody knows": (REFUND | {"operations": ["gift"]}, "branch-finder", 400),
    "no words": ({"subject": ME}, "branch-finder", 400),
    "nobody to propose it for": (REFUND | {"subject": ""}, "branch-finder", 400),
    "a customer without a key": (REFUND | {"subject": "nobody"}, "branch-finder", 409),
}


@pytest.mark.usefixtures("still")
@pytest.mark.parametrize("why", REFUSED)
def test_a_proposal_that_cannot_wait_is_refused(
    why: str, visitor: TestClient, product: Product
) -> None:
    body, service, status = REFUSED[why]
    assert post(visitor, "/v1/proposals", body, service)[0] == status
    assert Office(product).reviews.waiting() == []


@pytest.mark.usefixtures("still")
def test_the_interface_is_described(visitor: TestClient) -> None:
    paths = visitor.get("/openapi.json").json()["paths"]
    assert {"/v1/decisions", "/v1/proposals", "/v1/proposals/{number}/ruling"} <= paths.keys()


def test_a_signed_signal_is_announced_and_freezes(
    customer: TestClient, product: Product, clock: Clock
) -> None:
    signer = signed_note.generate("model-monitor")
    office: Office = customer.app.state.office  # type: ignore[attr-defined] # an ASGI app to starlette
    office.signals.register(str(signer.verifier), clock())
    told = SignalReported("model-monitor", "anomaly-model-accuracy", 9199, clock())
    status, answer = post(customer, "/v1/signals", {"note": signed(told, signer)})
    assert (status, answer["value"]) == (201, 9199)
    assert product.gate.current(0)[0].reports
    assert [each.event for each in product.ledger.announced()][-1] == told


def test_a_signal_that_is_not_signed_by_its_source_is_refused(
    customer: TestClient, product: Product, clock: Clock
) -> None:
    signer, size = signed_note.generate("model-monitor"), product.ledger.size
    told = SignalReported("model-monitor", "anomaly-model-accuracy", 10_000, clock())
    refused = {
        "nobody registered": (signed(told, signer), "branch-finder", 400),
        "no note": ("9200", "branch-finder", 400),
        "no token": (signed(told, signer), "nobody", 401),
    }
    for why, (text, service, status) in refused.items():
        found, problem = post(customer, "/v1/signals", {"note": text}, service)
        assert (found, problem["status"]) == (status, status), why
    assert product.ledger.size == size


def test_contracts_are_checked_by_themselves_once_an_hour(product: Product, clock: Clock) -> None:
    office, start, job = Office(product), clock(), contract_checks.job(product)
    runs, due = [], []
    for minutes in (0, 1, 59, 60, 61, 120):
        due.append(job.work(start + timedelta(minutes=minutes)))
        runs.append(office.contracts.last_run())
    hour = timedelta(hours=1)
    assert runs == [start, start, start, start + hour, start + hour, start + 2 * hour]
    assert due == [None, start + hour, start + hour, None, start + 2 * hour, None]

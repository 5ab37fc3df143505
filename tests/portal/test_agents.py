"""Agents behind the gate: marked answers, named errors, tokens (G158, G159, G163, G164)."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from starlette.testclient import TestClient

from gate.contracts.scene import Fallback
from gate.mcp.marking import MEANINGS, marked
from gate.mcp.tools import TOOLS
from ledger import clock as clocks
from portal.app import create_app
from portal.operations.wiring import Product
from tests.portal.agent_attacks import AGENT, PERSON, PURPOSE, SCENE, Truth, call
from tests.portal.agents import HERE, INJECTED, OTHER, OWN, READ, RISKY, WITHDRAWN, Agents, prepared
from tests.portal.conftest import browser, copy, sign_in


@pytest.fixture(scope="module")
def agents(seeded: Path, tmp_path_factory: pytest.TempPathFactory) -> Agents:
    return prepared(seeded, tmp_path_factory.mktemp("agents"))


def test_g159_only_what_is_true_is_called_a_value(agents: Agents) -> None:
    (answer,) = agents.ask(("read_customer", HERE | {"fields": ["name", "email"]}))
    assert answer["all_personal"] is True
    email = answer["fields"]["email"]
    assert email["value"] == agents.truth.rows[OWN]["email"]
    assert email["meaning"].startswith("the customer's own value")
    (other,) = agents.ask(("read_customer", HERE | {"customer": WITHDRAWN}))
    assert (other["reason"], other["all_personal"]) == ("withdrawn", False)
    assert other["fields"]["name"].keys() == {"view", "meaning"}


def test_g159_a_drawn_value_is_named_and_marked_as_invented() -> None:
    views = {"personal": 31, "generalised": "LX01", "synthetic": 20, "withheld": None}
    fields = {name: {"value": value, "view": name} for name, value in views.items()}
    about = {"reason": "granted", "read_log": "bank.example/reads-1", "entry": 3, "ledger_size": 9}
    answer = marked({"fields": fields, "decision": False} | about, "c1", "segmentation")
    assert answer["all_personal"] is False
    assert {name for name, each in answer["fields"].items() if "value" in each} == {
        "personal",
        "generalised",
    }
    assert answer["fields"]["synthetic"]["synthetic_value"] == 20
    assert "NOT this customer's" in answer["fields"]["synthetic"]["meaning"]
    assert {*MEANINGS} == {*views}
    with pytest.raises(ValueError, match="guessed"):
        marked({"fields": {"age": {"view": "guessed", "value": 3}}} | about, "c1", "segmentation")


def test_g158_an_agent_is_told_what_its_service_may_ask_for_and_no_more(agents: Agents) -> None:
    (answer,) = agents.ask(("list_uses", {}))
    (use,) = answer["uses"]
    assert (answer["service"], use["scene"], use["purpose"]) == (AGENT, SCENE, PURPOSE)
    contract = agents.product.scenes[SCENE]
    assert [each["field"] for each in use["fields"]] == [*contract.fields]
    assert {each["without_permission"] for each in use["fields"]} == {Fallback.WITHHOLD.value}
    (care,) = agents.ask(("list_uses", {}), service="customer-care")
    assert [each["scene"] for each in care["uses"]] == ["contract-service", "service-reminder"]


def test_g158_a_suspended_scene_is_no_use(seeded: Path, tmp_path: Path) -> None:
    product = copy(seeded, tmp_path / "home")
    product.gate.suspend(SCENE)
    (answer,) = Agents(product, Truth.of(product)).ask(("list_uses", {}))
    assert answer == {"service": AGENT, "uses": []}


def test_g158_text_in_a_record_widens_nothing(agents: Agents) -> None:
    """A model that does what the text says asks for everything of somebody else."""
    obeyed = [
        ("read_customer", READ | {"customer": WITHDRAWN} | _use(agents.product, each))
        for each in agents.product.scenes
    ]
    first, *others, again = agents.ask(("read_customer", HERE), *obeyed, ("list_uses", {}))
    assert first["fields"]["name"]["value"] == INJECTED
    for answer in others:
        assert [*agents.truth.wrong({}, answer)] == []
        assert answer.get("error") in {None, "unknown-service"}
        assert '"value"' not in json.dumps(answer)
    assert [each["scene"] for each in again["uses"]] == [SCENE]


def _use(product: Product, scene: str) -> dict[str, Any]:
    contract = product.scenes[scene]
    return {"scene": scene, "fields": [*contract.fields], "purpose": contract.purpose}


def test_g158_an_unknown_agent_is_told_so(agents: Agents) -> None:
    answers = agents.ask(("list_uses", {}), ("read_customer", HERE), service="nobody")
    assert [each["error"] for each in answers] == ["unauthenticated"] * 2


def test_several_customers_are_read_one_by_one(agents: Agents) -> None:
    asked = READ | {"customers": [OWN, WITHDRAWN, OTHER, OWN]}
    log = agents.product.gate.journal.log
    before = log.size
    (answer,) = agents.ask(("read_customers", asked))
    assert [each["customer"] for each in answer["answers"]] == [OWN, WITHDRAWN, OTHER]
    assert [each["reason"] for each in answer["answers"]] == [
        "granted",
        "withdrawn",
        "never-granted",
    ]
    assert [each["entry"] for each in answer["answers"]] == [*range(before, before + 3)]
    assert answer["not_read"] == []


def test_what_is_left_of_several_when_the_quota_ends_is_named(seeded: Path, tmp_path: Path) -> None:
    quota = {f"{AGENT}/{SCENE}": {"points_per_minute": 2}}
    product = copy(seeded, tmp_path / "home", quota=quota)
    asked = READ | {"customers": [OWN, OTHER, WITHDRAWN, "c00042", "c00043", "c00044"]}
    first, last = Agents(product, Truth.of(product)).ask(
        ("read_customers", asked), ("read_customers", asked)
    )
    read = [each["customer"] for each in first["answers"]]
    assert read + first["not_read"] == asked["customers"]
    assert first["why"]["error"] == "quota-exceeded"
    assert last["error"] == "quota-exceeded" or last["why"]["error"] == "quota-exceeded"


def test_g163_a_risky_action_waits_for_a_person_and_a_harmless_one_does_not(agents: Agents) -> None:
    (waits, harmless) = agents.ask(
        ("propose_action", RISKY), ("propose_action", RISKY | {"text": "Good morning."})
    )
    assert waits["waits"] is True
    assert (harmless["waits"], harmless["number"]) == (False, None)
    (pending,) = agents.ask(("review_of_action", {"customer": OWN, "number": waits["number"]}))
    assert pending["decided"] is False
    (other,) = agents.ask(
        ("review_of_action", {"customer": OWN, "number": waits["number"]}), service="analytics"
    )
    assert other["decided"] is False


def explanation(read: dict[str, Any], **members: Any) -> dict[str, Any]:
    return {
        "customer": OWN,
        "outcome": "one mail",
        "inputs": {"email": read["fields"]["email"]["value"]},
        "reasons": ["allowed"],
        "model": "assistant",
        "model_version": "3",
        "prompt_version": "12",
        "tokens": 812,
        "read_log": read["read_log"],
        "entry": read["entry"],
        "on_behalf_of": PERSON,
    } | members


def test_g163_an_explained_decision_names_model_tokens_and_person(agents: Agents) -> None:
    (read,) = agents.ask(("read_customer", HERE | {"fields": ["email"]}))
    explained, invented, not_mine = agents.ask(
        ("explain_decision", explanation(read)),
        ("explain_decision", explanation(read, inputs={"name": "x"})),
        ("explain_decision", explanation(read, customer=OTHER)),
    )
    assert explained["number"] > 0
    assert (invented["error"], not_mine["error"]) == ("explanation", "explanation")
    with browser(agents.product, clocks.now) as visitor:  # type: ignore[arg-type] # a clock
        page = sign_in(visitor, OWN).get("/customer/reads").text
    for part in (
        "one mail",
        "assistant 3 12",
        "812 tokens",
        f"decided on behalf of {PERSON}",
    ):
        assert part in page


# Streamable HTTP.

MCP = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}
LIST = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}


@pytest.fixture(scope="module")
def http(agents: Agents) -> Iterator[TestClient]:
    with TestClient(create_app(agents.product), headers=MCP) as client:
        yield client


BEARER = {"Authorization": f"Bearer demo-{AGENT}"}


def test_g164_an_agent_with_a_token_is_served_and_others_are_told_whom_to_ask(
    http: TestClient,
) -> None:
    served = http.post("/mcp", json=LIST, headers=BEARER)
    assert [each["name"] for each in served.json()["result"]["tools"]] == [*TOOLS]
    for headers in ({}, {"Authorization": "Bearer demo-nobody"}, {"Authorization": "Basic x"}):
        refused = http.post("/mcp", json=LIST, headers=headers)
        assert refused.status_code == 401
        metadata = refused.headers["WWW-Authenticate"].partition('resource_metadata="')[2]
        answer = http.get(metadata.strip('"').removeprefix("http://localhost:8000"))
        assert answer.json()["resource"] == "http://localhost:8000/mcp"
        assert answer.json()["authorization_servers"] == ["http://localhost:8000/"]


def test_g164_without_an_issuer_nobody_is_named_and_nobody_is_served(
    seeded: Path, tmp_path: Path
) -> None:
    product = copy(seeded, tmp_path / "home", demo=False)
    with TestClient(create_app(product), headers=MCP) as client:
        assert client.post("/mcp", json=LIST, headers=BEARER).status_code == 401
        assert client.get("/.well-known/oauth-protected-resource/mcp").status_code == 404


REFUSED: dict[str, tuple[dict[str, str], int]] = {
    "a page of another site": ({"Origin": "https://evil.example"}, 403),
    "a page without an origin": ({"Origin": "null"}, 403),
    "another type": ({"Content-Type": "text/plain"}, 400),
}


@pytest.mark.parametrize("why", REFUSED)
def test_g164_a_request_that_no_agent_sends_is_refused(why: str, http: TestClient) -> None:
    headers, status = REFUSED[why]
    answer = http.post("/mcp", content=json.dumps(LIST), headers=BEARER | headers)
    assert answer.status_code == status


def test_g164_there_are_no_sessions_and_bodies_are_bounded(http: TestClient) -> None:
    wrong = http.get("/mcp", headers=BEARER)
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "POST")
    assert http.delete("/mcp", headers=BEARER).status_code == 405
    large = http.post("/mcp", content=b" " * (1 << 20) + b"{}", headers=BEARER)
    assert large.status_code == 413
    session = http.post("/mcp", json=LIST, headers=BEARER | {"Mcp-Session-Id": "another's"})
    assert "mcp-session-id" not in session.headers


def test_g164_the_token_of_each_request_counts(agents: Agents) -> None:
    """Two agents at the same endpoint are two services, in whatever order they ask."""

    async def asked() -> list[dict[str, Any]]:
        app, found = create_app(agents.product), []
        for service in (AGENT, "customer-care", AGENT):
            async with httpx2.AsyncClient(
                transport=httpx2.ASGITransport(app),
                headers={"Authorization": f"Bearer demo-{service}"},
            ) as sent:
                transport = streamable_http_client("http://gate/mcp", http_client=sent)
                async with Client(transport) as client:
                    found.append(await call(client, "list_uses", {}))
        return found

    found = asyncio.run(asked())
    assert [each["service"] for each in found] == [AGENT, "customer-care", AGENT]

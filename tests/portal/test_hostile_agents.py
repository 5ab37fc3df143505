"""What hostile agents send: a named error, or nothing (G158, G160, G162)."""

import asyncio
import json
import logging
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp import Client
from starlette.testclient import TestClient

from gate.mcp import server
from gate.mcp.service_api import NO_ANSWER
from portal.app import create_app
from tests.campaign import sized
from tests.portal.agent_attacks import AGENT, PURPOSE, SCENE, Truth, attack, call, made_product
from tests.portal.agents import HERE, OTHER, OWN, READ, RISKY, Agents, prepared

CALLS = sized(400, 100_000)


@pytest.mark.campaign
def test_g158_whoever_chooses_every_call_gets_nothing_beyond_the_grants(tmp_path: Path) -> None:
    outcome = asyncio.run(attack(made_product(tmp_path), seed_=7, calls=CALLS))
    assert outcome.wrong == []
    assert outcome.calls == CALLS
    assert outcome.values > CALLS / 20  # enough is allowed for a gate that gives too much to show
    assert {"", "malformed-arguments", "unknown-service", "field-outside-scene"} <= {
        *outcome.errors
    }


def answered(customer: str, **fields: Any) -> dict[str, Any]:
    return {"customer": customer, "scene": SCENE, "fields": fields}


FORGED: dict[str, Any] = {
    "a value without a grant": answered("c2", name={"view": "personal", "value": "Bo"}),
    "a coarser value without one": answered("c2", name={"view": "generalised", "value": "B"}),
    "a value of another scene": answered("c1", name={"view": "personal", "value": "Ada"})
    | {"scene": "lead-scoring"},
    "a value that is not the source's": answered("c1", name={"view": "personal", "value": "Bo"}),
    "an invented one that is called a value": answered(
        "c1", name={"view": "synthetic", "value": 1}
    ),
    "one of several": {
        "answers": [answered("c1"), answered("c2", name={"view": "personal", "value": "Bo"})]
    },
    "an address in an error": {"error": "internal", "detail": "no row bo@mail.example"},
}


@pytest.mark.parametrize("why", FORGED)
def test_the_judge_of_the_campaign_finds_what_must_not_be_given(why: str) -> None:
    rows = {
        "c1": {"name": "Ada", "email": "ada@mail.example", "device_id": "dev-1"},
        "c2": {"name": "Bo", "email": "bo@mail.example", "device_id": "dev-2"},
    }
    truth = Truth(rows, {"c1": frozenset({"name"})})
    assert [*truth.wrong({}, FORGED[why])]
    assert not [*truth.wrong({}, answered("c1", name={"view": "personal", "value": "Ada"}))]


@pytest.fixture(scope="module")
def agents(seeded: Path, tmp_path_factory: pytest.TempPathFactory) -> Agents:
    return prepared(seeded, tmp_path_factory.mktemp("agents"))


BIG = "x" * 100_000
HOSTILE: dict[str, tuple[str, Any, str]] = {
    # wrong types
    "no arguments": ("read_customer", {}, "malformed-arguments"),
    "a customer that is a number": ("read_customer", HERE | {"customer": 8}, "malformed-arguments"),
    "a customer that is null": ("read_customer", HERE | {"customer": None}, "malformed-arguments"),
    "a customer that is true": ("read_customer", HERE | {"customer": True}, "malformed-arguments"),
    "a list of customers": (
        "read_customer",
        HERE | {"customer": [OWN, OTHER]},
        "malformed-arguments",
    ),
    "an operator for a customer": (
        "read_customer",
        HERE | {"customer": {"$ne": OWN}},
        "malformed-arguments",
    ),
    "fields that are a text": ("read_customer", HERE | {"fields": "name"}, "malformed-arguments"),
    "fields that are numbers": ("read_customer", HERE | {"fields": [1]}, "malformed-arguments"),
    "fields in fields": ("read_customer", HERE | {"fields": [["name"]]}, "malformed-arguments"),
    "fields that are an object": (
        "read_customer",
        HERE | {"fields": {"name": 1}},
        "malformed-arguments",
    ),
    "no fields": ("read_customer", HERE | {"fields": []}, "malformed-arguments"),
    "many fields": ("read_customer", HERE | {"fields": ["name"] * 65}, "malformed-arguments"),
    "a scene that is an object": (
        "read_customer",
        HERE | {"scene": {"id": SCENE}},
        "malformed-arguments",
    ),
    "a purpose that is null": ("read_customer", HERE | {"purpose": None}, "malformed-arguments"),
    # members that nobody knows
    "another service": ("read_customer", HERE | {"service": "analytics"}, "malformed-arguments"),
    "a token of another": (
        "read_customer",
        HERE | {"token": "demo-ad-desk"},
        "malformed-arguments",
    ),
    "an administrator": ("read_customer", HERE | {"admin": True}, "malformed-arguments"),
    "a prototype": ("read_customer", HERE | {"__proto__": {"admin": True}}, "malformed-arguments"),
    "a filter": ("read_customer", HERE | {"filter": []}, "malformed-arguments"),
    "arguments of list_uses": ("list_uses", {"service": "analytics"}, "malformed-arguments"),
    # the person
    "nobody asks": ("read_customer", HERE | {"on_behalf_of": None}, "malformed-arguments"),
    "an empty person": ("read_customer", HERE | {"on_behalf_of": ""}, "malformed-arguments"),
    "a person with markup": (
        "read_customer",
        HERE | {"on_behalf_of": "<script>alert(1)</script>"},
        "malformed-arguments",
    ),
    "a person of two lines": (
        "read_customer",
        HERE | {"on_behalf_of": "e.mueller\nadmin"},
        "malformed-arguments",
    ),
    "a person and a line end": (
        "read_customer",
        HERE | {"on_behalf_of": "e.mueller\n"},
        "malformed-arguments",
    ),
    "a person of letters that look alike": (
        "read_customer",
        HERE | {"on_behalf_of": "\u0435.mueller"},
        "malformed-arguments",
    ),
    "a person without end": ("read_customer", HERE | {"on_behalf_of": BIG}, "malformed-arguments"),
    # names
    "a scene that nobody offers": (
        "read_customer",
        HERE | {"scene": "everything"},
        "unknown-scene",
    ),
    "a scene in capitals": ("read_customer", HERE | {"scene": SCENE.upper()}, "unknown-scene"),
    "a path for a scene": ("read_customer", HERE | {"scene": "../../etc/passwd"}, "unknown-scene"),
    "a scene and a zero": ("read_customer", HERE | {"scene": f"{SCENE}\0"}, "unknown-scene"),
    "a scene in wide letters": (
        "read_customer",
        HERE | {"scene": "\uff44irect-marketing"},
        "unknown-scene",
    ),
    "a scene without end": ("read_customer", HERE | {"scene": BIG}, "malformed-arguments"),
    "a scene of another service": (
        "read_customer",
        HERE | {"scene": "third-party-sharing"},
        "unknown-service",
    ),
    "a locked scene of another service": (
        "read_customer",
        HERE | {"scene": "contract-service", "purpose": "RequestedServiceProvision"},
        "unknown-service",
    ),
    "a field of another scene": (
        "read_customer",
        HERE | {"fields": ["name", "balance"]},
        "field-outside-scene",
    ),
    "the id as a field": ("read_customer", HERE | {"fields": ["id"]}, "field-outside-scene"),
    "every field": ("read_customer", HERE | {"fields": ["*"]}, "field-outside-scene"),
    "a query for a field": (
        "read_customer",
        HERE | {"fields": ["name FROM customer --"]},
        "field-outside-scene",
    ),
    "a field with a mark that turns text": (
        "read_customer",
        HERE | {"fields": ["\u202ename"]},
        "field-outside-scene",
    ),
    "a field in capitals": ("read_customer", HERE | {"fields": ["NAME"]}, "field-outside-scene"),
    "another scene's purpose": (
        "read_customer",
        HERE | {"purpose": "ServiceUsageAnalytics"},
        "purpose-differs",
    ),
    "a purpose in small letters": (
        "read_customer",
        HERE | {"purpose": PURPOSE.lower()},
        "purpose-differs",
    ),
    "two purposes": (
        "read_customer",
        HERE | {"purpose": f"{PURPOSE},{PURPOSE}"},
        "purpose-differs",
    ),
    "a purpose and a blank": (
        "read_customer",
        HERE | {"purpose": f" {PURPOSE}"},
        "purpose-differs",
    ),
    # ids: of nobody, so they are answered like one who never allowed anything
    "an id and an injection": ("read_customer", HERE | {"customer": "c00008' OR '1'='1"}, ""),
    "an id and a comment": ("read_customer", HERE | {"customer": f"{OWN}'--"}, ""),
    "two ids": ("read_customer", HERE | {"customer": f"{OWN},{OTHER}"}, ""),
    "a pattern": ("read_customer", HERE | {"customer": "c000%"}, ""),
    "an id and a zero": ("read_customer", HERE | {"customer": f"{OWN}\0"}, ""),
    "an id and a blank": ("read_customer", HERE | {"customer": f" {OWN}"}, ""),
    "an id and an invisible mark": ("read_customer", HERE | {"customer": f"{OWN}\u200b"}, ""),
    "an id in wide figures": ("read_customer", HERE | {"customer": "c\uff10\uff10040"}, ""),
    "a path for an id": ("read_customer", HERE | {"customer": f"../../{OWN}"}, ""),
    "JSON for an id": ("read_customer", HERE | {"customer": json.dumps({"id": OWN})}, ""),
    "an id that is half a character": ("read_customer", HERE | {"customer": "\ud83d"}, "?"),
    "an id without end": ("read_customer", HERE | {"customer": BIG}, "malformed-arguments"),
    # the other tools
    "too many customers": (
        "read_customers",
        READ | {"customers": [f"c{n:05d}" for n in range(21)]},
        "malformed-arguments",
    ),
    "no customers": ("read_customers", READ | {"customers": []}, "malformed-arguments"),
    "customers and a customer": (
        "read_customers",
        HERE | {"customers": [OWN]},
        "malformed-arguments",
    ),
    "a proposal's number that is a path": (
        "review_of_action",
        {"customer": OWN, "number": "1/../../read"},
        "malformed-arguments",
    ),
    "a proposal's number that is a text": (
        "review_of_action",
        {"customer": OWN, "number": "7"},
        "malformed-arguments",
    ),
    "a proposal's negative number": (
        "review_of_action",
        {"customer": OWN, "number": -1},
        "malformed-arguments",
    ),
    "an operation that nobody knows": (
        "propose_action",
        RISKY | {"operations": ["approve"]},
        "malformed",
    ),
    "a proposal that decides itself": (
        "propose_action",
        RISKY | {"verdict": "approve"},
        "malformed-arguments",
    ),
    "a tool that is a path": ("../v1/read", HERE, "unknown-tool"),
    "a tool in capitals": ("READ_CUSTOMER", HERE, "unknown-tool"),
    "a tool without end": (BIG, HERE, "unknown-tool"),
}


@pytest.mark.parametrize("why", HOSTILE)
def test_g162_a_hostile_call_gets_a_named_error_or_nothing(agents: Agents, why: str) -> None:
    tool, arguments, error = HOSTILE[why]
    (answer,) = agents.ask((tool, arguments))
    text = json.dumps(answer)
    assert error in {"?", answer.get("error", "")}, text
    assert '"value"' not in text
    assert [*agents.truth.wrong({}, answer)] == []
    assert "Traceback" not in text
    assert len(text) < 4_000  # whatever was sent, an error is short
    if not error:
        assert answer["reason"] == "never-granted"


def test_there_are_enough_hostile_calls() -> None:
    assert len(HOSTILE) >= 60


class _Failing(httpx2.AsyncBaseTransport):
    """A gate that answers with `body`, or not at all."""

    def __init__(self, status: int, body: bytes | None) -> None:
        self._status, self._body = status, body

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        if self._body is None:
            raise httpx2.ConnectError("connection to 10.0.0.7 refused", request=request)
        return httpx2.Response(self._status, content=self._body, request=request)


BROKEN: dict[str, tuple[int, bytes | None, str]] = {
    "no gate": (0, None, NO_ANSWER),
    "a page instead of JSON": (200, b"<html>Ada Barlow</html>", NO_ANSWER),
    "a list instead of an object": (200, b"[]", NO_ANSWER),
    "a gate that is behind": (503, b'{"title": "The gate is behind the ledger"}', NO_ANSWER),
    "an answer without fields": (200, b'{"name": "Ada Barlow"}', "internal"),
    "an unknown view": (200, b'{"fields": {"a": {"view": "Ada Barlow", "value": 1}}}', "internal"),
}


@pytest.mark.parametrize("why", BROKEN)
def test_g162_a_gate_that_fails_is_a_named_error_without_values(
    why: str, caplog: pytest.LogCaptureFixture
) -> None:
    status, body, error = BROKEN[why]

    async def asked() -> dict[str, Any]:
        gate = httpx2.AsyncClient(transport=_Failing(status, body), base_url="http://gate")
        tools = server.build(gate, lambda _: "Bearer secret-token")
        async with gate, Client(tools) as client:
            return await call(client, "read_customer", HERE)

    caplog.set_level(logging.WARNING)
    answer = asyncio.run(asked())
    assert answer["error"] == error
    for secret in ("Ada", "secret-token", "10.0.0.7"):
        assert secret not in json.dumps(answer) + caplog.text


CALL = {"jsonrpc": "2.0", "id": 1, "method": "tools/call"}
SECRET = "what-an-agent-sent"
MESSAGES: dict[str, bytes] = {
    "nothing": b"",
    "no JSON": SECRET.encode(),
    "not UTF-8": b'{"jsonrpc": "\xff"}',
    "a list of messages": json.dumps([CALL | {"params": {"name": "list_uses"}}]).encode(),
    "nested without end": b"[" * 100_000,
    "a number": b"1e400",
    "no method": b'{"jsonrpc": "2.0", "id": 1}',
    "another version": json.dumps(CALL | {"jsonrpc": "1.0"}).encode(),
    "an id that is an object": json.dumps(CALL | {"id": {"a": SECRET}}).encode(),
    "no parameters": json.dumps(CALL).encode(),
    "a tool that is a list": json.dumps(CALL | {"params": {"name": [SECRET]}}).encode(),
    "arguments that are a text": json.dumps(
        CALL | {"params": {"name": "list_uses", "arguments": SECRET}}
    ).encode(),
    "a method that nobody knows": json.dumps(CALL | {"method": "gate/read"}).encode(),
    "a resource": json.dumps(
        CALL | {"method": "resources/read", "params": {"uri": "file:///"}}
    ).encode(),
    "an answer": b'{"jsonrpc": "2.0", "id": 1, "result": {}}',
}


@pytest.mark.parametrize("version", [None, "2025-06-18", "2026-07-28", "9999-01-01", "x" * 5_000])
@pytest.mark.parametrize("why", MESSAGES)
def test_g162_a_message_that_no_agent_sends_is_refused_and_not_logged(
    why: str, version: str | None, agents: Agents, caplog: pytest.LogCaptureFixture
) -> None:
    headers = {
        "Authorization": f"Bearer demo-{AGENT}",
        "Accept": "application/json, text/event-stream",
        "Content-Type": "application/json",
    }
    if version is not None:
        headers["Mcp-Protocol-Version"] = version
    with TestClient(create_app(agents.product), raise_server_exceptions=False) as client:
        answer = client.post("/mcp", content=MESSAGES[why], headers=headers)
    assert answer.status_code in {200, 202, 400, 404, 413}
    assert "Traceback" not in answer.text + caplog.text
    assert SECRET not in caplog.text
    if answer.status_code == 200:
        assert "error" in answer.json()

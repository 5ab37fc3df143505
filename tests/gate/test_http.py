"""The gate over HTTP: AuthZEN 1.0, the read API, and every way a request can be wrong."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pytest

from gate.http import app
from gate.http.app import GateApp
from gate.http.request_body import MAX_BYTES
from gate.http.response import HttpError
from gate.reads.bulk import formats
from gate.reads.point import MAX_BEHIND
from gate.reads.sources.interface import SourceUnavailableError
from ledger.events.envelope import Granted, Withdrawn
from ledger.reader import RecordedEvent
from tests.gate.world import NOON, World, world


class Tokens:
    def service(self, headers: Mapping[bytes, bytes]) -> str | None:
        return {b"Bearer a": "analytics", b"Bearer c": "crm", b"Bearer s": "stranger"}.get(
            headers.get(b"authorization", b"")
        )


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def bank(tmp_path: Path) -> World:
    bank = world(tmp_path)
    bank.says("c1", Granted("segmentation", ("age", "job"), None))
    return bank


@pytest.fixture
async def http(bank: World) -> AsyncIterator[httpx.AsyncClient]:
    app = GateApp(bank.gate, Tokens(), clock=lambda: NOON)
    transport = httpx.ASGITransport(app=app)  # type: ignore[arg-type] # a plain ASGI callable
    async with httpx.AsyncClient(
        transport=transport, base_url="http://gate", headers={"authorization": "Bearer a"}
    ) as client:
        yield client


pytestmark = pytest.mark.anyio


def question(customer: str = "c1", **context: Any) -> dict[str, Any]:
    return {
        "subject": {"type": "service", "id": "analytics"},
        "action": {"name": "read"},
        "resource": {"type": "customer", "id": customer},
        "context": {"scene": "segmentation"} | context,
    }


async def decision(http: httpx.AsyncClient, asked: dict[str, Any]) -> bool:
    answer = await http.post("/access/v1/evaluation", json=asked)
    assert answer.status_code == 200
    return bool(answer.json()["decision"])


async def test_others_are_answered_while_a_decision_waits_for_the_gate(
    http: httpx.AsyncClient, bank: World
) -> None:
    held, enough = threading.Event(), threading.Event()

    def hold() -> None:
        with bank.gate.lock:
            held.set()
            assert enough.wait(180)

    holder = threading.Thread(target=hold)
    holder.start()
    assert held.wait(180)
    waiting = asyncio.create_task(decision(http, question(fields=["age"])))
    batch = asyncio.create_task(http.post("/access/v1/evaluations", json=question()))
    assert (await http.get("/.well-known/authzen-configuration")).status_code == 200
    assert not waiting.done()
    enough.set()
    assert await waiting
    assert (await batch).status_code == 200
    holder.join()


async def test_a_long_stretch_of_the_ledger_is_followed_beside_the_event_loop(
    http: httpx.AsyncClient, bank: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[int] = []
    follow = bank.ledger.follow

    def followed(since: int) -> Iterator[RecordedEvent]:
        threads.append(threading.get_ident())
        return follow(since)

    monkeypatch.setattr(bank.ledger, "follow", followed)
    for number in range(MAX_BEHIND + 1):
        bank.reports("accuracy", number)
    assert await decision(http, question(fields=["age"]))
    assert threads
    assert threading.get_ident() not in threads


async def test_an_evaluation_is_decided_and_journalled(
    http: httpx.AsyncClient, bank: World
) -> None:
    sent = await http.post("/access/v1/evaluation", json=question(fields=["age"]))
    answer = sent.json()
    assert answer["decision"] is True
    assert answer["context"]["ledger_size"] == bank.ledger.size
    entries = list(bank.gate.journal.log.entries(0, bank.gate.journal.log.size))
    log, entry = bank.gate.journal.log, len(entries) - 1
    told = f'entry={entry};ledger_size={bank.ledger.size};read_log="{log.origin}"'
    assert sent.headers["sovereign-evidence"] == told
    assert json.loads(entries[entry])["action"] == "evaluate"


async def test_without_fields_all_fields_are_asked_for(http: httpx.AsyncClient) -> None:
    assert await decision(http, question()) is False  # housing was not granted
    assert await decision(http, question(fields=["age", "job"])) is True


OTHERS: dict[str, dict[str, Any]] = {
    "another subject type": {"subject": {"type": "user", "id": "analytics"}},
    "another service": {"subject": {"type": "service", "id": "crm"}},
    "another action": {"action": {"name": "write"}},
    "another resource type": {"resource": {"type": "account", "id": "c1"}},
    "an unknown customer": {"resource": {"type": "customer", "id": "nobody"}},
    "an unknown scene": {"context": {"scene": "none", "fields": ["age"]}},
    "no context": {"context": {}},
    "an unknown field": {"context": {"scene": "segmentation", "fields": ["shoe"]}},
}


@pytest.mark.parametrize("why", OTHERS)
async def test_whatever_is_not_granted_is_a_no(http: httpx.AsyncClient, why: str) -> None:
    assert await decision(http, question(fields=["age"]) | OTHERS[why]) is False


async def batch(http: httpx.AsyncClient, semantic: str) -> list[bool]:
    asked = question(fields=["age"]) | {
        "evaluations": [
            {},
            {"resource": {"type": "customer", "id": "c2"}},
            {"context": {"scene": "segmentation", "fields": ["job"]}},
        ],
        "options": {"evaluations_semantic": semantic},
    }
    answer = (await http.post("/access/v1/evaluations", json=asked)).json()
    return [each["decision"] for each in answer["evaluations"]]


async def test_a_batch_follows_its_semantic(http: httpx.AsyncClient) -> None:
    assert await batch(http, "execute_all") == [True, False, True]
    assert await batch(http, "deny_on_first_deny") == [True, False]
    assert await batch(http, "permit_on_first_permit") == [True]


async def test_a_batch_without_evaluations_is_a_single_evaluation(http: httpx.AsyncClient) -> None:
    asked = question(fields=["age"]) | {"evaluations": []}
    assert (await http.post("/access/v1/evaluations", json=asked)).json()["decision"] is True


async def test_a_bad_element_is_denied_and_the_batch_goes_on(http: httpx.AsyncClient) -> None:
    asked = {"evaluations": [{"action": {"name": "read"}}, question(fields=["age"])]}
    answer = (await http.post("/access/v1/evaluations", json=asked)).json()["evaluations"]
    assert answer[0]["context"]["error"]["status"] == 400
    assert [each["decision"] for each in answer] == [False, True]


async def test_searches_find_what_may_be_read(http: httpx.AsyncClient, bank: World) -> None:
    bank.says("c3", Granted("segmentation", ("age",), None))
    context = {"scene": "segmentation", "fields": ["age"]}
    asked = question() | {"context": context}
    customers = asked | {"resource": {"type": "customer"}, "page": {"limit": 1}}
    found = (await http.post("/access/v1/search/resource", json=customers)).json()
    assert found["results"] == [{"type": "customer", "id": "c1"}]
    following = customers | {"page": {"token": found["page"]["next_token"], "limit": 1}}
    found = (await http.post("/access/v1/search/resource", json=following)).json()
    assert found["results"] == [{"type": "customer", "id": "c3"}]
    assert found["page"]["next_token"] == ""
    services = asked | {"subject": {"type": "service"}}
    found = (await http.post("/access/v1/search/subject", json=services)).json()
    assert found["results"] == [{"type": "service", "id": "analytics"}]
    actions = {key: asked[key] for key in ("subject", "resource", "context")}
    found = (await http.post("/access/v1/search/action", json=actions)).json()
    assert found["results"] == [{"name": "read"}]


async def test_a_search_for_another_service_finds_nobody(http: httpx.AsyncClient) -> None:
    """The contract lets crm read these customers, but analytics does not ask in its name."""
    context = {"scene": "segmentation", "fields": ["age"]}
    found = {}
    for service in ("analytics", "crm"):
        asked = question() | {
            "subject": {"type": "service", "id": service},
            "resource": {"type": "customer"},
            "context": context,
        }
        answer = await http.post("/access/v1/search/resource", json=asked)
        found[service] = [each["id"] for each in answer.json()["results"]]
    assert found == {"analytics": ["c1"], "crm": []}


async def test_the_metadata_names_every_endpoint(http: httpx.AsyncClient) -> None:
    found = (await http.get("/.well-known/authzen-configuration")).json()
    assert found["policy_decision_point"] == "http://gate"
    for name, address in found.items():
        if name.endswith("_endpoint"):
            assert (await http.post(address, content=b"{}")).status_code in {200, 400}


async def test_the_request_id_comes_back(http: httpx.AsyncClient) -> None:
    answer = await http.post(
        "/access/v1/evaluation", json=question(), headers={"x-request-id": "r-1"}
    )
    assert answer.headers["x-request-id"] == "r-1"


async def test_a_point_read_marks_every_field(http: httpx.AsyncClient, bank: World) -> None:
    asked = {"scene": "segmentation", "customer": "c1", "fields": ["age", "housing"]}
    answer = (await http.post("/v1/read", json=asked)).json()
    assert answer["fields"] == {
        "age": {"value": 31, "view": "personal"},
        "housing": {"value": "synthetic", "view": "synthetic"},
    }
    bank.says("c1", Withdrawn("segmentation"))
    answer = (await http.post("/v1/read", json=asked)).json()
    assert {each["view"] for each in answer["fields"].values()} == {"synthetic"}
    assert answer["reason"] == "withdrawn"


async def test_a_table_comes_in_three_forms(http: httpx.AsyncClient) -> None:
    asked = {"scene": "segmentation", "fields": ["age"]}

    async def table(form: str) -> httpx.Response:
        return await http.post("/v1/table", json=asked, headers={"accept": form})

    arrow = pa.ipc.open_stream(BytesIO((await table(formats.ARROW)).content)).read_all()
    assert arrow.column_names == ["age", "age.view"]
    assert arrow.num_rows == 3
    lines = (await table(formats.JSON_LINES)).text.splitlines()
    assert sorted(json.loads(line)["age"] for line in lines) == [20, 20, 31]
    csv = (await table(formats.CSV)).text.splitlines()
    assert csv[0] == '"age","age.view"'
    assert len(csv) == 4
    assert (await table("image/png")).status_code == 406


READ = {"scene": "segmentation", "customer": "c1", "fields": ["age"]}
WRONG: dict[str, tuple[str, bytes, int]] = {
    "not JSON": ("/v1/read", b"{", 400),
    "not UTF-8": ("/v1/read", b'{"scene":"\xff"}', 400),
    "a lone surrogate": ("/access/v1/evaluation", b'{"subject":{"type":"\\ud800"}}', 400),
    "NaN": ("/v1/read", b'{"scene":NaN}', 400),
    "deep nesting": ("/access/v1/evaluation", b"[" * 100_000, 400),
    "a missing field": ("/v1/read", b'{"scene":"segmentation"}', 400),
    "an unknown key": ("/v1/read", json.dumps(READ | {"force": True}).encode(), 400),
    "a number for a name": ("/v1/read", json.dumps(READ | {"customer": 7}).encode(), 400),
    "a huge number": ("/v1/read", json.dumps(READ | {"minimum_size": 10**40}).encode(), 400),
    "no subject": ("/access/v1/evaluation", b"{}", 400),
    "an unknown semantic": (
        "/access/v1/evaluations",
        b'{"evaluations":[{}],"options":{"evaluations_semantic":"maybe"}}',
        400,
    ),
    "too many evaluations": (
        "/access/v1/evaluations",
        b'{"evaluations":[' + b",".join([b"{}"] * 10_001) + b"]}",
        400,
    ),
    "a page nobody gave out": (
        "/access/v1/search/resource",
        json.dumps(
            question() | {"resource": {"type": "customer"}, "page": {"token": "-1"}}
        ).encode(),
        400,
    ),
    "too many bytes": ("/v1/read", b" " * (MAX_BYTES + 1), 413),
    "a scene there is none of": ("/v1/read", json.dumps(READ | {"scene": "x"}).encode(), 403),
    "a field of another scene": ("/v1/read", json.dumps(READ | {"fields": ["name"]}).encode(), 403),
    "no fields": ("/v1/table", json.dumps({"scene": "segmentation", "fields": []}).encode(), 403),
    "an entry not seen": ("/v1/read", json.dumps(READ | {"minimum_size": 10**6}).encode(), 503),
    "no such resource": ("/v1/nothing", b"{}", 404),
}


@pytest.mark.parametrize("why", WRONG)
async def test_what_is_wrong_is_a_problem_that_says_what_to_do(
    http: httpx.AsyncClient, why: str
) -> None:
    path, body, status = WRONG[why]
    answer = await http.post(path, content=body)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == status
    assert problem["detail"]


async def test_who_is_not_known_is_401(http: httpx.AsyncClient) -> None:
    answer = await http.post("/v1/read", json=READ, headers={"authorization": "Bearer x"})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"


async def test_reading_is_a_post(http: httpx.AsyncClient) -> None:
    wrong = await http.get("/v1/read")
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "POST")


async def test_a_refused_read_names_its_journal_entry(http: httpx.AsyncClient) -> None:
    answer = await http.post("/v1/read", json=READ, headers={"authorization": "Bearer s"})
    assert answer.status_code == 403
    assert answer.json()["reason"] == "unknown-service"
    assert answer.json()["entry"] == 0


def test_why_a_source_gave_nothing_stands_in_the_servers_output(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The caller is told to try again; whoever runs the gate, what to mend."""
    told = app._problem_of(SourceUnavailableError("customer: a customer has several rows"))
    assert isinstance(told, HttpError)
    assert told.problem.status == 503
    assert "The source is down: customer: a customer has several rows" in caplog.text

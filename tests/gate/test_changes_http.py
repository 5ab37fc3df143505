"""`GET /v1/changes`: parameters, long-poll and limits (specs/gate.md, G155 to G157)."""

import asyncio
import threading
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from uvicorn.protocols.http.flow_control import FlowControl

from gate.changes.feed import ChangeFeed
from gate.decision.quota import Quota, Quotas
from gate.http.app import GateApp
from gate.http.changes import MAX_WAITING, PATH
from gate.http.connection import EXTENSION, Connection
from ledger.events.acts import Granted, Withdrawn
from tests.gate.world import NOON, World, with_options, world

SCENE = "segmentation"
PATIENCE_S = 60.0
pytestmark = pytest.mark.anyio


class Tokens:
    """The token of a service is its name."""

    def service(self, headers: Mapping[bytes, bytes]) -> str | None:
        name = headers.get(b"authorization", b"").removeprefix(b"Bearer ").decode()
        return name if name in {"analytics", "crm"} else None


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def bank(tmp_path: Path) -> World:
    bank = world(tmp_path)
    bank.says("c1", Granted(SCENE, ("age", "job"), None))
    return bank


def app(bank: World, home: Path) -> GateApp:
    feed = ChangeFeed(bank.gate, bank.ledger, home, bytes(32), NOON)
    return GateApp(bank.gate, Tokens(), clock=lambda: NOON, feed=feed)


def client(app: Any, service: str = "analytics") -> httpx.AsyncClient:
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app=app),
        base_url="http://gate",
        headers={"authorization": f"Bearer {service}"},
        timeout=PATIENCE_S,
    )


@pytest.fixture
async def http(bank: World, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with client(app(bank, tmp_path)) as opened:
        yield opened


async def read(http: httpx.AsyncClient) -> None:
    body = {"scene": SCENE, "customer": "c1", "fields": ["age"]}
    assert (await http.post("/v1/read", json=body)).json()["decision"] is True


async def test_a_line_says_what_to_do_with_which_fields_of_whom(
    http: httpx.AsyncClient, bank: World
) -> None:
    """G151."""
    await read(http)
    index = bank.says("c1", Withdrawn(SCENE))
    answer = await http.get(PATH)
    assert answer.headers["cache-control"] == "no-store"
    page = answer.json()
    (line,) = page["changes"]
    assert line.pop("token") == page["token"]
    assert line == {
        "do": "forget",
        "customer": "c1",
        "customer_hash": None,
        "scene": SCENE,
        "fields": ["age"],
        "reason": "withdrawn",
        "ledger_size": index + 1,
        "at": "2026-01-01T12:00:00Z",
        "until": None,
    }
    assert (page["more"], page["kept_since"]) == (False, None)
    again = (await http.get(PATH, params={"since": page["token"]})).json()
    assert (again["changes"], again["token"]) == ([], page["token"])


async def test_a_waiting_poll_is_answered_as_soon_as_there_is_a_line(
    http: httpx.AsyncClient, bank: World
) -> None:
    """G156: with the token of before, and while other requests are answered."""
    await read(http)
    token = (await http.get(PATH)).json()["token"]
    polls = [
        asyncio.create_task(http.get(PATH, params={"since": token, "wait": "30"}))
        for _ in range(MAX_WAITING)
    ]
    await read(http)
    assert not any(each.done() for each in polls)
    await asyncio.to_thread(bank.says, "c1", Withdrawn(SCENE))
    for each in asyncio.as_completed(polls):
        (line,) = (await each).json()["changes"]
        assert line["do"] == "forget"


async def test_waiting_polls_of_one_service_are_bounded(bank: World, tmp_path: Path) -> None:
    """G156: those of another one, and polls that do not wait, are answered."""
    served, waiting = app(bank, tmp_path), {"wait": "30"}
    async with client(served) as http, client(served, "crm") as other:
        polls = {
            asyncio.create_task(http.get(PATH, params=waiting)) for _ in range(MAX_WAITING + 1)
        }
        ended, polls = await asyncio.wait(polls, return_when=asyncio.FIRST_COMPLETED)
        (refused,) = [await each for each in ended]
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
        assert "wait here already" in refused.json()["detail"]
        assert (await http.get(PATH)).status_code == 200
        assert (await other.get(PATH, params={"wait": "1"})).status_code == 200
        for each in polls:
            each.cancel()
        await asyncio.gather(*polls, return_exceptions=True)


async def test_a_waiting_poll_holds_no_thread(http: httpx.AsyncClient) -> None:
    """G156."""
    await http.get(PATH)
    before = {*threading.enumerate()}
    polls = [asyncio.create_task(http.get(PATH, params={"wait": "30"})) for _ in range(MAX_WAITING)]
    await asyncio.sleep(0.5)
    assert {*threading.enumerate()} <= before
    for each in polls:
        each.cancel()
    await asyncio.gather(*polls, return_exceptions=True)


async def test_a_client_that_leaves_makes_room_for_another_poll(
    bank: World, tmp_path: Path
) -> None:
    """G156."""
    served = app(bank, tmp_path)
    left = asyncio.Event()

    async def receive() -> dict[str, Any]:
        await left.wait()
        return {"type": "http.disconnect"}

    async def send(_: Any) -> None:
        pass

    scope = {
        "type": "http",
        "method": "GET",
        "path": PATH,
        "query_string": b"wait=30",
        "headers": [(b"authorization", b"Bearer analytics")],
    }
    polls = [asyncio.create_task(served(scope, receive, send)) for _ in range(MAX_WAITING)]
    await asyncio.sleep(0)
    left.set()
    async with asyncio.timeout(PATIENCE_S):
        await asyncio.gather(*polls)
    async with client(served) as http:
        assert (await http.get(PATH, params={"wait": "1"})).status_code == 200


async def test_a_server_that_ends_answers_the_polls_that_wait(bank: World, tmp_path: Path) -> None:
    """G156: an end does not take as long as they wanted to wait."""
    served, sent = app(bank, tmp_path), list[Any]()
    client = Connection(asyncio.Transport(), FlowControl(asyncio.Transport()))

    async def receive() -> dict[str, Any]:
        await asyncio.Event().wait()
        raise AssertionError("nobody leaves")

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "GET",
        "path": PATH,
        "query_string": b"wait=30",
        "headers": [(b"authorization", b"Bearer analytics")],
        "extensions": {EXTENSION: client},
    }
    poll = asyncio.create_task(served(scope, receive, send))
    longer = asyncio.create_task(asyncio.sleep(25))
    await asyncio.sleep(0)
    client.stopping.set()
    await asyncio.wait({poll, longer}, return_when=asyncio.FIRST_COMPLETED)
    assert (poll.done(), longer.done()) == (True, False)
    longer.cancel()
    assert sent[0]["status"] == 200


BAD = {
    "unknown": ("from=1", "found from"),
    "twice": ("limit=1&limit=1", "one of them twice"),
    "no value": ("limit", "not a list of name=value"),
    "limit of nothing": ("limit=0", "from 1 to 1000, found '0'"),
    "limit too large": ("limit=1001", "from 1 to 1000"),
    "limit no number": ("limit=many", "found 'many'"),
    "limit with a sign": ("limit=%2B5", "found '+5'"),
    "limit in other digits": ("limit=%D9%A3", "limit: want a whole number"),
    "limit with a zero": ("limit=05", "found '05'"),
    "limit empty": ("limit=", "found ''"),
    "wait too long": ("wait=31", "from 0 to 30, found '31'"),
    "wait negative": ("wait=-1", "found '-1'"),
    "wait in parts": ("wait=0.5", "found '0.5'"),
    "token made up": ("since=AAAA", "leave it out"),
    "token empty": ("since=", "leave it out"),
    "not ASCII": ("sincé=1", "not a list of name=value"),
}


@pytest.mark.parametrize("why", BAD)
async def test_a_parameter_that_is_not_understood_is_refused(
    why: str, bank: World, tmp_path: Path
) -> None:
    """G155."""
    query, detail = BAD[why]
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "GET",
        "path": PATH,
        "query_string": query.encode(),
        "headers": [(b"authorization", b"Bearer analytics")],
    }
    await app(bank, tmp_path)(scope, receive, send)
    assert sent[0]["status"] == 400
    assert detail in sent[1]["body"].decode().replace('\\"', '"')


async def test_a_token_of_another_service_is_refused(bank: World, tmp_path: Path) -> None:
    """G155."""
    served = app(bank, tmp_path)
    async with client(served) as mine, client(served, "crm") as other:
        token = (await mine.get(PATH)).json()["token"]
        assert (await other.get(PATH, params={"since": token})).status_code == 400
        assert (await mine.get(PATH, params={"since": token})).status_code == 200


async def test_only_a_service_polls_and_only_by_get(http: httpx.AsyncClient) -> None:
    assert (await http.post(PATH)).status_code == 405
    answer = await http.get(PATH, headers={"authorization": "Bearer nobody"})
    assert answer.status_code == 401


async def test_a_gate_without_a_feed_has_no_such_resource(bank: World) -> None:
    async with client(GateApp(bank.gate, Tokens())) as http:
        assert (await http.get(PATH)).status_code == 404


async def test_a_poll_counts_as_one_request(bank: World, tmp_path: Path) -> None:
    """G157."""
    quotas = Quotas(default=Quota(points_per_minute=2))
    limited = with_options(bank, quotas=quotas)
    async with client(app(limited, tmp_path)) as http:
        assert [(await http.get(PATH)).status_code for _ in range(3)] == [200, 200, 429]
        assert (await http.get(PATH)).headers["retry-after"] == "60"
        await read(http)  # reads have a count of their own
    async with client(app(limited, tmp_path), "crm") as http:
        assert (await http.get(PATH)).status_code == 200


async def test_a_suspended_scene_is_a_problem_and_no_empty_page(
    http: httpx.AsyncClient, bank: World
) -> None:
    """G156."""
    bank.gate.suspend(SCENE)
    answer = await http.get(PATH)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "60")
    assert answer.json()["type"] == "urn:sovereign:problem:paused"

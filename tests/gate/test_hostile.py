"""Hostile requests give nothing away, break nothing and hold nobody up (tests/gate/hostile.py)."""

import asyncio
import json
import socket
import threading
import time
from collections.abc import Iterator
from typing import get_args

import httpx
import msgspec
import pytest
import uvicorn

from gate.http.app import GateApp
from gate.http.authzen import Action, Context, Entity, Evaluation, Name, Names, ask
from gate.http.serving.bounds import Lane, Lanes, Limits
from gate.http.serving.server import BoundedServer
from gate.readlog.entry import WrittenDecision
from gate.readlog.group_commit import Commits
from ledger.events.envelope import Granted
from tests.campaign import sized
from tests.gate.hostile import (
    ACT,
    ASKED,
    BOUND_S,
    TEMPLATES,
    WHAT,
    WHO,
    Case,
    app_of,
    campaign,
    case,
    emptied,
    gives_away,
    play,
)
from tests.gate.world import NOON, World, world

CASES = sized(800, 20_000)


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> GateApp:
    return app_of(emptied(tmp_path_factory.mktemp("emptied")))


@pytest.mark.campaign
def test_no_hostile_request_crashes_hangs_or_opens_the_gate(app: GateApp) -> None:
    tally = asyncio.run(campaign(app, 2, range(CASES)))
    assert tally.clean, "\n".join([str(tally), *tally.worst])
    assert tally.cases == CASES
    assert tally.statuses[200] > CASES / 10  # enough gets past the parser to be decided
    assert {200, 400, 401, 403, 404, 405, 413} <= set(tally.statuses)


def test_a_case_is_its_seed_and_number() -> None:
    assert [case(1, n) for n in range(50)] == [case(1, n) for n in range(50)]
    assert case(1, 0) != case(2, 0)


@pytest.fixture(scope="module")
def granted(tmp_path_factory: pytest.TempPathFactory) -> World:
    bank = world(tmp_path_factory.mktemp("granted"))
    for customer in ("c1", "c2"):
        bank.says(customer, Granted("segmentation", ("age", "job"), None))
    return bank


@pytest.mark.parametrize("path", TEMPLATES)
def test_with_a_grant_the_campaign_would_see_what_is_given(granted: World, path: str) -> None:
    asked = Case(path, json.dumps(TEMPLATES[path]).encode())
    status, body = asyncio.run(play(app_of(granted), asked))
    assert status == 200
    assert gives_away(body)


def context(**more: object) -> bytes:
    return json.dumps(ASKED | {"context": {"scene": "segmentation"} | more}).encode()


WORST: dict[str, tuple[str, bytes, int]] = {
    "nested in what is skipped": (
        "/access/v1/evaluation",
        b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        400,
    ),
    "nested in properties": (
        "/access/v1/search/action",
        b'{"subject":{"type":"a","id":"b","properties":' + b'{"a":' * 9_000 + b"1" + b"}" * 9_002,
        400,
    ),
    "bytes that are no UTF-8 in what is skipped": ("/v1/read", b'{"x":"\xff"}', 400),
    "a page token of 5000 digits": (
        "/access/v1/search/resource",
        json.dumps(
            ASKED | {"resource": {"type": "customer"}, "page": {"token": "9" * 5_000}}
        ).encode(),
        400,
    ),
    "a field's name of half a megabyte": (
        "/access/v1/evaluation",
        context(fields=["x" * 500_000]),
        400,
    ),
    "a scene of half a megabyte": ("/access/v1/evaluation", context(scene="x" * 500_000), 400),
    "a hundred thousand fields": ("/access/v1/evaluation", context(fields=["a"] * 100_000), 400),
    "the longest names, each character six bytes": (
        "/access/v1/evaluation",
        context(
            scene="\1" * 64, fields=[chr(n // 32 + 1) + chr(n % 32) + "\1" * 62 for n in range(64)]
        ),
        200,
    ),
    "a batch of a million": (
        "/access/v1/evaluations",
        b'{"evaluations":[' + b"0," * 499_999 + b"0]}",
        400,
    ),
}


@pytest.mark.parametrize("why", WORST)
def test_the_worst_there_is_is_answered_in_time(app: GateApp, why: str) -> None:
    path, body, expected = WORST[why]
    start = time.perf_counter()
    status, answer = asyncio.run(play(app, Case(path, body)))
    assert status == expected
    assert not gives_away(answer)
    assert time.perf_counter() - start < BOUND_S


def test_the_names_of_a_request_fit_into_an_entry_of_the_read_log() -> None:
    name, names = (get_args(each)[1] for each in (Name, Names))
    worst = 6 * name.max_length * (2 * names.max_length + 1)  # fields, their views, and the scene
    assert worst < 1 << 16


def too_long(bank: World) -> WrittenDecision:
    """An evaluation whose entry no read log takes, as if its names had not been bounded."""
    who, what = (Entity(each["type"], each["id"]) for each in (WHO, WHAT))
    asked = Evaluation(who, Action(ACT["name"]), what, Context("segmentation", ["x"]))
    (whole,) = ask(bank.gate, "analytics", [asked], NOON)
    wording = msgspec.structs.replace(whole.wording, middle="x" * (1 << 16))
    return msgspec.structs.replace(whole, wording=wording)


def test_whoever_waits_for_an_entry_that_cannot_be_written_hears_of_it(granted: World) -> None:
    commits = Commits(lambda: granted.gate.journal)

    async def wait() -> list[object]:
        waiting = (commits.record([(too_long(granted), None)]) for _ in range(3))
        async with asyncio.timeout(BOUND_S):
            return [*await asyncio.gather(*waiting, return_exceptions=True)]

    before = granted.gate.journal.log.size
    told = asyncio.run(wait())
    assert len(told) == 3
    assert all(isinstance(each, Exception) for each in told)
    assert granted.gate.journal.log.size == before


# Slow clients: over a real socket, one server for all.


@pytest.fixture(scope="module")
def server(app: GateApp) -> Iterator[int]:
    """The port of a real server, which gives a body half a second to arrive."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    patch = pytest.MonkeyPatch()
    patch.setattr("gate.http.request_body.TIMEOUT_S", 0.5)
    config = uvicorn.Config(app, port=port, log_level="critical", lifespan="off")
    running = BoundedServer(config, Limits(), Lanes(Lane(128)))
    thread = threading.Thread(target=running.run)
    thread.start()
    deadline = time.monotonic() + 180
    while not running.started and time.monotonic() < deadline:
        time.sleep(0.01)
    assert running.started
    yield port
    running.should_exit = True
    thread.join(180)
    patch.undo()


HEAD = b"POST /v1/read HTTP/1.1\r\nHost: gate\r\nAuthorization: Bearer a\r\n"
BEGUN: dict[str, bytes] = {
    "a body that does not come": HEAD + b"Content-Length: 1000\r\n\r\n",
    "a body that stops": HEAD + b'Content-Length: 1000\r\n\r\n{"scene":',
    "a chunk that does not come": HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\n{",
}


def opened(port: int, begun: bytes) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", port), timeout=BOUND_S)
    client.sendall(begun)
    return client


def asks(port: int) -> int:
    url = f"http://127.0.0.1:{port}/access/v1/evaluation"
    headers = {"authorization": "Bearer a"}
    return httpx.post(url, json=ASKED, headers=headers, timeout=BOUND_S).status_code


@pytest.mark.parametrize("why", BEGUN)
def test_a_body_that_does_not_come_is_408(server: int, why: str) -> None:
    with opened(server, BEGUN[why]) as client:
        assert client.recv(4096).startswith(b"HTTP/1.1 408")


def test_a_body_that_comes_byte_by_byte_is_408_all_the_same(server: int) -> None:
    with opened(server, HEAD + b"Content-Length: 1000\r\n\r\n") as client:
        client.settimeout(0.05)
        start, answer = time.monotonic(), b""
        while not answer and time.monotonic() - start < BOUND_S:
            client.sendall(b" ")
            try:
                answer = client.recv(4096)
            except TimeoutError:
                continue
        assert answer.startswith(b"HTTP/1.1 408")


def test_slow_clients_hold_up_nobody_else(server: int) -> None:
    begun = [b"POST /v1/re", HEAD, HEAD + b"Content-Length: 9\r\n\r\n{"]
    slow = [opened(server, each) for each in begun * 10]
    try:
        start = time.monotonic()
        assert [asks(server) for _ in range(5)] == [200] * 5
        assert time.monotonic() - start < BOUND_S
    finally:
        for client in slow:
            client.close()


def test_oversized_headers_are_refused_and_the_server_goes_on(server: int) -> None:
    with opened(server, HEAD + b"X-Request-ID: " + b"x" * 60_000 + b"\r\n" * 2) as client:
        assert client.recv(4096).startswith(b"HTTP/1.1 ")
    with opened(server, HEAD) as client:
        try:
            for _ in range(200):
                client.sendall(b"X-More: " + b"x" * 10_000 + b"\r\n")
            answer = client.recv(4096)
        except (ConnectionError, BrokenPipeError):
            answer = b""  # the server hung up on the sender
        assert not answer or answer.startswith(b"HTTP/1.1 4")
    assert asks(server) == 200

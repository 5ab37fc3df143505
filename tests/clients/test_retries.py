"""When a call is sent again, and how long it waits before (G187)."""

import asyncio
import socket
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from sovereign_client import (
    AsyncClient,
    Client,
    GateError,
    IncompleteError,
    MalformedError,
    NoAnswerError,
    ProblemError,
    QuotaError,
    Retries,
    UnavailableError,
    UnknownAnswerError,
)
from sovereign_client.retries import Attempts, after_s
from tests.clients.answering import Reply, answering

USES = Reply(body=b'{"service": "analytics", "uses": []}')
BUSY, FULL = (
    Reply(503, b'{"title": "busy"}'),
    Reply(429, b'{"title": "full"}', {"Retry-After": "1"}),
)
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def test_g187_busy_and_full_are_asked_again_no_sooner_than_the_gate_says() -> None:
    replies = [BUSY, FULL, USES]
    with answering(replies.__getitem__) as server, Client(server.address, "key") as gate:
        begun = time.monotonic()
        assert gate.uses().service == "analytics"
        assert time.monotonic() - begun >= 1
        assert len(server.paths) == 3


def test_g187_the_asynchronous_client_waits_alike_and_blocks_nobody() -> None:
    replies = [FULL, USES]

    async def ask(address: str) -> int:
        turns = 0
        async with AsyncClient(address, "key") as gate:
            asked = asyncio.ensure_future(gate.uses())
            while not asked.done():
                await asyncio.sleep(0.01)
                turns += 1
            assert (await asked).service == "analytics"
        return turns

    with answering(replies.__getitem__) as server:
        assert asyncio.run(ask(server.address)) > 10
        assert len(server.paths) == 2


ONCE: dict[str, tuple[Reply, type[GateError]]] = {
    "malformed": (Reply(400, b'{"title": "no"}'), MalformedError),
    "an error of the server": (Reply(500, b"oops"), UnavailableError),
    "a gateway without a gate": (Reply(502, b"<html>"), UnavailableError),
    "a redirect": (Reply(307, b"", {"Location": "http://127.0.0.1:9/"}), UnknownAnswerError),
    "another problem": (Reply(406, b'{"title": "no"}'), ProblemError),
    "an answer that is cut": (Reply(body=USES.body, cut=True), IncompleteError),
    "a wait beyond the bound": (Reply(429, b"{}", {"Retry-After": "61"}), QuotaError),
}


@pytest.mark.parametrize("why", ONCE)
def test_g187_nothing_else_is_asked_again(why: str) -> None:
    reply, kind = ONCE[why]
    with answering(lambda _: reply) as server, Client(server.address, "key") as gate:
        with pytest.raises(kind) as raised:
            gate.uses()
        assert type(raised.value) is kind
        assert len(server.paths) == 1
    if isinstance(raised.value, QuotaError):
        assert raised.value.retry_after_s == 61


def test_g187_attempts_are_bounded() -> None:
    with answering(lambda _: BUSY) as server:
        few = Retries(attempts=3, first_wait_s=0.01)
        with Client(server.address, "key", retries=few) as gate, pytest.raises(UnavailableError):
            gate.uses()
        assert len(server.paths) == 3


def test_g187_a_timeout_is_not_asked_again() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        gate = Client(address, "key", timeout_s=0.2)
        with gate, pytest.raises(NoAnswerError, match="treat it as no data") as raised:
            gate.uses()
        assert raised.value.timed_out
        silent.accept()[0].close()
        silent.settimeout(0.3)
        with pytest.raises(TimeoutError):
            silent.accept()


def test_g187_a_lost_connection_is_asked_again() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        address = f"http://127.0.0.1:{closed.getsockname()[1]}"
    retries = Retries(attempts=2, first_wait_s=0.01)
    with Client(address, "key", retries=retries) as gate, pytest.raises(NoAnswerError) as raised:
        gate.uses()
    assert not raised.value.timed_out
    first = Attempts(retries, lambda _, most: most)
    assert first.wait_s(raised.value) == 0.01


def test_g187_waits_grow_and_their_sum_is_bounded() -> None:
    busy, full = UnavailableError(503, {}), QuotaError(429, {}, 10.0)
    at_most = Attempts(Retries(9, 60.0, 0.5), lambda _, most: most)
    assert [at_most.wait_s(busy) for _ in range(4)] == [0.5, 1, 2, 4]
    assert [at_most.wait_s(full) for _ in range(4)] == [11] * 4
    with pytest.raises(QuotaError):
        at_most.wait_s(full)
    at_least = Attempts(Retries(), lambda least, _: least)
    assert at_least.wait_s(full) == 10, "never sooner than the gate says"


AFTER = {
    "7": 7.0,
    "0": 0.0,
    format_datetime(NOON + timedelta(seconds=90), usegmt=True): 90.0,
    format_datetime(NOON - timedelta(seconds=90), usegmt=True): 0.0,
    "soon": None,
    "-1": None,
    "1.5": None,
    "\u0661": None,
}


@pytest.mark.parametrize("header", AFTER)
def test_g187_retry_after_is_seconds_or_a_date(header: str) -> None:
    assert after_s(header, NOON) == AFTER[header]
    assert after_s(None, NOON) is None


def test_impossible_retries_are_refused() -> None:
    with pytest.raises(ValueError, match="one attempt at least"):
        Retries(attempts=0)

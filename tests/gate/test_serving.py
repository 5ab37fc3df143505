"""G202 to G206: what one server holds at most, over real sockets."""

import asyncio
import logging
import resource
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from threading import Event
from typing import Any

import pytest
import uvicorn

from gate.http.serving.bounds import Lane, Lanes, Limits, OpenConnections
from gate.http.serving.server import BoundedServer

PATIENCE_S = 60.0
GET = b"GET / HTTP/1.1\r\nHost: gate\r\n\r\n"
BEGUN = b"GET / HTTP/1.1\r\nHost: ga"
Message = Mapping[str, Any]


class App:
    """Answers with the body it was sent; `/slow` once it may, `/stream` in two pieces."""

    def __init__(self) -> None:
        self.goes_on, self.asked = Event(), 0
        self._threads = ThreadPoolExecutor(32)

    async def __call__(
        self,
        scope: Message,
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        self.asked += 1
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] != "http.request":
                return
            body += message["body"]
            more = message["more_body"]
        if scope["path"] == "/slow":
            await self._wait()
        if scope["path"] == "/stream":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"one", "more_body": True})
            await self._wait()
            await send({"type": "http.response.body", "body": b"two"})
            return
        headers = [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _wait(self) -> None:
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._threads, self.goes_on.wait, PATIENCE_S)


class Served:
    def __init__(self, port: int, app: App, server: BoundedServer) -> None:
        self.port, self.app, self.server = port, app, server

    def opened(self, begun: bytes = b"") -> socket.socket:
        client = socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_S)
        client.sendall(begun)
        return client

    def asks(self, path: str = "/") -> int:
        with self.opened(GET.replace(b"/", path.encode(), 1)) as client:
            return status(client)


@contextmanager
def serving(limits: Limits, lanes: Lanes | None = None) -> Iterator[Served]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    app = App()
    config = uvicorn.Config(
        app,
        port=port,
        log_level="critical",
        lifespan="off",
    )
    server = BoundedServer(config, limits, lanes or Lanes(Lane(limits.requests)))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        wait_for(lambda: server.started)
        yield Served(port, app, server)
    finally:
        app.goes_on.set()
        server.should_exit = True
        thread.join(PATIENCE_S)
        assert not thread.is_alive()


def wait_for(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def status(client: socket.socket) -> int:
    return int(received(client)[9:12])


def received(client: socket.socket) -> bytes:
    """An answer with its body, or what came before the end."""
    got = b""
    while b"\r\n\r\n" not in got:
        try:
            more = client.recv(65_536)
        except ConnectionError:
            more = b""
        if not more:
            return got
        got += more
    head, _, body = got.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0] or 0)
    while len(body) < length:
        body += client.recv(65_536)
    return head + b"\r\n\r\n" + body


def is_closed(client: socket.socket) -> bool:
    client.settimeout(0.0)
    try:
        return not client.recv(1)
    except BlockingIOError:
        return False
    except ConnectionError:
        return True
    finally:
        client.settimeout(PATIENCE_S)


def is_hung_up_on(client: socket.socket, more: bytes, most: int, pause_s: float = 0.0) -> bool:
    """Whether the server closes the connection before it was sent so many bytes."""
    sent = 0
    try:
        while sent < most:
            client.sendall(more)
            sent += len(more)
            time.sleep(pause_s)
    except ConnectionError:
        return True
    return False


# G202: what takes too long


@pytest.mark.parametrize("begun", [b"", b"G", BEGUN])
def test_a_head_that_does_not_come_closes_its_connection(begun: bytes) -> None:
    with serving(Limits(head_s=0.3, idle_s=PATIENCE_S)) as served, served.opened(begun) as client:
        assert client.recv(1) == b""
        assert served.asks() == 200


def test_a_head_that_comes_byte_by_byte_closes_its_connection() -> None:
    with serving(Limits(head_s=0.5)) as served, served.opened(BEGUN) as client:
        assert is_hung_up_on(client, b"t", most=10_000, pause_s=0.02)
        assert not served.app.asked


def test_the_next_head_of_a_connection_has_the_same_time() -> None:
    with serving(Limits(head_s=0.3, idle_s=PATIENCE_S)) as served, served.opened(GET) as client:
        assert status(client) == 200
        client.sendall(BEGUN)
        assert client.recv(1) == b""


def test_an_idle_connection_is_closed_and_one_in_use_is_not() -> None:
    with serving(Limits(head_s=PATIENCE_S, idle_s=1.5)) as served, ExitStack() as open_:
        idle, used = (open_.enter_context(served.opened(each)) for each in (GET, b""))
        assert status(idle) == 200
        for _ in range(12):
            used.sendall(GET)
            assert status(used) == 200
            time.sleep(0.25)
        assert is_closed(idle)
        assert not is_closed(used)


def test_a_body_that_does_not_come_closes_its_connection_and_a_slow_answer_does_not() -> None:
    head = b"POST / HTTP/1.1\r\nHost: gate\r\nContent-Length: 9\r\n\r\n{"
    ask = GET.replace(b"/", b"/slow", 1)
    with serving(Limits(body_s=0.3)) as served, ExitStack() as open_:
        slow, waits = (open_.enter_context(served.opened(each)) for each in (head, ask))
        assert slow.recv(1) == b""
        time.sleep(1.0)
        served.app.goes_on.set()
        assert status(waits) == 200


# G203: how many


def test_a_new_connection_takes_the_place_of_one_that_never_asked() -> None:
    with serving(Limits(connections=16)) as served, ExitStack() as open_:
        good = [open_.enter_context(served.opened(GET)) for _ in range(6)]
        assert [status(each) for each in good] == [200] * 6
        for _ in range(60):
            open_.enter_context(served.opened(BEGUN))
            assert len(served.server.open) <= 16
        assert [served.asks() for _ in range(5)] == [200] * 5
        assert not any(is_closed(each) for each in good)
        for each in good:
            each.sendall(GET)
            assert status(each) == 200


def test_idle_connections_make_room_when_there_are_no_others() -> None:
    with serving(Limits(connections=16)) as served, ExitStack() as open_:
        idle = []
        for _ in range(40):
            idle.append(open_.enter_context(served.opened(GET)))
            assert status(idle[-1]) == 200
        assert served.asks() == 200
        gone = [is_closed(each) for each in idle]
        assert gone == sorted(gone, reverse=True)  # the oldest first
        assert not gone[-1]


def test_a_connection_that_is_being_answered_is_not_closed_for_another() -> None:
    slow = GET.replace(b"/", b"/slow", 1)
    with serving(Limits(connections=16)) as served, ExitStack() as open_:
        waiting = [open_.enter_context(served.opened(slow)) for _ in range(16)]
        wait_for(lambda: served.app.asked == 16)
        with served.opened() as refused:
            answer = received(refused)
        assert answer.startswith(b"HTTP/1.1 503")
        assert b"\r\nretry-after: 1\r\n" in answer
        served.app.goes_on.set()
        assert [status(each) for each in waiting] == [200] * 16


def test_bodies_that_do_not_come_make_room() -> None:
    head = b"POST / HTTP/1.1\r\nHost: gate\r\nContent-Length: 9\r\n\r\n{"
    with serving(Limits(connections=16)) as served, ExitStack() as open_:
        for _ in range(40):
            open_.enter_context(served.opened(head))
        assert served.asks() == 200


def test_the_limit_leaves_descriptors_for_everything_else() -> None:
    assert OpenConnections(Limits(connections=2000), 300).most == 300 - 128
    assert OpenConnections(Limits(connections=100), 300).most == 100
    assert OpenConnections(Limits(), 64).most == 16


# G204: without descriptors


def test_without_descriptors_it_says_so_once_a_second_and_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    with serving(Limits()) as served, served.opened(GET) as first:
        assert status(first) == 200
        used = socket.socket()
        lowest = used.fileno()
        used.close()
        client = socket.socket()  # its descriptor is the last one
        with caplog.at_level(logging.WARNING, "sovereign"):
            resource.setrlimit(resource.RLIMIT_NOFILE, (lowest + 1, before[1]))
            try:
                client.connect(("127.0.0.1", served.port))
                client.sendall(GET)
                for _ in range(20):
                    first.sendall(GET)
                    assert status(first) == 200
                    time.sleep(0.1)
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, before)
        with client:
            assert status(client) == 200
        said = [each for each in caplog.records if "no connection is accepted" in each.message]
        assert 1 <= len(said) <= 4
        assert not any(each.exc_info for each in caplog.records)


# G205: requests at once


def test_what_is_over_a_lanes_limit_is_told_at_once() -> None:
    slow, quick = Lane(4), Lane(4)
    lanes = Lanes(quick, {"/slow": slow})
    ask = b"POST /slow HTTP/1.1\r\nHost: gate\r\nContent-Length: 3\r\n\r\nabc"
    with serving(Limits(), lanes) as served, ExitStack() as open_:
        waiting = [open_.enter_context(served.opened(ask)) for _ in range(4)]
        wait_for(lambda: served.app.asked == 4)
        with served.opened(ask) as refused:
            answer = received(refused)
            assert answer.startswith(b"HTTP/1.1 503")
            assert b"\r\ncontent-type: application/problem+json\r\n" in answer
            assert b"\r\nretry-after: 1\r\n" in answer
            assert b'"urn:sovereign:problem:busy"' in answer
            assert served.app.asked == 4  # the application heard nothing of it
            refused.sendall(GET)  # the connection goes on, and so does the other lane
            assert status(refused) == 200
            served.app.goes_on.set()
            assert [status(each) for each in waiting] == [200] * 4
            refused.sendall(ask)
            assert status(refused) == 200


def test_a_client_that_leaves_gives_its_place_back() -> None:
    lane = Lane(2)
    ask = GET.replace(b"/", b"/slow", 1)
    with serving(Limits(), Lanes(lane)) as served:
        clients = [served.opened(ask) for _ in range(2)]
        wait_for(lambda: served.app.asked == 2)
        for each in clients:
            each.close()
        served.app.goes_on.set()
        wait_for(lambda: lane.inside == 0)
        assert served.asks() == 200
        wait_for(lambda: len(served.server.open) == 0)


# G206: what a request is


TWO = GET.replace(b"Host: gate", b"Host: gate\r\nHost: other")
BAD = {
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "two hosts": TWO,
    "a length and chunks": b"POST / HTTP/1.1\r\nHost: gate\r\nContent-Length: 3\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": b"POST / HTTP/1.1\r\nHost: gate\r\nContent-Length: 3\r\n"
    b"Content-Length: 4\r\n\r\nabcd",
    "a line that goes on": b"GET / HTTP/1.1\r\nHost: gate\r\nX: a\r\n b\r\n\r\n\r\n",
    "a space before the colon": b"GET / HTTP/1.1\r\nHost : gate\r\n\r\n",
    "one header of 70,000 bytes": GET[:-2] + b"X: " + b"x" * 70_000 + b"\r\n\r\n",
    "headers of 70,000 bytes": GET[:-2] + b"X-More: 0123456789\r\n" * 4000 + b"\r\n",
    "an address of 70,000 bytes": b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\nHost: gate\r\n\r\n",
}


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with serving(Limits()) as found:
        yield found


@pytest.mark.parametrize("why", BAD)
def test_what_is_no_request_is_400_and_closes_the_connection(served: Served, why: str) -> None:
    before = served.app.asked
    with served.opened() as client:
        try:
            client.sendall(BAD[why])
            answer = received(client)
        except ConnectionError:
            answer = b""  # it hung up on the sender
        assert not answer or answer.startswith(b"HTTP/1.1 400")
        wait_for(lambda: is_closed(client))
    assert served.app.asked == before
    assert served.asks() == 200


ENDLESS = {
    "a head": (b"GET / HTTP/1.1\r\nHost: gate\r\nX: ", b"x" * 1000),
    "headers": (b"GET / HTTP/1.1\r\nHost: gate\r\n", b"X-More: 0123456789\r\n" * 50),
    "an address": (b"GET /", b"x" * 1000),
    "the line of a chunk": (
        b"POST / HTTP/1.1\r\nHost: gate\r\nTransfer-Encoding: chunked\r\n\r\n5;",
        b"x" * 1000,
    ),
    "a trailer": (
        b"POST / HTTP/1.1\r\nHost: gate\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: ",
        b"x" * 1000,
    ),
    "trailers": (
        b"POST / HTTP/1.1\r\nHost: gate\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
        b"X-More: 0123456789\r\n" * 50,
    ),
}


@pytest.mark.parametrize("why", ENDLESS)
def test_what_does_not_end_is_ended(served: Served, why: str) -> None:
    begun, more = ENDLESS[why]
    with served.opened(begun) as client:
        assert is_hung_up_on(client, more, most=10_000_000)
    assert served.asks() == 200


def test_small_chunks_are_a_body_like_any_other(served: Served) -> None:
    head = b"POST / HTTP/1.1\r\nHost: gate\r\nTransfer-Encoding: chunked\r\n\r\n"
    with served.opened(head + b"1\r\nx\r\n" * 50_000 + b"0\r\n\r\n") as client:
        assert received(client).endswith(b"x" * 50_000)


def test_whoever_offers_another_protocol_is_answered_in_this_one(served: Served) -> None:
    offer = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"
    ask = b"POST / HTTP/1.1\r\nHost: gate\r\nContent-Length: 3\r\n" + offer + b"\r\nabc"
    with served.opened() as client:
        for _ in range(3):
            client.sendall(ask)
            assert received(client).endswith(b"abc")


def test_requests_that_come_together_are_answered_in_order(served: Served) -> None:
    asks = [
        b"POST / HTTP/1.1\r\nHost: gate\r\nContent-Length: 3\r\n\r\n%03d" % each
        for each in range(100)
    ]
    with served.opened(b"".join(asks)) as client:
        got = b""
        while got.count(b"HTTP/1.1 200") < 100 or not got.endswith(b"099"):
            got += client.recv(65_536)
    assert [int(each[-3:]) for each in got.split(b"HTTP/1.1 200")[1:]] == [*range(100)]
    wait_for(lambda: len(served.server.open) == 0)


def test_a_head_without_a_body_is_sent_and_one_of_a_stream_at_once(served: Served) -> None:
    with served.opened(GET.replace(b"GET", b"HEAD")) as client:
        assert client.recv(65_536).startswith(b"HTTP/1.1 200")
    served.app.goes_on.clear()
    with served.opened(GET.replace(b"/", b"/stream", 1)) as client:
        got = b""
        while b"one" not in got:
            got += client.recv(65_536)
        served.app.goes_on.set()
        while not got.endswith(b"0\r\n\r\n"):
            got += client.recv(65_536)
    assert b"3\r\none\r\n3\r\ntwo\r\n" in got


def test_a_client_that_waits_to_be_asked_for_its_body_is_asked(served: Served) -> None:
    head = b"POST / HTTP/1.1\r\nHost: gate\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n"
    with served.opened(head) as client:
        assert client.recv(65_536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(b"abc")
        assert received(client).endswith(b"abc")

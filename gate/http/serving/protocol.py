"""One client's connection: uvicorn's protocol over httptools, with bounds.

httptools keeps what it cannot parse yet without a bound, so the bytes that bring a request no
further are counted here: MAX_HEAD of them end the connection, in a head, in a trailer and in the
line of a chunk. A request has one Host header (RFC 9112, section 3.2).
"""

import asyncio
import socket
from typing import Any

import httptools
import msgspec
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from gate.http.connection import EXTENSION, Connection
from gate.http.response import Problem
from gate.http.serving.bounds import Lanes, OpenConnections

MAX_HEAD = 1 << 16  # bytes
# Bytes of an answer that the operating system may hold: whoever withdraws is too late for these.
SEND_BUFFER = 1 << 19
RETRY_AFTER_S = 1
_FRAMING = {b"content-length", b"transfer-encoding"}  # headers that say where a body ends


class BadHeadError(ValueError):
    """The head of a request is too large, or has not one Host header."""


class _Corked:
    """A transport that sends the head of an answer together with its body, in one call.

    Only of an answer that says how long its body is: it is sent whole, or with its first piece.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._head = b""
        self.is_closing = transport.is_closing

    def write(self, data: bytes) -> None:
        if self._head:
            data, self._head = self._head + data, b""
        elif data.startswith(b"HTTP/1.1 ") and b"\r\ncontent-length: " in data:
            self._head = data
            return
        self._transport.write(data)

    def flush(self) -> None:
        """Send a head without a body."""
        if self._head:
            self.write(b"")

    def close(self) -> None:
        self.flush()
        self._transport.close()


class ServedConnection(HttpToolsProtocol):
    """Tells the application of the connection: see gate.http.connection."""

    def __init__(
        self,
        open_: OpenConnections,
        lanes: Lanes,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
    ) -> None:
        super().__init__(config, server_state, app_state)
        self._open, self._lanes = open_, lanes
        self._unparsed = 0  # bytes since the request last came further
        self._fields = 0  # bytes of names and values of headers and trailers
        self._is_refused = False  # for want of room
        self._is_head_known = False  # what is parsed is a head that was parsed before

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn's
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=0)
        if (taken := transport.get_extra_info("socket")) is not None:
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        self._watched = Connection(transport, self.flow)
        self._corked = _Corked(transport)
        self._extensions: dict[Any, Any] = {EXTENSION: self._watched}
        if not self._open.opened(self, self.loop.time()):
            self._is_refused = True
            transport.write(BUSY_CLOSING)
            transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._watched.lost = True
        self._watched.failed = exc is not None
        self._open.closed(self)
        super().connection_lost(exc)

    def shutdown(self) -> None:
        self._watched.stopping.set()
        super().shutdown()

    # A connection of gate.http.serving.bounds

    def is_receiving(self) -> bool:
        return self.cycle is not None and self.cycle.more_body

    def give_up(self) -> None:
        self.transport.abort()

    # What the parser says

    def data_received(self, data: bytes) -> None:
        if self._is_refused or self.transport.is_closing():
            return
        self._unparsed += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as offered:
            self._go_on(data[offered.args[0] :])
            return
        except httptools.HttpParserError:
            self.send_400_response("Invalid HTTP request received.")
            return
        if self._unparsed > MAX_HEAD and not self.transport.is_closing():
            self.send_400_response("The head of the request is too large.")

    def _go_on(self, rest: bytes) -> None:
        """Stay with this protocol where the client offers another one (RFC 9110, section 7.8).

        The parser stops after the head of such a request, so another one reads its body.
        """
        framing = [each for each in self.headers if each[0] in _FRAMING]
        self.parser = httptools.HttpRequestParser(self)
        if framing:
            self._is_head_known = True
            self.cycle.more_body = True
            self.cycle.message_event.clear()  # nobody has looked yet
            lines = b"".join(b"%b: %b\r\n" % each for each in framing)
            self.parser.feed_data(b"POST / HTTP/1.1\r\n" + lines + b"\r\n")
        if rest:
            self.data_received(rest)

    def on_message_begin(self) -> None:
        if self._is_head_known:
            return
        super().on_message_begin()
        self._fields = 0
        self.scope["extensions"] = self._extensions
        self._open.begins(self, self.loop.time())

    def on_url(self, url: bytes) -> None:
        if not self._is_head_known:
            super().on_url(url)
            self._count(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._is_head_known:
            super().on_header(name, value)
            self._count(len(name) + len(value) + 4)

    def on_headers_complete(self) -> None:
        self._unparsed = 0
        if self._is_head_known:
            self._is_head_known = False
            return
        hosts = sum(name == b"host" for name, _ in self.headers)
        if hosts > 1 or (not hosts and self.parser.get_http_version() == "1.1"):
            raise BadHeadError("want one Host header")
        self._open.asks(self, self.loop.time())
        super().on_headers_complete()

    def on_chunk_header(self) -> None:
        self._unparsed = 0

    def on_body(self, body: bytes) -> None:
        self._unparsed = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._unparsed = 0
        super().on_message_complete()

    def on_response_complete(self) -> None:
        self._corked.flush()
        before = self.cycle
        super().on_response_complete()  # it may begin with the next request, of several at once
        self._unset_keepalive_if_required()  # the server looks at all that wait
        if not before.response_complete:
            self._open.asks(self, self.loop.time())
        else:
            self._open.waits(self, self.loop.time())

    def _count(self, size: int) -> None:
        self._fields += size
        if self._fields > MAX_HEAD:
            raise BadHeadError("the head of the request is too large")

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        lane = self._lanes.of(cycle.scope["path"])
        if not lane.enter():
            self._refuse(cycle)
            return
        cycle.transport = self._corked  # type: ignore[assignment] # as much of one as it uses
        task = self.loop.create_task(cycle.run_asgi(app))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        task.add_done_callback(lane.leave)

    def _refuse(self, cycle: RequestResponseCycle) -> None:
        """Answer without the application: a refusal costs less than what it refuses."""
        cycle.response_started = cycle.response_complete = True
        if cycle.keep_alive and not cycle.waiting_for_100_continue:
            self.transport.write(BUSY)
            self.on_response_complete()
        else:
            self.transport.write(BUSY_CLOSING)
            self.transport.close()


_BUSY = msgspec.json.encode(
    Problem(
        "urn:sovereign:problem:busy",
        "The server is busy",
        503,
        f"it answers as many requests as it can; ask again in {RETRY_AFTER_S} s",
    )
)


def _busy(*more: str) -> bytes:
    lines = [
        "HTTP/1.1 503 Service Unavailable",
        "content-type: application/problem+json",
        "cache-control: no-store",
        f"retry-after: {RETRY_AFTER_S}",
        f"content-length: {len(_BUSY)}",
        *more,
    ]
    return "\r\n".join([*lines, "", ""]).encode() + _BUSY


BUSY, BUSY_CLOSING = _busy(), _busy("connection: close")

"""HTTP routes of data reads: one customer, named ones, rows with ids, tables for analysis.

One customer is answered in one response body. All others are streamed: memory is bounded by a
batch, slow clients get time, disconnected clients are noticed. A stream that fails is aborted
without its end marker, so that the client can tell that it is incomplete.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Generator, Iterator, Mapping
from concurrent.futures import Executor
from contextlib import ExitStack, suppress
from datetime import datetime
from threading import BoundedSemaphore
from time import monotonic
from typing import Any, TypeVar

import msgspec

from gate.decision import quota
from gate.decision.key_scope import KeyEndedError
from gate.http import connection
from gate.http.authzen import LedgerSize, MalformedRequestError, Name, Names, PersonId
from gate.http.connection import Connection
from gate.http.request_body import repeated_member
from gate.http.response import HttpError, Response, Stream, refused
from gate.reads.bulk import formats
from gate.reads.bulk.named import read_named
from gate.reads.bulk.named_request import NamedRequest
from gate.reads.bulk.request import TableRequest
from gate.reads.bulk.table import TableAnswer, read_rows, read_table
from gate.reads.filter import Conditions
from gate.reads.grouped_reads import GroupedReads
from gate.reads.point import Gate
from gate.reads.request import ReadRequest
from gate.reads.sources.interface import without_values
from gate.storage.deliveries import Delivery

Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[Mapping[str, Any]], Awaitable[None]]
Route = Callable[[str, bytes, Mapping[bytes, bytes]], Response | Stream]
T = TypeVar("T")
Asked = TypeVar("Asked", TableRequest, NamedRequest)

SEND_TIMEOUT_S = 30.0  # for a client to receive one chunk of a stream
STREAM_TIMEOUT_S = 3600.0  # for a whole answer
STREAMED = frozenset({"/v1/named", "/v1/rows", "/v1/table"})  # routes that answer with a stream
_LOG = logging.getLogger("sovereign")
MAX_STREAMS = 32  # concurrent streams: each uses a connection to the source


class ReadBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of a read of one customer's fields in one scene."""

    scene: Name
    customer: str
    fields: Names
    minimum_size: LedgerSize = 0
    purpose: Name | None = None
    on_behalf_of: PersonId | None = None


class NamedBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of a read by name: fields in one scene of up to 10,000 customers, each once."""

    scene: Name
    ids: list[str]
    fields: Names
    minimum_size: LedgerSize = 0
    purpose: Name | None = None


class TableBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of a table read: all customers' fields in one scene, for analysis."""

    scene: Name
    fields: Names
    minimum_size: LedgerSize = 0
    filter: Conditions = []
    purpose: Name | None = None


class RowsBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of a rows read: fields of the customers who granted them in one scene, with ids."""

    scene: Name
    fields: Names
    minimum_size: LedgerSize = 0
    filter: Conditions = []
    purpose: Name | None = None


_READ = msgspec.json.Decoder(ReadBody)
_NAMED = msgspec.json.Decoder(NamedBody)
_TABLE = msgspec.json.Decoder(TableBody)
_ROWS = msgspec.json.Decoder(RowsBody)
_ENCODER = msgspec.json.Encoder(decimal_format="string", order="deterministic")


class BrokenStreamError(Exception):
    """The stream failed; the connection closes without the end marker."""


class _Places:
    """Limits the number of concurrent streams."""

    def __init__(self, most: int) -> None:
        self._free = BoundedSemaphore(most)

    def take(self) -> "_Place":
        """Reserve a place. Raises HttpError (503) when all are taken."""
        if not self._free.acquire(blocking=False):
            detail = "too many tables and rows are being read; ask again in a moment"
            raise HttpError(503, "busy", "The gate is busy", detail, retry_after=1)
        return _Place(self._free)


class _Place:
    """A reserved place; `leave` frees it once, however often it is called."""

    def __init__(self, free: BoundedSemaphore) -> None:
        self._free: BoundedSemaphore | None = free

    def leave(self) -> None:
        free, self._free = self._free, None
        if free is not None:
            free.release()


class _Chunks(Iterator[bytes]):
    """The chunks of a stream, and its reserved place."""

    def __init__(self, pieces: Iterator[bytes], place: _Place) -> None:
        self._pieces, self._place = pieces, place

    def __next__(self) -> bytes:
        return next(self._pieces)

    def close(self) -> None:
        """Release the source; if a thread is still reading, it is released when that ends."""
        self._place.leave()
        if isinstance(self._pieces, Generator):
            with suppress(ValueError):  # another thread is iterating
                self._pieces.close()


class DataReads:
    """The data-read routes of one gate. Those in `routes` block: call them off the event loop."""

    def __init__(self, gate: Gate, clock: Callable[[], datetime]) -> None:
        self._gate, self._clock = gate, clock
        self._places = _Places(MAX_STREAMS)
        self._points = GroupedReads(gate)

    @property
    def routes(self) -> dict[str, Route]:
        return {
            "/v1/named": self.named,
            "/v1/rows": self.rows,
            "/v1/table": self.table,
        }

    async def read(self, service: str, body: bytes) -> Response:
        """Answers a read of one customer, without blocking the event loop."""
        asked = decoded(_READ, body)
        fields = tuple(dict.fromkeys(asked.fields))
        request = ReadRequest(
            service,
            asked.scene,
            asked.customer,
            fields,
            self._clock(),
            asked.minimum_size,
            asked.purpose,
            asked.on_behalf_of,
        )
        answer = await self._points.answer(request)
        if answer.decision.refused:
            wait = quota.wait_s(request.at, quota.MINUTE)
            where = answer.read_log, answer.entry, answer.logged
            raise refused(answer.decision.reason, *where, wait, self._purpose(asked.scene))
        logged = () if answer.logged is None else (answer.logged,)
        return Response(200, _ENCODER.encode(formats.point(answer)), logged=logged)

    def named(self, service: str, body: bytes, headers: Mapping[bytes, bytes]) -> Stream:
        asked = decoded(_NAMED, body)
        request = NamedRequest(
            service,
            asked.scene,
            tuple(asked.ids),
            tuple(dict.fromkeys(asked.fields)),
            self._clock(),
            asked.minimum_size,
            asked.purpose,
        )
        return self._streamed(read_named, request, headers)

    def table(self, service: str, body: bytes, headers: Mapping[bytes, bytes]) -> Stream:
        return self._streamed(read_table, self._many(service, decoded(_TABLE, body)), headers)

    def rows(self, service: str, body: bytes, headers: Mapping[bytes, bytes]) -> Stream:
        return self._streamed(read_rows, self._many(service, decoded(_ROWS, body)), headers)

    def _streamed(
        self,
        read: Callable[[Gate, Asked], TableAnswer],
        request: Asked,
        headers: Mapping[bytes, bytes],
    ) -> Stream:
        form, place = _form(headers), self._places.take()
        with ExitStack() as otherwise:
            otherwise.callback(place.leave)
            answer = read(self._gate, request)
            if answer.batches is None:
                wait = quota.wait_s(request.at, quota.DAY)
                where = answer.read_log, answer.entry, answer.logged
                raise refused(answer.reason, *where, wait, self._purpose(request.scene))
            otherwise.pop_all()
        sent = {formats.COMPLETION: formats.completion(answer)}
        sent[formats.EVIDENCE] = formats.evidence(answer)
        more = tuple((name.lower().encode(), each.encode()) for name, each in sent.items())
        chunks = _Chunks(formats.chunks(answer, form), place)
        logged = () if answer.logged is None else (answer.logged,)
        return Stream(chunks, form.encode(), more, answer.ended, logged)

    def _purpose(self, scene: str) -> str:
        known = self._gate.scenes.get(scene)
        return "" if known is None else known.purpose

    def _many(self, service: str, asked: TableBody | RowsBody) -> TableRequest:
        return TableRequest(
            service,
            asked.scene,
            tuple(dict.fromkeys(asked.fields)),
            self._clock(),
            asked.minimum_size,
            tuple(asked.filter),
            asked.purpose,
        )


def decoded(
    decoder: "msgspec.json.Decoder[T]", body: bytes, least: Callable[[T], int] = lambda _: 0
) -> T:
    """Decode a body. Raises msgspec.DecodeError, UnicodeError and MalformedRequestError.

    `least`: how many members a text of this value has at least. One with as many colons has no
    other members, which saves looking for those that occur twice.
    """
    if not body.isascii():
        body.decode()  # the decoder does not validate UTF-8 in members that it skips
    try:
        found = decoder.decode(body)
        twice = repeated_member(body) if body.count(b":") > least(found) else None
    except RecursionError as error:
        raise MalformedRequestError("the body is nested too deeply; send fewer levels") from error
    if twice is not None:
        raise MalformedRequestError(f"the member {twice[:40]!r} occurs twice; send it once")
    return found


async def stream(
    answer: Stream,
    headers: list[tuple[bytes, bytes]],
    receive: Receive,
    send: Send,
    client: Connection | None = None,
    require_live: Callable[[], None] | None = None,
    threads: Executor | None = None,
) -> None:
    """Send the answer chunk by chunk until it ends or the client disconnects.

    `require_live`: raises once its API key has ended, which cuts the answer before its next chunk.
    `threads`: where the source is read; None: those of the event loop.
    """
    gone, delivery = asyncio.ensure_future(_gone(receive)), Delivery.CUT
    run = asyncio.get_running_loop().run_in_executor
    try:
        sent = [*headers, *answer.headers]
        await send({"type": "http.response.start", "status": 200, "headers": sent})
        until = monotonic() + STREAM_TIMEOUT_S
        while not gone.done():
            async with asyncio.timeout(SEND_TIMEOUT_S):  # until the socket takes a piece whole:
                await send({"type": "http.response.body", "body": b"", "more_body": True})
                if client is not None:
                    await client.room()
            # so that a piece is handed over at once after it was decided again.
            if not (chunk := await run(threads, _next, answer.chunks, require_live)):
                break
            async with asyncio.timeout(SEND_TIMEOUT_S):
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            if monotonic() > until:
                raise BrokenStreamError(f"the answer did not end within {STREAM_TIMEOUT_S:.0f} s")
        if not gone.done():
            was_lost = client is not None and client.lost
            await send({"type": "http.response.body", "body": b""})
            delivery = await connection.delivery(client, was_lost=was_lost)
    except TimeoutError as error:
        if client is not None:
            client.abort()
        raise BrokenStreamError("the client reads too slowly") from error
    finally:
        gone.cancel()
        await run(threads, end, answer, delivery)


def _next(chunks: Iterator[bytes], require_live: Callable[[], None] | None) -> bytes:
    """The next non-empty chunk; empty at the end.

    Hides the cause of errors, because an engine's message can quote personal data. The log has
    what is safe to say of it.
    """
    try:
        chunk = next((chunk for chunk in chunks if chunk), b"")
        if require_live is not None:
            require_live()
    except KeyEndedError:
        raise BrokenStreamError("the API key ended while the answer left") from None
    except Exception as error:  # noqa: BLE001 - no engine message may reach a client or a log
        _LOG.warning("an answer was cut off: %s", without_values(error))
        raise BrokenStreamError("the source stopped delivering rows; try again later") from None
    return chunk


def end(answer: Stream, delivery: Delivery) -> None:
    """Release what a stream holds, and note what became of it."""
    if isinstance(answer.chunks, _Chunks | Generator):
        answer.chunks.close()
    if answer.ended is not None:
        answer.ended(delivery)


async def _gone(receive: Receive) -> None:
    """Return when the client has disconnected."""
    if (await receive())["type"] != "http.disconnect":
        await asyncio.Event().wait()  # a client that sends more is still connected


def _form(headers: Mapping[bytes, bytes]) -> str:
    form = formats.negotiate(headers.get(b"accept", b"*/*").decode("latin-1"))
    if form is None:
        detail = f"accept one of {', '.join(formats.FORMS)}"
        raise HttpError(406, "not-acceptable", "No acceptable format", detail)
    return form

"""The gate's ASGI application: AuthZEN 1.0 and the read API, served alone or mounted.

It answers with a decision only after the read-log entry is durable. Errors are RFC 9457 problems: a
malformed request is 400, an unauthenticated one 401, a refused read 403, a stale gate or a source
that is down 503. A denied evaluation is 200 with `"decision": false`.
"""

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from difflib import get_close_matches
from functools import partial
from typing import Any, Protocol

import msgspec
from sqlalchemy.exc import SQLAlchemyError

from gate.changes.feed import ChangeFeed
from gate.decision.key_scope import KeyedService, KeyEndedError, KeyScopeError
from gate.http import authzen, changes, connection, dpop, reads, searches, series
from gate.http.authzen import MalformedRequestError
from gate.http.changes import ChangePolls
from gate.http.connection import Connection
from gate.http.evaluations.routes import EvaluationRoutes
from gate.http.reads import DataReads
from gate.http.request_body import Bodies, BodyTooLargeError, BodyTooSlowError, Receive
from gate.http.response import HttpError, Response, Stream
from gate.http.searches import Searches
from gate.http.series import SeriesRoute
from gate.http.serving.bounds import PLACES
from gate.http.serving.shares import ServiceShares
from gate.http.serving.turns import ServiceTurns
from gate.readlog.customer_sets import MissingSetError
from gate.readlog.writer import JournalError
from gate.reads.bulk.named_request import NamedRequestError
from gate.reads.filter import FilterError
from gate.reads.point import Gate
from gate.reads.request import StaleStateError
from gate.reads.sources.interface import SourceUnavailableError
from gate.state.ledger_position import EpochUnavailableError
from gate.storage.api_keys import PREFIX
from gate.storage.deliveries import Delivery
from ledger.clock import now
from ledger.errors import CorruptLogError
from ledger.storage.database import DatabaseError
from ledger.storage.interface import ForkError

Scope = Mapping[str, Any]
Send = Callable[[Mapping[str, Any]], Awaitable[None]]

MAX_BULK = 8  # threads for tables, rows, reads by name and searches: nothing else waits for them
JSON = b"application/json"
ONE_EACH = frozenset({b"authorization", b"dpop"})  # headers that say who asks
# Of answers that a browser may show as a page: nobody but a program sends what is answered 200.
_SHOWN = (
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"same-origin"),
)
_ALWAYS = ((b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"))
# Paths by what a request costs: a decision, or more, or little for a long time.
BATCHES = "/access/v1/evaluations"
QUICK_PATHS = ("/access/v1/evaluation", BATCHES, "/v1/read")
SLOW_PATHS = (*reads.STREAMED, *searches.PATHS, "/mcp")
ANSWERED = (*QUICK_PATHS, *reads.STREAMED, *searches.PATHS)  # of which latency is measured
WAITING_PATHS = (changes.PATH,)
METADATA = "/.well-known/authzen-configuration"
MAX_PATH = 200  # characters of an unknown path that are compared with known ones
_HOST = re.compile(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?")


class Authenticator(Protocol):
    """Identifies the client of a request: the id of a registered service, or None."""

    def service(self, headers: Mapping[bytes, bytes]) -> str | None: ...


_ENCODER = msgspec.json.Encoder(decimal_format="string", order="deterministic")


class GateApp:
    """An ASGI application that serves one `Gate`. `clock` returns the current time.

    `feed`: its feed of changes; None: it serves none. `places`: how many decisions and reads of one
    customer the server answers at once, and as many tables, rows and searches.
    """

    def __init__(
        self,
        gate: Gate,
        authenticator: Authenticator,
        clock: Callable[[], datetime] = now,
        feed: ChangeFeed | None = None,
        places: int = PLACES,
    ) -> None:
        self._gate = gate
        self._shares = ServiceShares(places), ServiceShares(places)  # of quick and of slow paths
        self._polls = None if feed is None else ChangePolls(feed, gate.options.quotas, clock)
        self._authenticator = authenticator
        self._clock = clock
        self._bodies = Bodies()
        self._turns = ServiceTurns()
        evaluations = EvaluationRoutes(gate, clock, self._turns)
        data = DataReads(gate, clock)
        self._bulk = ThreadPoolExecutor(MAX_BULK, "bulk-reads")
        self._quick: dict[str, Callable[[str, bytes], Awaitable[Response]]] = {
            "/access/v1/evaluation": evaluations.evaluation,
            BATCHES: evaluations.evaluations,
            "/v1/read": data.read,
        }
        self._routes: dict[
            str, Callable[[str, bytes, Mapping[bytes, bytes]], Response | Stream]
        ] = {
            **Searches(gate, clock).routes,
            **data.routes,
            series.PATH: SeriesRoute(gate).series,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        asked = _Asked()
        try:
            await self._answer(scope, receive, send, asked)
        finally:
            asked.leave()

    async def _answer(self, scope: Scope, receive: Receive, send: Send, asked: "_Asked") -> None:
        headers = dict(scope["headers"])
        try:
            if len(headers) < len(scope["headers"]):
                _require_single(scope["headers"])
            response: Response | Stream = await self._respond(scope, headers, receive, asked)
        except Exception as error:  # noqa: BLE001 - errors without an entry in the table are raised again
            response = _problem(_problem_of(error))
        if asked.by is not None and response.logged:
            response = await _noted(asked.by, response)
        client = connection.known(scope)
        if isinstance(response, Stream):
            sent = _headers(response.content_type, headers)
            live = None if asked.by is None else asked.by.require_live
            await reads.stream(response, sent, receive, send, client, live, self._bulk)
        else:
            await _send(response, headers, send, client)

    async def _respond(
        self, scope: Scope, headers: Mapping[bytes, bytes], receive: Receive, asked: "_Asked"
    ) -> Response | Stream:
        path = scope["path"]
        quick = self._quick.get(path)
        if quick is None and path not in self._routes:
            return await self._other(scope, headers, receive, asked)
        _require_method(scope, "POST")
        service = await self._asker(scope, headers, asked)
        asked.enter(self._shares[quick is None], service)
        _json_only(headers)
        if path in reads.STREAMED:
            _require_end_marker(scope)
        sent = await self._bodies.whole(receive)
        if asked.by is not None:
            asked.by.require_scenes(sent, self._gate.options.default_scenes.get(service, ""))
        if quick is not None:
            if path == BATCHES:  # takes its turn by itself
                return await quick(service, sent)
            with self._turns.short:
                return await quick(service, sent)
        answer = partial(self._routes[path], service, sent, headers)
        return await asyncio.get_running_loop().run_in_executor(self._bulk, answer)

    async def _other(
        self, scope: Scope, headers: Mapping[bytes, bytes], receive: Receive, asked: "_Asked"
    ) -> Response | Stream:
        """What is not asked by POST."""
        path = scope["path"]
        if path == METADATA:
            return _metadata(scope, headers)
        if self._polls is None or path != changes.PATH:
            raise HttpError(404, "not-found", "No such resource", self._instead_of(path))
        _require_method(scope, "GET")
        service = await self._asker(scope, headers, asked)
        query, client = scope.get("query_string", b""), connection.known(scope)
        answer = await self._polls.answer(service, query, receive, client)
        if asked.by is not None:  # it may have waited
            await asyncio.to_thread(asked.by.require_live)
        return answer

    def _instead_of(self, path: str) -> str:
        """What to do about a path that is not served."""
        served = [*self._quick, *self._routes, METADATA, changes.PATH]
        alike = get_close_matches(path[:MAX_PATH], served, 1)
        meant = f"did you mean {alike[0]}? " if alike else ""
        return f"{meant}see the API description for the paths that there are"

    async def _asker(self, scope: Scope, headers: Mapping[bytes, bytes], asked: "_Asked") -> str:
        """Who asks, if their API key is for this. Raises HttpError, KeyScopeError."""
        if b"dpop" in headers:
            headers = dpop.with_target(scope, headers)
        if PREFIX.encode() in headers.get(b"authorization", b""):  # looked up in a database
            service = await asyncio.to_thread(self._authenticator.service, headers)
        else:
            service = self._authenticator.service(headers)
        if isinstance(service, KeyedService):
            asked.by = service
            service.require_endpoint(scope["path"], by_agent=connection.by_agent(scope))
            if scope["path"] == changes.PATH:
                service.require_every_scene(changes.PATH)
            return str(service)
        if service is None:
            raise HttpError(*_UNAUTHENTICATED)
        return service


def _require_single(headers: Iterable[tuple[bytes, bytes]]) -> None:
    """Refuse two of a header that says who asks: a proxy may look at the other one."""
    sent = [name for name, _ in headers if name in ONE_EACH]
    if twice := {name.decode() for name in sent if sent.count(name) > 1}:
        raise HttpError(
            400, "malformed", "Malformed request", f"want one {', '.join(sorted(twice))} header"
        )


class _Asked:
    """A request: who sent it, if it was with an API key, and its place among its service's."""

    by: KeyedService | None = None
    _shares: ServiceShares | None = None
    _service = ""

    def enter(self, shares: ServiceShares, service: str) -> None:
        """Raises HttpError (503)."""
        shares.enter(service)
        self._shares, self._service = shares, service

    def leave(self) -> None:
        if self._shares is not None:
            self._shares.leave(self._service)


async def _noted(by: KeyedService, response: Response | Stream) -> Response | Stream:
    """The answer, once it is noted for which key it is; otherwise it does not leave."""
    try:
        await asyncio.to_thread(by.used, response.logged)
    except Exception as error:  # noqa: BLE001 - errors without an entry in the table are raised again
        if isinstance(response, Stream):
            await asyncio.to_thread(reads.end, response, Delivery.CUT)
        return _problem(_problem_of(error))
    return response


_LOG = logging.getLogger("sovereign")
_MALFORMED = (
    *(msgspec.DecodeError, MalformedRequestError, FilterError, NamedRequestError, UnicodeError),
)
_LEDGER = (EpochUnavailableError, CorruptLogError, DatabaseError, ForkError, SQLAlchemyError)
_UNAUTHENTICATED = (
    *(401, "unauthenticated", "Authentication required", "send a valid bearer token"),
)
_PROBLEMS: tuple[tuple[Any, int, str, str, str], ...] = (
    (_MALFORMED, 400, "malformed", "The request is malformed", "{}; see the API description"),
    (KeyEndedError, *_UNAUTHENTICATED),
    (KeyScopeError, 403, "key-scope", "Outside the scope of the API key", "{}"),
    (BodyTooSlowError, 408, "timeout", "The request took too long to arrive", "{}"),
    (BodyTooLargeError, 413, "too-large", "The request is too large", "{}"),
    (StaleStateError, 503, "stale", "The gate is behind the ledger", "{}"),
    (_LEDGER, 503, "ledger", "The consent ledger is unreachable", "try again later"),
    (SourceUnavailableError, 503, "source", "The source is down", "try again later"),
    (JournalError, 503, "journal", "The read log is down", "try again later"),
    (MissingSetError, 503, "journal", "The read log is incomplete", "tell the operator"),
)


def _problem_of(error: Exception) -> HttpError:
    """Translate an error to a problem by the table above. Raises errors that are not in it."""
    if isinstance(error, HttpError):
        return error
    for kinds, status, slug, title, detail in _PROBLEMS:
        if isinstance(error, kinds):
            if kinds is SourceUnavailableError:  # its text has no customer's values
                _LOG.warning("%s: %s", title, error)
            return HttpError(status, slug, title, detail.format(error))
    raise error


def _require_method(scope: Scope, method: str) -> None:
    """Raises HttpError (405)."""
    if scope["method"] != method:
        detail = f"send a {method} request"
        raise HttpError(405, "method", "Method not allowed", detail, allow=method)


def _json_only(headers: Mapping[bytes, bytes]) -> None:
    """Refuse a body with a content type other than JSON. Raises HttpError."""
    sent = headers.get(b"content-type", JSON)
    if sent.partition(b";")[0].strip().lower() != JSON:
        detail = f"the content type is {sent.decode('latin-1')!r}; send application/json"
        raise HttpError(400, "malformed", "The request is malformed", detail)


def _require_end_marker(scope: Scope) -> None:
    """Refuse a stream over HTTP/1.0, which ends it by closing: a cut one would look complete."""
    if scope.get("http_version") == "1.0":
        detail = "tables and rows need HTTP/1.1; in nginx set `proxy_http_version 1.1`"
        raise HttpError(505, "http-version", "HTTP version not supported", detail)


def _metadata(scope: Scope, headers: Mapping[bytes, bytes]) -> Response:
    if scope["method"] not in {"GET", "HEAD"}:
        detail = "send a GET request"
        raise HttpError(405, "method", "Method not allowed", detail, allow="GET, HEAD")
    host = headers.get(b"host", b"localhost").decode("latin-1")
    if not _HOST.fullmatch(host):
        detail = "the Host header is not a host and port; send the gate's"
        raise HttpError(400, "malformed", "The request is malformed", detail)
    return _json(authzen.metadata(f"{scope.get('scheme', 'http')}://{host}"))


def _json(value: Any) -> Response:
    return Response(200, _ENCODER.encode(value))


def _problem(error: HttpError) -> Response:
    body = _ENCODER.encode(error.problem)
    kind = b"application/problem+json"
    said = error.retry_after, error.logged, error.allow
    return Response(error.problem.status, body, kind, *said)


async def _send(
    response: Response, headers: Mapping[bytes, bytes], send: Send, client: Connection | None
) -> None:
    sent = [*_headers(response.content_type, headers), *response.headers]
    sent.append((b"content-length", str(len(response.body)).encode()))
    if response.status != 200:  # noqa: PLR2004 - an HTTP status code
        sent += _SHOWN
    if response.status == 401:  # noqa: PLR2004 - an HTTP status code
        sent.append((b"www-authenticate", b"Bearer"))
    if response.allow:
        sent.append((b"allow", response.allow.encode()))
    if response.retry_after:
        sent.append((b"retry-after", str(response.retry_after).encode()))
    await send({"type": "http.response.start", "status": response.status, "headers": sent})
    was_lost = client is not None and client.lost
    await send({"type": "http.response.body", "body": response.body})
    if response.logged:
        delivery = await connection.delivery(client, was_lost=was_lost)
        for each in response.logged:
            each.ended(delivery)


def _headers(kind: bytes, headers: Mapping[bytes, bytes]) -> list[tuple[bytes, bytes]]:
    sent = [(b"content-type", kind), *_ALWAYS]
    if request_id := headers.get(b"x-request-id"):
        sent.append((b"x-request-id", request_id))
    return sent

"""The gate's ASGI application: AuthZEN 1.0 and the read API, served alone or mounted.

It answers with a decision only after the read-log entry is durable. Errors are RFC 9457 problems: a
malformed request is 400, an unauthenticated one 401, a refused read 403, a stale gate or a source
that is down 503. A denied evaluation is 200 with `"decision": false`.
"""

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, Protocol, TypeVar, cast

import msgspec
from sqlalchemy.exc import SQLAlchemyError

from gate.changes.feed import ChangeFeed
from gate.decision import quota
from gate.decision.decide import Reason
from gate.http import authzen, changes, connection, dpop, reads
from gate.http.authzen import MalformedRequestError
from gate.http.changes import ChangePolls
from gate.http.connection import Connection
from gate.http.reads import DataReads, decoded
from gate.http.request_body import Bodies, BodyTooLargeError, BodyTooSlowError, Receive
from gate.http.response import HttpError, Response, Stream, refused
from gate.readlog.customer_sets import MissingSetError
from gate.readlog.entry import DecisionGroup, WrittenDecision
from gate.readlog.group_commit import Commits
from gate.readlog.writer import JournalError, Several
from gate.reads.bulk.named_request import NamedRequestError
from gate.reads.filter import FilterError
from gate.reads.point import Gate
from gate.reads.request import StaleStateError
from gate.reads.sources.interface import SourceUnavailableError
from gate.state.ledger_position import EpochUnavailableError
from gate.storage.deliveries import Logged
from ledger.clock import now
from ledger.errors import CorruptLogError
from ledger.storage.database import DatabaseError
from ledger.storage.interface import ForkError

Scope = Mapping[str, Any]
Send = Callable[[Mapping[str, Any]], Awaitable[None]]

JSON = b"application/json"
METADATA = "/.well-known/authzen-configuration"
_HOST = re.compile(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?")


class Authenticator(Protocol):
    """Identifies the client of a request: the id of a registered service, or None."""

    def service(self, headers: Mapping[bytes, bytes]) -> str | None: ...


_EVALUATION = msgspec.json.Decoder(authzen.Evaluation)
_EVALUATIONS = msgspec.json.Decoder(authzen.Evaluations)
_LOOSE = msgspec.json.Decoder(authzen.LooseEvaluations)
_SUBJECTS = msgspec.json.Decoder(authzen.SubjectSearch)
_RESOURCES = msgspec.json.Decoder(authzen.ResourceSearch)
_ACTIONS = msgspec.json.Decoder(authzen.ActionSearch)
_ENCODER = msgspec.json.Encoder(decimal_format="string", order="deterministic")


Decided = TypeVar("Decided")


class GateApp:
    """An ASGI application that serves one `Gate`. `clock` returns the current time.

    `feed`: its feed of changes; None: it serves none.
    """

    def __init__(
        self,
        gate: Gate,
        authenticator: Authenticator,
        clock: Callable[[], datetime] = now,
        feed: ChangeFeed | None = None,
    ) -> None:
        self._gate = gate
        self._polls = None if feed is None else ChangePolls(feed, gate.options.quotas, clock)
        self._authenticator = authenticator
        self._clock = clock
        self._commits = Commits(lambda: gate.journal, on_loop=not gate.options.asks_server)
        self._bodies = Bodies()
        self._quick: dict[str, Callable[[str, bytes], Awaitable[Response]]] = {
            "/access/v1/evaluation": self._evaluation,
            "/access/v1/evaluations": self._evaluations,
        }
        self._routes: dict[
            str, Callable[[str, bytes, Mapping[bytes, bytes]], Response | Stream]
        ] = {
            "/access/v1/search/subject": self._search_subject,
            "/access/v1/search/resource": self._search_resource,
            "/access/v1/search/action": self._search_action,
            **DataReads(gate, clock).routes,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        headers = dict(scope["headers"])
        try:
            response: Response | Stream = await self._respond(scope, headers, receive)
        except Exception as error:  # noqa: BLE001 - errors without an entry in the table are raised again
            response = _problem(_problem_of(error))
        client = connection.known(scope)
        if isinstance(response, Stream):
            sent = _headers(response.content_type, headers)
            await reads.stream(response, sent, receive, send, client)
        else:
            await _send(response, headers, send, client)

    async def _respond(
        self, scope: Scope, headers: Mapping[bytes, bytes], receive: Receive
    ) -> Response | Stream:
        path = scope["path"]
        if path == METADATA:
            return _metadata(scope, headers)
        polls = self._polls if path == changes.PATH else None
        if path not in self._routes and path not in self._quick and polls is None:
            raise HttpError(
                404, "not-found", "No such resource", f"see the API description: {path}"
            )
        method = "POST" if polls is None else "GET"
        if scope["method"] != method:
            detail = f"send a {method} request"
            raise HttpError(405, "method", "Method not allowed", detail, allow=method)
        service = self._service(scope, headers)
        if polls is not None:
            query, client = scope.get("query_string", b""), connection.known(scope)
            return await polls.answer(service, query, receive, client)
        _json_only(headers)
        if path in reads.STREAMED:
            _require_end_marker(scope)
        sent = await self._bodies.whole(receive)
        if (quick := self._quick.get(path)) is not None:
            return await quick(service, sent)
        return await asyncio.to_thread(self._routes[path], service, sent, headers)

    def _service(self, scope: Scope, headers: Mapping[bytes, bytes]) -> str:
        """Who asks. Raises HttpError (401)."""
        if b"dpop" in headers:
            headers = dpop.with_target(scope, headers)
        if (service := self._authenticator.service(headers)) is None:
            raise HttpError(
                401, "unauthenticated", "Authentication required", "send a valid bearer token"
            )
        return service

    async def _evaluation(self, service: str, body: bytes) -> Response:
        evaluation = decoded(_EVALUATION, body)

        def decide() -> list[WrittenDecision]:
            return authzen.ask(self._gate, service, [evaluation], self._clock())

        decisions = await self._waiting_elsewhere(decide)
        logged = await self._commits.record([(decisions[0], decisions[0].customer)])
        body = decisions[0].answer(logged.entries.start).encode()
        return Response(200, body, logged=(logged,))

    async def _evaluations(self, service: str, body: bytes) -> Response:
        try:
            batch = decoded(_EVALUATIONS, body)
        except msgspec.ValidationError:
            return await self._loose_evaluations(service, body)
        if not batch.evaluations:  # a single evaluation: AuthZEN 1.0, section 7
            return await self._evaluation(service, body)
        authzen.split_if_long(batch.evaluations)
        return await self._batch(service, batch.evaluations, batch)

    async def _loose_evaluations(self, service: str, body: bytes) -> Response:
        """A batch with malformed elements: these are denied one by one."""
        loose = decoded(_LOOSE, body)
        if not loose.evaluations:
            return await self._evaluation(service, body)
        whole = authzen.Evaluations(options=loose.options)
        return await self._batch(service, authzen.completed(loose), whole)

    async def _waiting_elsewhere(self, decide: Callable[[], Decided]) -> Decided:
        """Decide; wait for others in another thread, so that requests are answered meanwhile."""
        options = self._gate.options
        if options.asks_server or options.quotas.waits:
            return await asyncio.to_thread(decide)
        if not self._gate.decides_at_once():
            await asyncio.to_thread(self._gate.catch_up)
        return decide()

    async def _batch(
        self,
        service: str,
        evaluations: Sequence[authzen.Evaluation | MalformedRequestError],
        batch: authzen.Evaluations,
    ) -> Response:
        """Decide as far as the batch's semantic requires, log all together, then answer."""
        decisions, answers = await self._waiting_elsewhere(
            lambda: self._decided(service, evaluations, batch, self._clock())
        )
        if len(decisions) > 1 and decisions[0].moment is decisions[-1].moment:
            together, customers = (
                DecisionGroup(service, decisions),
                [each.customer for each in decisions],
            )
            logged = [await self._commits.record([Several(together, customers)])]
            answered = together.answers(logged[0].entries.start)
        else:
            alone = [(each, each.customer) for each in decisions]
            logged = [await self._commits.record(alone)] if alone else []
            entries = logged[0].entries if logged else ()
            answered = [each.answer(at) for at, each in zip(entries, decisions, strict=True)]
        if answers is not decisions:  # malformed elements have no entry
            texts = iter(answered)
            answered = [each if isinstance(each, str) else next(texts) for each in answers]
        body = f'{{"evaluations":[{",".join(answered)}]}}'.encode()
        return Response(200, body, logged=(*logged,))

    def _decided(
        self,
        service: str,
        evaluations: Sequence[authzen.Evaluation | MalformedRequestError],
        batch: authzen.Evaluations,
        now: datetime,
    ) -> tuple[list[WrittenDecision], Sequence[WrittenDecision | str]]:
        """The decisions to log and the answers to send; decided in one call where possible."""
        broken = evaluations is not batch.evaluations and any(
            isinstance(each, MalformedRequestError) for each in evaluations
        )
        if batch.options.evaluations_semantic == "execute_all" and not broken:
            whole = cast("Sequence[authzen.Evaluation]", evaluations)
            with suppress(MalformedRequestError):
                decisions = authzen.ask(self._gate, service, whole, now, batch)
                return decisions, decisions
        return self._one_by_one(service, evaluations, batch, now)

    def _one_by_one(
        self,
        service: str,
        evaluations: Sequence[authzen.Evaluation | MalformedRequestError],
        batch: authzen.Evaluations,
        now: datetime,
    ) -> tuple[list[WrittenDecision], list[WrittenDecision | str]]:
        stop = authzen.stops(batch.options.evaluations_semantic)
        decisions: list[WrittenDecision] = []
        answers: list[WrittenDecision | str] = []
        for each in evaluations:
            try:
                if isinstance(each, MalformedRequestError):
                    raise each
                decisions += authzen.ask(self._gate, service, [each], now, batch)
                answers.append(decisions[-1])
                allowed = decisions[-1].allowed
            except MalformedRequestError as error:
                answers.append(authzen.refused_item(str(error)))
                allowed = False
            if stop(allowed):
                break
        return decisions, answers

    def _evaluate(self, service: str, evaluation: authzen.Evaluation) -> tuple[bool, Logged]:
        """One evaluation of a search, logged like any other. Raises HttpError (429).

        No result would say that the customer does not allow it, so a quota is not answered so.
        """
        at = self._clock()
        (decision,) = authzen.ask(self._gate, service, [evaluation], at)
        journal = self._gate.journal
        entry = journal.record(decision, decision.customer)
        logged = journal.logged(entry)
        if decision.wording.reason is Reason.QUOTA_EXCEEDED:
            wait = quota.wait_s(at, quota.MINUTE)
            raise refused(decision.wording.reason, journal.log.origin, entry, logged, wait)
        return decision.allowed, logged

    def _search_subject(self, service: str, body: bytes, _: Mapping[bytes, bytes]) -> Response:
        search = decoded(_SUBJECTS, body)
        results, logged = [], []
        for each in authzen.search_subjects(self._gate, search):
            if each.subject is None:
                continue
            allowed, entry = self._evaluate(service, each)
            logged.append(entry)
            if allowed:
                results.append({"type": "service", "id": each.subject.id})
        return _json({"results": results, "page": {"next_token": ""}}, *logged)

    def _search_resource(self, service: str, body: bytes, _: Mapping[bytes, bytes]) -> Response:
        search = decoded(_RESOURCES, body)
        if search.subject.id != service:
            return _json({"results": [], "page": {"next_token": ""}})
        found, logged = authzen.search_resources(self._gate, search, self._clock())
        return _json(found, *logged)

    def _search_action(self, service: str, body: bytes, _: Mapping[bytes, bytes]) -> Response:
        search = decoded(_ACTIONS, body)
        action = authzen.Action("read")
        each = authzen.Evaluation(search.subject, action, search.resource, search.context)
        allowed, logged = self._evaluate(service, each)
        results = [{"name": "read"}] if allowed else []
        return _json({"results": results, "page": {"next_token": ""}}, logged)


_LOG = logging.getLogger("sovereign")
_MALFORMED = (
    *(msgspec.DecodeError, MalformedRequestError, FilterError, NamedRequestError, UnicodeError),
)
_LEDGER = (EpochUnavailableError, CorruptLogError, DatabaseError, ForkError, SQLAlchemyError)
_PROBLEMS: tuple[tuple[Any, int, str, str, str], ...] = (
    (_MALFORMED, 400, "malformed", "The request is malformed", "{}; see the API description"),
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


def _json(value: Any, *logged: Logged) -> Response:
    return Response(200, _ENCODER.encode(value), logged=logged)


def _problem(error: HttpError) -> Response:
    body = _ENCODER.encode(error.problem)
    kind = b"application/problem+json"
    said = error.retry_after, error.logged, error.allow
    return Response(error.problem.status, body, kind, *said)


async def _send(
    response: Response, headers: Mapping[bytes, bytes], send: Send, client: Connection | None
) -> None:
    sent = _headers(response.content_type, headers)
    sent.append((b"content-length", str(len(response.body)).encode()))
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
    sent = [(b"content-type", kind), (b"cache-control", b"no-store")]
    if request_id := headers.get(b"x-request-id"):
        sent.append((b"x-request-id", request_id))
    return sent

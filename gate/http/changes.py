"""`GET /v1/changes`: what a service must forget or may read again, by long-poll.

    GET /v1/changes?since=AAAA…&limit=100&wait=25
    -> {"changes": [{"do": "forget", "customer": "c00007", "scene": "segmentation",
                     "fields": ["age"], "reason": "withdrawn", "ledger_size": 4711, …}],
        "token": "AAAA…", "more": false, …}

A waiting poll holds no thread and no connection to a database: one task looks for all of them
whether the ledger moved. The feed's own thread does the work, so that reads never wait for it.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any, TypeVar
from urllib.parse import parse_qsl

import msgspec

from gate.changes.feed import ChangeFeed, DroppedLinesError, FeedLine, FeedPage, FeedPausedError
from gate.changes.lines import moment
from gate.changes.token import UnknownTokenError
from gate.decision import quota
from gate.decision.quota import Quotas
from gate.http.connection import Connection
from gate.http.response import HttpError, Response

PATH = "/v1/changes"
DEFAULT_LIMIT, MAX_LIMIT = 100, 1_000  # lines of one answer
MAX_WAIT_S = 30
MAX_WAITING = 4  # polls of one service at each gate
LOOK_S = 0.1  # between looks whether the ledger moved
_MAX_DIGITS = 4
_NAMES = ("since", "limit", "wait")

Receive = Callable[[], Awaitable[Mapping[str, Any]]]
T = TypeVar("T")


class Change(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A line. `customer` is null for an erased one, whose id has the keyed hash `customer_hash`."""

    do: str
    customer: str | None
    customer_hash: str | None
    scene: str | None
    fields: tuple[str, ...] | None
    reason: str
    ledger_size: int
    at: datetime
    until: datetime | None
    token: str


class ChangesAnswer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A page. `hash_key`: of `customer_hash`, HMAC-SHA-256 of the id in UTF-8, both in hex."""

    changes: list[Change]
    token: str
    more: bool
    kept_since: datetime | None
    hash_key: str


class Asked(msgspec.Struct, frozen=True):
    """The parameters of a poll. `wait`: seconds."""

    since: str | None = None
    limit: int = DEFAULT_LIMIT
    wait: int = 0


_ENCODER = msgspec.json.Encoder(order="deterministic")


class ChangePolls:
    """Answers the polls of one gate. Runs on one event loop."""

    def __init__(self, feed: ChangeFeed, quotas: Quotas, clock: Callable[[], datetime]) -> None:
        self._feed, self._quotas, self._clock = feed, quotas, clock
        self._thread = ThreadPoolExecutor(1, "changes")
        self._waiting: Counter[str] = Counter()  # by service
        self._moved: asyncio.Future[None] | None = None  # what all waiting polls wait for

    async def answer(
        self, service: str, query: bytes, receive: Receive, client: Connection | None
    ) -> Response:
        """Answer one poll. Raises HttpError, and what following the ledger raises."""
        asked = parameters(query)
        await self._admit(service)
        page = await self._page(service, asked)
        if asked.wait and not page.lines:
            page = await self._later(service, asked, _over(receive, client)) or page
        return Response(200, _ENCODER.encode(self._answer(page)))

    async def _admit(self, service: str) -> None:
        """Count the poll as one request. Raises HttpError (429) beyond the quota."""
        at = self._clock()
        if not await self._run(lambda: self._quotas.admits_poll(service, at)):
            wait_s = quota.wait_s(at, quota.MINUTE)
            detail = f"try again in {wait_s} s, or wait longer in each poll; see your quota"
            raise HttpError(429, "quota", "Quota exceeded", detail, retry_after=wait_s)

    async def _page(self, service: str, asked: Asked) -> FeedPage:
        """Raises HttpError for a token that does not lead on."""
        try:
            return await self._run(
                lambda: self._feed.page(service, asked.since, asked.limit, self._clock())
            )
        except UnknownTokenError as error:
            raise _malformed(str(error)) from None
        except DroppedLinesError as error:
            raise HttpError(410, "dropped", "Changes are no longer kept", str(error)) from None
        except FeedPausedError as error:
            detail = f"{error}; try again later, and use no data meanwhile"
            raise HttpError(503, "paused", "The feed is paused", detail, retry_after=60) from None

    async def _later(
        self, service: str, asked: Asked, over: Coroutine[Any, Any, None]
    ) -> FeedPage | None:
        """The first page with lines within the time; None if there is none, or it is `over`."""
        gone = asyncio.ensure_future(over)
        if self._waiting[service] >= MAX_WAITING:
            gone.cancel()
            detail = f"{MAX_WAITING} polls of your service wait here already; end one of them"
            raise HttpError(429, "waiting", "Too many waiting polls", detail, retry_after=1)
        self._waiting[service] += 1
        try:
            async with asyncio.timeout(asked.wait):
                while not gone.done():
                    moved = self._next_move()
                    # What came before this line was on the page, or is on the next one.
                    if (page := await self._page(service, asked)).lines:
                        return page
                    await asyncio.wait({moved, gone}, return_when=asyncio.FIRST_COMPLETED)
        except TimeoutError:
            pass
        finally:
            gone.cancel()
            self._waiting[service] -= 1
        return None

    def _next_move(self) -> "asyncio.Future[None]":
        if self._moved is None:
            self._moved = asyncio.ensure_future(self._look())
        return self._moved

    async def _look(self) -> None:
        """Return once the ledger has moved, or a minute has begun."""
        try:
            while self._waiting.total():
                await asyncio.sleep(LOOK_S)
                try:
                    if await self._run(lambda: self._feed.moved(self._clock())):
                        return
                except Exception:  # noqa: BLE001 - the polls that are woken meet it again, and answer
                    return
        finally:
            self._moved = None

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _answer(self, page: FeedPage) -> ChangesAnswer:
        return ChangesAnswer(
            [_change(each) for each in page.lines],
            page.token,
            page.more,
            page.kept_since,
            self._feed.hash_key.hex(),
        )


def parameters(query: bytes) -> Asked:
    """The parameters of a query string. Raises HttpError (400)."""
    try:
        given = parse_qsl(query.decode("ascii"), keep_blank_values=True, strict_parsing=bool(query))
    except ValueError:
        raise _malformed("the query is not a list of name=value") from None
    known = dict(given)
    if len(known) != len(given) or (unknown := sorted(known.keys() - {*_NAMES})):
        wrong = ", ".join(unknown) if len(known) == len(given) else "one of them twice"
        raise _malformed(f"want the parameters {', '.join(_NAMES)}, each once; found {wrong[:64]}")
    return Asked(
        known.get("since"),
        _whole("limit", known.get("limit", str(DEFAULT_LIMIT)), 1, MAX_LIMIT),
        _whole("wait", known.get("wait", "0"), 0, MAX_WAIT_S),
    )


def _whole(name: str, text: str, least: int, most: int) -> int:
    plain = text.isascii() and text.isdecimal() and len(text) <= _MAX_DIGITS
    if not plain or not least <= int(text) <= most or str(int(text)) != text:
        raise _malformed(f"{name}: want a whole number from {least} to {most}, found {text[:32]!r}")
    return int(text)


def _malformed(detail: str) -> HttpError:
    return HttpError(400, "malformed", "The request is malformed", detail)


def _change(each: FeedLine) -> Change:
    line = each.line
    return Change(
        do=line.action,
        customer=each.customer,
        customer_hash=None if line.hash is None else line.hash.hex(),
        scene=line.scene,
        fields=line.fields if line.scene is not None else None,
        reason=line.reason,
        ledger_size=line.ledger_size,
        at=moment(line.at),
        until=None if line.until is None else moment(line.until),
        token=each.token,
    )


async def _over(receive: Receive, client: Connection | None) -> None:
    """Return when the client has disconnected, or the server ends."""
    ends = [asyncio.ensure_future(_disconnected(receive))]
    if client is not None:
        ends.append(asyncio.ensure_future(_stopping(client)))
    try:
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for each in ends:
            each.cancel()


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _stopping(client: Connection) -> None:
    await client.stopping.wait()

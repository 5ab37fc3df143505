"""The asynchronous client, for asyncio. `client` is the same without `await`."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from ssl import SSLContext
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

import httpx

from sovereign_client import calls, rows, session
from sovereign_client.answers import Answer, Change, ChangesPage, Decision, Question, Semantic, Uses
from sovereign_client.calls import Call, Condition, Demand, Request, StreamCall
from sovereign_client.errors import GateError, UnknownAnswerError
from sovereign_client.retries import Attempts, Retries
from sovereign_client.rows import CustomerRow, NamedRow, RowParser, TableRow
from sovereign_client.session import TIMEOUT_S, Arriving, Credentials
from sovereign_client.values import Fields

T = TypeVar("T")
R = TypeVar("R", bound=Fields)
AsyncToken = str | Callable[[], str | Awaitable[str]] | Credentials


class AsyncRowStream(Arriving, Generic[R]):
    """Iterates over rows as they arrive, once. Raises IncompleteError if the end is missing."""

    def __init__(self, response: httpx.Response, parser: RowParser[R]) -> None:
        super().__init__(response)
        self._response, self._parser = response, parser

    async def __aiter__(self) -> AsyncIterator[R]:
        try:
            async for chunk in self._response.aiter_raw():
                for row in self._parser.rows(chunk):
                    yield row
        except httpx.HTTPError as error:
            raise session.cut(error) from error
        self._parser.end()
        self.whole = True


class AsyncClient:
    """A client of one gate for one service. For the tasks of one event loop.

    Close it, or use it in an `async with`.

    Every method raises GateError: see `sovereign_client.errors`. `purpose`: must be the scene's if
    it is stated. `minimum_size`: the size of the ledger that the answer must rest on at least.
    """

    def __init__(
        self,
        gate: str,
        token: AsyncToken,
        *,
        timeout_s: float = TIMEOUT_S,
        retries: Retries | None = None,
        verify: SSLContext | bool = True,
    ) -> None:
        """`gate`: its URL. `token`: an access token, an API key, what gives one, or Credentials.

        `timeout_s`: for a connection, and between two pieces of an answer. `verify`: as in httpx.
        """
        self._gate, self._token, self._timeout_s = session.address(gate), token, timeout_s
        self._retries = Retries() if retries is None else retries
        self._http = httpx.AsyncClient(verify=verify)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def read(
        self,
        scene: str,
        customer: str,
        fields: Sequence[str],
        *,
        purpose: str | None = None,
        on_behalf_of: str | None = None,
        minimum_size: int = 0,
    ) -> Answer:
        """One customer's fields. `on_behalf_of`: the employee for whom you ask, whom they see."""
        demand = Demand(scene, fields, purpose, minimum_size)
        return await self._answer(calls.read(demand, customer, on_behalf_of))

    def rows(
        self,
        scene: str,
        fields: Sequence[str],
        *,
        where: Sequence[Condition] = (),
        purpose: str | None = None,
        minimum_size: int = 0,
    ) -> AbstractAsyncContextManager[AsyncRowStream[CustomerRow]]:
        """The customers who granted all `fields`. `where`: conditions that must all hold."""
        demand = Demand(scene, fields, purpose, minimum_size)
        return self._stream(calls.customer_rows(demand, where))

    def table(
        self,
        scene: str,
        fields: Sequence[str],
        *,
        where: Sequence[Condition] = (),
        purpose: str | None = None,
        minimum_size: int = 0,
    ) -> AbstractAsyncContextManager[AsyncRowStream[TableRow]]:
        """All customers' fields without ids, synthetic where they are not granted."""
        demand = Demand(scene, fields, purpose, minimum_size)
        return self._stream(calls.table_rows(demand, where))

    def named(
        self,
        scene: str,
        customers: Sequence[str],
        fields: Sequence[str],
        *,
        purpose: str | None = None,
        minimum_size: int = 0,
    ) -> AbstractAsyncContextManager[AsyncRowStream[NamedRow]]:
        """Up to 10,000 customers' fields, in the order of `customers`, each as `read` answers."""
        demand = Demand(scene, fields, purpose, minimum_size)
        return self._stream(calls.named_rows(demand, customers))

    async def rows_arrow(
        self, scene: str, fields: Sequence[str], *, where: Sequence[Condition] = ()
    ) -> Any:
        """`rows` as a table of pyarrow, whole. Needs `sovereign-client[arrow]`."""
        return await self._answer(calls.arrow("/v1/rows", Demand(scene, fields), where))

    async def table_arrow(
        self, scene: str, fields: Sequence[str], *, where: Sequence[Condition] = ()
    ) -> Any:
        """`table` as a table of pyarrow, whole. Needs `sovereign-client[arrow]`."""
        return await self._answer(calls.arrow("/v1/table", Demand(scene, fields), where))

    async def decide(self, question: Question) -> Decision:
        """The decision on one question, without data: AuthZEN evaluation."""
        return await self._answer(calls.evaluation(question))

    async def decide_all(
        self, questions: Sequence[Question], semantic: Semantic = "execute_all"
    ) -> list[Decision]:
        """The decisions in the order of the questions, up to where `semantic` stops."""
        return await self._answer(calls.evaluations(questions, semantic))

    async def search(self, kind: str, question: Question) -> AsyncIterator[dict[str, Any]]:
        """All results of an AuthZEN search for a "subject", "resource" or "action"."""
        token = ""
        while True:
            page = await self._answer(calls.search(kind, question, token))
            for each in page.results:
                yield each
            if not page.next_token:
                return
            if page.next_token == token:
                raise UnknownAnswerError("a page of the search does not lead on")
            token = page.next_token

    async def changes(self, since: str | None = None, *, wait_s: int = 0) -> AsyncIterator[Change]:
        """What changed since the token of a change, until there is nothing more.

        None: from the first that is kept. `wait_s`: how long to wait for one, 30 at most.
        """
        async for page in self._pages(since, wait_s):
            for each in page.changes:
                yield each
            if not page.more:
                return

    async def follow(self, since: str | None = None) -> AsyncIterator[Change]:
        """Changes as they come, without an end: by long polls. After an error, go on from the
        last token that you stored."""
        async for page in self._pages(since, calls.MAX_WAIT_S):
            for each in page.changes:
                yield each

    async def uses(self) -> Uses:
        """The scenes, fields and purposes that your service may ask for."""
        return await self._answer(calls.uses())

    async def _pages(self, since: str | None, wait_s: int) -> AsyncIterator[ChangesPage]:
        while True:
            page = await self._answer(calls.changes(since, wait_s))
            if page.more and page.token == since:
                raise UnknownAnswerError("the feed says that there is more, and does not lead on")
            yield page
            since = page.token

    async def _answer(self, call: Call[T]) -> T:
        response = await self._opened(call.request)
        try:
            rows.require_end(response.headers, response.http_version)
            return call.decode(await response.aread())
        except httpx.HTTPError as error:
            raise session.cut(error) from error
        finally:
            await response.aclose()

    @asynccontextmanager
    async def _stream(self, call: StreamCall[R]) -> AsyncIterator[AsyncRowStream[R]]:
        response = await self._opened(call.request)
        try:
            yield AsyncRowStream(response, call.parser())
        finally:
            await response.aclose()

    async def _opened(self, request: Request) -> httpx.Response:
        """The answer with status 200, its body not read. Asks again as `retries` says."""
        attempts = Attempts(self._retries)
        while True:
            try:
                return await self._attempt(request)
            except GateError as error:
                await asyncio.sleep(attempts.wait_s(error))

    async def _attempt(self, request: Request) -> httpx.Response:
        who = await self._who(request)
        arguments = session.sent(self._gate, request, who, self._timeout_s)
        try:
            response = await self._http.send(self._http.build_request(**arguments), stream=True)
            if response.status_code == session.OK:
                return response
            await response.aread()
        except httpx.HTTPError as error:
            raise session.no_answer(self._gate, error) from error
        raise session.problem(response)

    async def _who(self, request: Request) -> Mapping[str, str]:
        if isinstance(self._token, str):
            return session.bearer(self._token)
        if isinstance(self._token, Credentials):
            url = self._gate + request.path
            return await asyncio.to_thread(self._token.headers, request.method, url)
        token = self._token()
        return session.bearer(await token if inspect.isawaitable(token) else token)

"""The synchronous client. `async_client` is the same, with `await`."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
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
Token = str | Callable[[], str] | Credentials


class RowStream(Arriving, Generic[R]):
    """Iterates over rows as they arrive, once. Raises IncompleteError if the end is missing."""

    def __init__(self, response: httpx.Response, parser: RowParser[R]) -> None:
        super().__init__(response)
        self._response, self._parser = response, parser

    def __iter__(self) -> Iterator[R]:
        try:
            for chunk in self._response.iter_raw():
                yield from self._parser.rows(chunk)
        except httpx.HTTPError as error:
            raise session.cut(error) from error
        self._parser.end()
        self.whole = True


class Client:
    """A client of one gate for one service. Thread-safe. Close it, or use it in a `with`.

    Every method raises GateError: see `sovereign_client.errors`. `purpose`: must be the scene's if
    it is stated. `minimum_size`: the size of the ledger that the answer must rest on at least.
    """

    def __init__(
        self,
        gate: str,
        token: Token,
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
        self._http = httpx.Client(verify=verify)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def read(
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
        return self._answer(calls.read(demand, customer, on_behalf_of))

    def rows(
        self,
        scene: str,
        fields: Sequence[str],
        *,
        where: Sequence[Condition] = (),
        purpose: str | None = None,
        minimum_size: int = 0,
    ) -> AbstractContextManager[RowStream[CustomerRow]]:
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
    ) -> AbstractContextManager[RowStream[TableRow]]:
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
    ) -> AbstractContextManager[RowStream[NamedRow]]:
        """Up to 10,000 customers' fields, in the order of `customers`, each as `read` answers."""
        demand = Demand(scene, fields, purpose, minimum_size)
        return self._stream(calls.named_rows(demand, customers))

    def rows_arrow(
        self, scene: str, fields: Sequence[str], *, where: Sequence[Condition] = ()
    ) -> Any:
        """`rows` as a table of pyarrow, whole. Needs `sovereign-client[arrow]`."""
        return self._answer(calls.arrow("/v1/rows", Demand(scene, fields), where))

    def table_arrow(
        self, scene: str, fields: Sequence[str], *, where: Sequence[Condition] = ()
    ) -> Any:
        """`table` as a table of pyarrow, whole. Needs `sovereign-client[arrow]`."""
        return self._answer(calls.arrow("/v1/table", Demand(scene, fields), where))

    def decide(self, question: Question) -> Decision:
        """The decision on one question, without data: AuthZEN evaluation."""
        return self._answer(calls.evaluation(question))

    def decide_all(
        self, questions: Sequence[Question], semantic: Semantic = "execute_all"
    ) -> list[Decision]:
        """The decisions in the order of the questions, up to where `semantic` stops."""
        return self._answer(calls.evaluations(questions, semantic))

    def search(self, kind: str, question: Question) -> Iterator[dict[str, Any]]:
        """All results of an AuthZEN search for a "subject", "resource" or "action"."""
        token = ""
        while True:
            page = self._answer(calls.search(kind, question, token))
            yield from page.results
            if not page.next_token:
                return
            if page.next_token == token:
                raise UnknownAnswerError("a page of the search does not lead on")
            token = page.next_token

    def changes(self, since: str | None = None, *, wait_s: int = 0) -> Iterator[Change]:
        """What changed since the token of a change, until there is nothing more.

        None: from the first that is kept. `wait_s`: how long to wait for one, 30 at most.
        """
        for page in self._pages(since, wait_s):
            yield from page.changes
            if not page.more:
                return

    def follow(self, since: str | None = None) -> Iterator[Change]:
        """Changes as they come, without an end: by long polls. After an error, go on from the
        last token that you stored."""
        for page in self._pages(since, calls.MAX_WAIT_S):
            yield from page.changes

    def uses(self) -> Uses:
        """The scenes, fields and purposes that your service may ask for."""
        return self._answer(calls.uses())

    def _pages(self, since: str | None, wait_s: int) -> Iterator[ChangesPage]:
        while True:
            page = self._answer(calls.changes(since, wait_s))
            if page.more and page.token == since:
                raise UnknownAnswerError("the feed says that there is more, and does not lead on")
            yield page
            since = page.token

    def _answer(self, call: Call[T]) -> T:
        response = self._opened(call.request)
        try:
            rows.require_end(response.headers, response.http_version)
            return call.decode(response.read())
        except httpx.HTTPError as error:
            raise session.cut(error) from error
        finally:
            response.close()

    @contextmanager
    def _stream(self, call: StreamCall[R]) -> Iterator[RowStream[R]]:
        response = self._opened(call.request)
        try:
            yield RowStream(response, call.parser())
        finally:
            response.close()

    def _opened(self, request: Request) -> httpx.Response:
        """The answer with status 200, its body not read. Asks again as `retries` says."""
        attempts = Attempts(self._retries)
        while True:
            try:
                return self._attempt(request)
            except GateError as error:
                time.sleep(attempts.wait_s(error))

    def _attempt(self, request: Request) -> httpx.Response:
        arguments = session.sent(self._gate, request, self._who(request), self._timeout_s)
        try:
            response = self._http.send(self._http.build_request(**arguments), stream=True)
            if response.status_code == session.OK:
                return response
            response.read()
        except httpx.HTTPError as error:
            raise session.no_answer(self._gate, error) from error
        raise session.problem(response)

    def _who(self, request: Request) -> Mapping[str, str]:
        if isinstance(self._token, str):
            return session.bearer(self._token)
        if isinstance(self._token, Credentials):
            return self._token.headers(request.method, self._gate + request.path)
        return session.bearer(self._token())

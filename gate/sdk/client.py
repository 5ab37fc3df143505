"""A small typed client of the gate's HTTP API for services. Standard library only.

gate = GateClient("https://gate.example", token)
answer = gate.read("segmentation", "c00001", ["age", "job"])
if answer.allowed:                      # every field is personal data you may use
    score(answer["age"], answer["job"])
else:                                   # same fields, same types, marked
    estimate(answer["age"])             # answer.views["age"] says "synthetic"
for row in gate.rows("direct-marketing", ["email"]):     # whom you may act upon, as it arrives
    send(row["customer"], row["email"])
for change in gate.changes(token):      # what to forget or refresh of whom you read, since then
    apply(change)
    token = change.token
"""

import hmac
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse, IncompleteRead
from typing import Any, Protocol
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode, urlsplit
from urllib.request import Request, urlopen

TIMEOUT_S = 10.0
BLOCK = 1 << 16  # bytes per read
LINES = "application/x-ndjson"
Condition = tuple[str, str, Any]  # e.g. ("age", "ge", 30) or ("job", "in", ["retired", "student"])


class Credentials(Protocol):
    """Authenticates a service: see gate.sdk.credentials."""

    def headers(self, method: str, address: str) -> Mapping[str, str]:
        """The headers that authenticate one request."""
        ...


class GateRefusedError(Exception):
    """The gate refused the request or found it malformed. `problem`: the RFC 9457 body."""

    def __init__(self, problem: Mapping[str, Any]) -> None:
        super().__init__(f"{problem.get('title')}: {problem.get('detail')}")
        self.problem = problem


class GateUnavailableError(Exception):
    """No answer, or an incomplete one. Treat it as: no personal data."""


@dataclass(frozen=True, slots=True)
class GateAnswer:
    """One customer's fields: `answer["age"]` is the value, `views["age"]` says what it is."""

    allowed: bool
    reason: str
    values: Mapping[str, Any]
    views: Mapping[str, str]
    ledger_size: int
    read_log: str
    entry: int

    def __getitem__(self, field: str) -> Any:
        return self.values[field]


@dataclass(frozen=True, slots=True)
class TableCompletion:
    """How a table was completed with synthetic rows.

    `mode`: "release-anchored", "naive", or "none". `release`: the release they rest on. `mean` and
    `p95`: the expected relative error of a segment's count (0.014 is 1.4 %), None if unknown.
    `covers`: what the error includes.
    """

    mode: str
    release: str | None = None
    mean: float | None = None
    p95: float | None = None
    covers: str | None = None

    @classmethod
    def parse(cls, header: str) -> "TableCompletion":
        """Parse the header `Sovereign-Completion`: see gate.reads.bulk.formats."""
        matches = _PARAMETER.findall(header)
        parameters = {name: _ESCAPED.sub(r"\1", quoted) or plain for name, quoted, plain in matches}
        mean, p95 = (
            float(parameters[each]) / 100 if each in parameters else None
            for each in ("mean", "p95")
        )
        return cls(
            header.partition(";")[0], parameters.get("release"), mean, p95, parameters.get("covers")
        )


class TableRows(Iterator[Mapping[str, Any]]):
    """Iterates over a table's rows as they arrive; `completion` is set with the first row."""

    def __init__(self) -> None:
        self.completion: TableCompletion | None = None
        self.rows: Iterator[Mapping[str, Any]] = iter(())

    def __next__(self) -> Mapping[str, Any]:
        return next(self.rows)

    def begin(self, response: HTTPResponse) -> None:
        self.completion = TableCompletion.parse(
            response.headers.get("Sovereign-Completion", "none")
        )


@dataclass(frozen=True, slots=True)
class GateChange:
    """What to do with what you received of a customer: `forget` it, or `refresh` it by a new read.

    `customer`: None if they were erased; ask `concerns` of the ids that you have. `scene`,
    `fields`: None for everything. `until`: when a permission that may be used again ends, in ISO
    8601; None: never. `ledger_size`: the `minimum_size` of a read that rests on the change.
    `token`: what to continue from once you have done it.
    """

    do: str
    customer: str | None
    scene: str | None
    fields: Sequence[str] | None
    reason: str
    ledger_size: int
    at: str
    until: str | None
    token: str
    customer_hash: str | None
    hash_key: str

    def concerns(self, customer: str) -> bool:
        """Whether it is about the customer with this id."""
        if self.customer_hash is None:
            return customer == self.customer
        key = bytes.fromhex(self.hash_key)
        return hmac.new(key, customer.encode(), "sha256").hexdigest() == self.customer_hash


class GateClient:
    """A client of one gate for one service. Thread-safe."""

    def __init__(
        self, gate: str, token: str | Credentials, *, timeout_s: float = TIMEOUT_S
    ) -> None:
        """`gate`: its http(s) URL. `token`: the service's access token, or its credentials."""
        if urlsplit(gate).scheme not in {"http", "https"}:
            raise ValueError(f"{gate!r} is not an http or https URL; give the gate's")
        self._gate, self._token, self._timeout_s = gate.rstrip("/"), token, timeout_s

    def read(
        self,
        scene: str,
        customer: str,
        fields: Sequence[str],
        *,
        minimum_size: int = 0,
        on_behalf_of: str | None = None,
    ) -> GateAnswer:
        """One customer's fields in one scene. Raises GateRefusedError and GateUnavailableError.

        `on_behalf_of`: id of the employee for whom you ask; the customer sees it.
        """
        asked: dict[str, Any] = {"scene": scene, "customer": customer, "fields": [*fields]}
        asked["minimum_size"] = minimum_size
        if on_behalf_of is not None:
            asked["on_behalf_of"] = on_behalf_of
        answer = json.loads(self._post("/v1/read", asked))
        return GateAnswer(
            allowed=bool(answer["decision"]),
            reason=str(answer["reason"]),
            values={name: each["value"] for name, each in answer["fields"].items()},
            views={name: each["view"] for name, each in answer["fields"].items()},
            ledger_size=int(answer["ledger_size"]),
            read_log=str(answer["read_log"]),
            entry=int(answer["entry"]),
        )

    def rows(
        self, scene: str, fields: Sequence[str], *, where: Sequence[Condition] = ()
    ) -> Iterator[Mapping[str, Any]]:
        """The rows of customers who granted all `fields`, with ids in `customer`, as they arrive.

        `where`: conditions (field, comparison, value), combined with AND. Raises as `read` does;
        also raises GateUnavailableError if the answer is incomplete.
        """
        yield from self._lines("/v1/rows", scene, fields, where)

    def named(
        self, scene: str, customers: Sequence[str], fields: Sequence[str]
    ) -> Iterator[Mapping[str, Any]]:
        """Up to 10,000 customers' fields in the order of `customers`, as they arrive.

        Each row has the `customer`, `customer.allowed` and `customer.reason`, and of each field the
        value and `<field>.view`, as in `read`. Raises as `rows` does, and TypeError at once for a
        text in place of a list: its letters would be taken for ids.
        """
        for name, given in (("customers", customers), ("fields", fields)):
            if isinstance(given, str | bytes):
                raise TypeError(f"{name} is {given!r}, want a list: [{given!r}]")
        return self._named(scene, customers, fields)

    def _named(
        self, scene: str, customers: Sequence[str], fields: Sequence[str]
    ) -> Iterator[Mapping[str, Any]]:
        asked = {"scene": scene, "ids": [*customers], "fields": [*fields]}
        with self._asking("/v1/named", asked, LINES) as response:
            for line in _lines(response):
                yield json.loads(line)

    def table_rows(
        self, scene: str, fields: Sequence[str], *, where: Sequence[Condition] = ()
    ) -> TableRows:
        """All customers' fields without ids, with views, as they arrive. Raises as `rows`."""
        rows = TableRows()
        rows.rows = self._lines("/v1/table", scene, fields, where, rows.begin)
        return rows

    def table(self, scene: str, fields: Sequence[str]) -> bytes:
        """All customers' fields without ids, as an Arrow IPC stream. Raises as `read` does."""
        return self._post("/v1/table", {"scene": scene, "fields": [*fields]})

    def may_read(self, scene: str, customer: str, fields: Sequence[str], service: str) -> bool:
        """The decision only, through AuthZEN. Raises as `read` does."""
        question = {
            "subject": {"type": "service", "id": service},
            "action": {"name": "read"},
            "resource": {"type": "customer", "id": customer},
            "context": {"scene": scene, "fields": [*fields]},
        }
        return json.loads(self._post("/access/v1/evaluation", question))["decision"] is True

    def changes(self, since: str | None = None, *, wait_s: int = 0) -> Iterator[GateChange]:
        """What changed since the token of a change, in order, until there is nothing more.

        None: from the first that is kept. `wait_s`: how long to wait for one, 30 at most. Raises as
        `read` does; GateRefusedError for a token that does not lead on says what to do.
        """
        more, token = True, since
        while more:
            asked = {"wait": str(wait_s)} | ({} if token is None else {"since": token})
            page = json.loads(self._get("/v1/changes", asked, wait_s))
            for each in page["changes"]:
                yield GateChange(**each, hash_key=page["hash_key"])
            more, token = page["more"], page["token"]

    def _get(self, path: str, asked: Mapping[str, str], wait_s: int) -> bytes:
        with self._answered(
            path, "GET", None, {"Accept": "*/*"}, query=urlencode(asked), wait_s=wait_s
        ) as response:
            return response.read()

    def _lines(
        self,
        path: str,
        scene: str,
        fields: Sequence[str],
        where: Sequence[Condition],
        begin: Callable[[HTTPResponse], None] = lambda _: None,
    ) -> Iterator[Mapping[str, Any]]:
        names = ("field", "comparison", "value")
        conditions = [dict(zip(names, each, strict=True)) for each in where]
        asked = {"scene": scene, "fields": [*fields], "filter": conditions}
        with self._asking(path, asked, LINES) as response:
            begin(response)
            for line in _lines(response):
                yield json.loads(line)

    def _post(self, path: str, asked: Mapping[str, Any]) -> bytes:
        with self._asking(path, asked, "*/*") as response:
            return response.read()

    @contextmanager
    def _asking(self, path: str, asked: Mapping[str, Any], accept: str) -> Iterator[HTTPResponse]:
        headers = {"Content-Type": "application/json", "Accept": accept}
        with self._answered(path, "POST", json.dumps(asked).encode(), headers) as response:
            yield response

    @contextmanager
    def _answered(
        self,
        path: str,
        method: str,
        body: bytes | None,
        headers: Mapping[str, str],
        *,
        query: str = "",
        wait_s: int = 0,
    ) -> Iterator[HTTPResponse]:
        address = self._gate + path
        known = {**headers, **self._who(method, address)}
        request = Request(f"{address}?{query}" if query else address, body, known, method=method)  # noqa: S310 - the scheme was checked
        try:
            with urlopen(request, timeout=self._timeout_s + wait_s) as response:  # noqa: S310 - the same
                assert isinstance(response, HTTPResponse)  # noqa: S101 - true for http(s)
                _require_end_marker(response)
                yield response
        except HTTPError as error:
            raise _failure(error) from error
        except (URLError, OSError, HTTPException) as error:
            raise GateUnavailableError(f"{self._gate}: {error}; treat it as no data") from error

    def _who(self, method: str, address: str) -> Mapping[str, str]:
        if isinstance(self._token, str):
            return {"Authorization": f"Bearer {self._token}"}
        return self._token.headers(method, address)


_ESCAPED = re.compile(r"\\(.)")
_PARAMETER = re.compile(r';(\w+)=(?:"((?:[^"\\]|\\.)*)"|([^;"]*))')


def _lines(response: HTTPResponse) -> Iterator[bytes]:
    """The lines of a response. Uses `read1`, which raises IncompleteRead on a truncated answer;
    `readline` does not."""
    rest = b""
    while block := response.read1(BLOCK):
        *lines, rest = (rest + block).split(b"\n")
        yield from lines
    if rest:
        raise IncompleteRead(rest)


def _require_end_marker(response: HTTPResponse) -> None:
    """Refuse an answer that only a closed connection ends: a cut one would look complete."""
    if not response.chunked and response.length is None:
        raise GateUnavailableError(
            "want an answer with a length or in chunks, found one that ends with the connection: "
            "check the proxy before the gate (HTTP/1.1); treat it as no data"
        )


def _failure(error: HTTPError) -> Exception:
    try:
        problem = json.loads(error.read())
    except ValueError:
        problem = {"title": error.reason, "status": error.code}
    if error.code >= 500:  # noqa: PLR2004 - server errors, as HTTP numbers them
        return GateUnavailableError(f"{problem.get('title')}; treat it as no data")
    return GateRefusedError(problem)

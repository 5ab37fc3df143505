"""What each method sends, and how its answer is decoded. No I/O: both clients share it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import msgspec

from sovereign_client import answers, rows
from sovereign_client.answers import (
    Action,
    Answer,
    ChangesPage,
    Decision,
    Entity,
    FoundPage,
    Question,
    Semantic,
    Uses,
)
from sovereign_client.rows import CustomerRow, NamedRow, RowParser, TableRow
from sovereign_client.values import Fields

T = TypeVar("T")
R = TypeVar("R", bound=Fields)
Condition = tuple[str, str, Any]  # ("age", "ge", 30) or ("job", "in", ["retired", "student"])

JSON, JSON_LINES = "application/json", "application/x-ndjson"
ARROW = "application/vnd.apache.arrow.stream"
MAX_NAMED = 10_000
MAX_WAIT_S = 30  # of one poll


@dataclass(frozen=True, slots=True)
class Request:
    """One request. `body`: None for GET. `wait_s`: how much longer than others it may take."""

    path: str
    body: Any = None
    query: Mapping[str, str] = field(default_factory=dict)
    accept: str = JSON
    wait_s: int = 0

    @property
    def method(self) -> str:
        return "GET" if self.body is None else "POST"

    @property
    def content(self) -> bytes | None:
        return None if self.body is None else msgspec.json.encode(self.body)

    @property
    def headers(self) -> dict[str, str]:
        """Asks for no compression: the end of a compressed stream is not checked by everybody."""
        sent = {"Accept": self.accept, "Accept-Encoding": "identity"}
        return sent if self.body is None else sent | {"Content-Type": JSON}


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """A request whose answer is one body."""

    request: Request
    decode: Callable[[bytes], T]


@dataclass(frozen=True, slots=True)
class StreamCall(Generic[R]):
    """A request whose answer is a stream of rows. `parser` makes a parser for one attempt."""

    request: Request
    parser: Callable[[], RowParser[R]]


@dataclass(frozen=True, slots=True)
class Demand:
    """What every read of data states. `purpose`: the scene's, or nothing."""

    scene: str
    fields: Sequence[str]
    purpose: str | None = None
    minimum_size: int = 0

    @property
    def body(self) -> dict[str, Any]:
        """Raises ValueError for a text where a list of fields is wanted."""
        if isinstance(self.fields, str):
            raise ValueError(f"want a list of fields, found the text {self.fields!r}")  # noqa: TRY004 - as for other wrong arguments
        asked: dict[str, Any] = {"scene": self.scene, "fields": [*self.fields]}
        asked["minimum_size"] = self.minimum_size
        return asked if self.purpose is None else asked | {"purpose": self.purpose}


def read(demand: Demand, customer: str, on_behalf_of: str | None) -> Call[Answer]:
    body = demand.body | {"customer": customer}
    body |= {} if on_behalf_of is None else {"on_behalf_of": on_behalf_of}
    return Call(Request("/v1/read", body), lambda sent: answers.answer(sent, demand.fields))


def customer_rows(demand: Demand, where: Sequence[Condition]) -> StreamCall[CustomerRow]:
    request = Request("/v1/rows", _filtered(demand, where), accept=JSON_LINES)
    return StreamCall(request, lambda: RowParser(rows.CustomerRows(), demand.fields))


def table_rows(demand: Demand, where: Sequence[Condition]) -> StreamCall[TableRow]:
    request = Request("/v1/table", _filtered(demand, where), accept=JSON_LINES)
    return StreamCall(request, lambda: RowParser(rows.TableRows(), demand.fields))


def named_rows(demand: Demand, customers: Sequence[str]) -> StreamCall[NamedRow]:
    """Raises ValueError for no customers, too many, or one twice."""
    ids = [*customers]
    if isinstance(customers, str) or not 1 <= len(ids) <= MAX_NAMED or len({*ids}) != len(ids):
        found = f"{len(ids)}, of which {len({*ids})} differ"
        raise ValueError(f"want a list of 1 to {MAX_NAMED} ids, each once; found {found}")
    request = Request("/v1/named", demand.body | {"ids": ids}, accept=JSON_LINES)
    return StreamCall(request, lambda: RowParser(rows.NamedRows(ids), demand.fields, len(ids)))


def arrow(path: str, demand: Demand, where: Sequence[Condition]) -> Call[Any]:
    """A whole answer as a table of pyarrow."""
    from sovereign_client.arrow import table  # needs pyarrow: raises ImportError before asking

    request = Request(path, _filtered(demand, where), accept=ARROW)
    return Call(request, lambda sent: table(sent, demand.fields))


def _filtered(demand: Demand, where: Sequence[Condition]) -> dict[str, Any]:
    names = ("field", "comparison", "value")
    return demand.body | {"filter": [dict(zip(names, each, strict=True)) for each in where]}


def evaluation(question: Question) -> Call[Decision]:
    request = Request("/access/v1/evaluation", question)
    return Call(request, lambda sent: answers.decoded(sent, Decision))


def evaluations(questions: Sequence[Question], semantic: Semantic) -> Call[list[Decision]]:
    """Raises ValueError for no questions: AuthZEN takes an empty batch for a single evaluation."""
    if not questions:
        raise ValueError("want one question at least")
    body = {"evaluations": [*questions], "options": {"evaluations_semantic": semantic}}
    request = Request("/access/v1/evaluations", body)
    return Call(request, lambda sent: answers.decisions(sent, len(questions), semantic))


def search(kind: str, question: Question, token: str) -> Call[FoundPage]:
    """One page. `kind`: "subject", "resource" or "action", what is looked for."""
    members: dict[str, Entity | Action | None] = {
        "subject": question.subject,
        "action": None if kind == "action" else question.action,
        "resource": question.resource,
    }
    body: dict[str, Any] = {name: each for name, each in members.items() if each is not None}
    body |= {"context": question.context, "page": {"token": token}}
    return Call(Request(f"/access/v1/search/{kind}", body), answers.found_page)


def changes(since: str | None, wait_s: int) -> Call[ChangesPage]:
    """Raises ValueError for a wait that the gate does not offer."""
    if not 0 <= wait_s <= MAX_WAIT_S:
        raise ValueError(f"wait_s: want 0 to {MAX_WAIT_S}, found {wait_s}")
    query = {"wait": str(wait_s)} | ({} if since is None else {"since": since})
    return Call(Request("/v1/changes", query=query, wait_s=wait_s), answers.changes_page)


def uses() -> Call[Uses]:
    return Call(Request("/v1/uses"), lambda sent: answers.decoded(sent, Uses))

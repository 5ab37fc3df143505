"""The questions and answers of the API that are one JSON body each.

A member that is missing or of another type is refused. A member that is new is ignored, except in
the fields of a customer, where it would be data that nobody asked for.
"""

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import msgspec

from sovereign_client.errors import UnknownAnswerError
from sovereign_client.values import Fields, marked

T = TypeVar("T")
Semantic = Literal["execute_all", "deny_on_first_deny", "permit_on_first_permit"]


@dataclass(frozen=True, slots=True)
class Answer(Fields):
    """One customer's fields.

    `allowed`: every field may be used as personal data. `reason`: e.g. "granted", "withdrawn".
    `ledger_size`: what the answer rests on. `read_log`, `entry`: where it is logged.
    """

    allowed: bool
    reason: str
    release: str | None
    ledger_size: int
    read_log: str
    entry: int


class Entity(msgspec.Struct, frozen=True, omit_defaults=True):
    """A subject or resource of AuthZEN. A search leaves out the `id` of what it looks for."""

    type: str
    id: str | int | None = None
    properties: dict[str, Any] = {}


class Action(msgspec.Struct, frozen=True, omit_defaults=True):
    name: str
    properties: dict[str, Any] = {}


class Question(msgspec.Struct, frozen=True, omit_defaults=True):
    """An evaluation of AuthZEN: may `subject` do `action` to `resource`? See `may_read`."""

    subject: Entity | None = None
    action: Action | None = None
    resource: Entity | None = None
    context: dict[str, Any] = {}


class Decision(msgspec.Struct, frozen=True):
    """The answer to a Question. Use no data on `allowed` alone: a decision has no values."""

    decision: bool
    context: dict[str, Any] = {}

    @property
    def allowed(self) -> bool:
        return self.decision

    @property
    def reason(self) -> str:
        return str(self.context.get("reason", ""))

    @property
    def views(self) -> Mapping[str, str]:
        """What each field would be, for a question about a customer."""
        views = self.context.get("views", {})
        return views if isinstance(views, dict) else {}


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """What to do with what you received of a customer: `forget` it, or `refresh` it by a new read.

    `customer`: None if they were erased; ask `concerns` of the ids that you have. `scene`,
    `fields`: None for everything. `at`, `until`: ISO 8601. `until`: when a permission that may be
    used again ends; None: never. `ledger_size`: the `minimum_size` of a read that rests on the
    change. `token`: what to continue from once you have done it.
    """

    do: Literal["forget", "refresh"]
    customer: str | None
    customer_hash: str | None
    scene: str | None
    fields: Sequence[str] | None
    reason: str
    ledger_size: int
    at: str
    until: str | None
    token: str
    hash_key: str = ""

    def concerns(self, customer: str) -> bool:
        """Whether it is about the customer with this id."""
        if self.customer_hash is None:
            return customer == self.customer
        key = bytes.fromhex(self.hash_key)
        digest = hmac.new(key, customer.encode(), "sha256").hexdigest()
        return hmac.compare_digest(digest, self.customer_hash)


class ChangesPage(msgspec.Struct, frozen=True):
    """One answer of the feed. `token`: what the next poll continues from."""

    changes: list[Change]
    token: str
    more: bool
    hash_key: str


class FoundPage(msgspec.Struct, frozen=True):
    """One page of a search. `next_token`: empty on the last."""

    results: list[dict[str, Any]]
    next_token: str


class UsedField(msgspec.Struct, frozen=True):
    """A field that may be asked for. `without_permission`: its view where a grant is missing."""

    field: str
    title: Any
    without_permission: str


class Use(msgspec.Struct, frozen=True):
    """A scene that may be asked for. `shapes`: how, e.g. ["point", "rows"]."""

    scene: str
    title: Any
    purpose: str
    legal_basis: str
    shapes: Sequence[str]
    fields: Sequence[UsedField]


class Uses(msgspec.Struct, frozen=True):
    service: str
    uses: Sequence[Use]


def may_read(service: str, scene: str, customer: str, fields: Sequence[str] = ()) -> Question:
    """May this service read a customer's fields in a scene? No `fields`: all of the scene's."""
    context: dict[str, Any] = {"scene": scene}
    context |= {"fields": [*fields]} if fields else {}
    about = Entity("customer", customer)
    return Question(Entity("service", service), Action("read"), about, context)


class _Field(msgspec.Struct, frozen=True):
    value: Any
    view: str


class _Read(msgspec.Struct, frozen=True):
    decision: bool
    reason: str
    fields: dict[str, _Field]
    release: str | None
    ledger_size: int
    read_log: str
    entry: int


class _Evaluations(msgspec.Struct, frozen=True):
    evaluations: list[Decision]


class _Page(msgspec.Struct, frozen=True):
    next_token: str = ""


class _Found(msgspec.Struct, frozen=True):
    results: list[dict[str, Any]]
    page: _Page = _Page()


def decoded(body: bytes, kind: type[T]) -> T:
    """Decode a body. Raises UnknownAnswerError."""
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise UnknownAnswerError(f"the answer is not understood: {error}") from error


def answer(body: bytes, fields: Sequence[str]) -> Answer:
    """Decode the answer to a read of `fields`. Raises UnknownAnswerError."""
    read = decoded(body, _Read)
    require_same(fields, read.fields)
    values = {name: marked(name, each.value, each.view) for name, each in read.fields.items()}
    rests = read.release, read.ledger_size, read.read_log, read.entry
    return Answer(values, read.decision, read.reason, *rests)


def require_same(wanted: Sequence[str], found: Mapping[str, Any]) -> None:
    """Raises UnknownAnswerError unless the fields that arrived are those that were asked for."""
    if found.keys() != {*wanted}:
        raise UnknownAnswerError(f"want the fields {sorted({*wanted})}, found {sorted(found)}")


def decisions(body: bytes, asked: int, semantic: Semantic) -> list[Decision]:
    """Decode the answer to a batch of `asked` questions, in their order.

    With a semantic that stops early, those after the stop have no decision. Raises
    UnknownAnswerError.
    """
    found = decoded(body, _Evaluations).evaluations
    stop = {"deny_on_first_deny": False, "permit_on_first_permit": True}.get(semantic)
    stopped = len(found) < asked and found and found[-1].allowed is stop
    if len(found) == asked or stopped:
        return found
    raise UnknownAnswerError(f"want {asked} decisions, found {len(found)}")


def found_page(body: bytes) -> FoundPage:
    """Decode one page of a search. Raises UnknownAnswerError."""
    found = decoded(body, _Found)
    return FoundPage(found.results, found.page.next_token)


def changes_page(body: bytes) -> ChangesPage:
    """Decode one answer of the feed. Raises UnknownAnswerError."""
    page = decoded(body, ChangesPage)
    keyed = [msgspec.structs.replace(each, hash_key=page.hash_key) for each in page.changes]
    return msgspec.structs.replace(page, changes=keyed)

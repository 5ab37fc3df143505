"""A short executable model of the gate, by the clauses of specs/gate.md, without any of its code.

    answer(history, facts, Request("crm", "news", "c1", ("name",), at))
    -> Answer({"name": "personal"}, "legitimate-interest", None, allowed=True)

`answer` is about one customer, `by_name` about those whom a service names. `named` and `table` are
about many: see G24, G25, G83.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from specs.model import consent, free_text, groups, quota
from specs.model.consent import History, Json
from specs.model.contract import INTEREST, Contract, Limits
from specs.model.quota import Counted

Row = Mapping[str, Any]
Condition = tuple[str, str, Any]  # field, comparison, value
COMPARED: dict[str, Callable[[Any, Any], bool]] = {
    "eq": lambda one, other: bool(one == other),
    "ne": lambda one, other: bool(one != other),
    "lt": lambda one, other: bool(one < other),
    "le": lambda one, other: bool(one <= other),
    "gt": lambda one, other: bool(one > other),
    "ge": lambda one, other: bool(one >= other),
    "in": lambda one, other: one in other,
}
ONE = ("point", "evaluate")  # G35: a question counts as a read
NEEDS = {"named": {"point", "rows"}}  # G169: what else but its own shape a read needs
STATED = ("", "dpv:", "https://w3id.org/dpv#")  # G27: how a term may be written


@dataclass(frozen=True)
class Facts:
    """What an answer rests on besides the consent log.

    `released`: scenes with a synthetic release. `offered`: the fields that the organisation's
    policy lets a service have; None: all. `rows`: the source by customer; None while it is down.
    """

    contracts: Mapping[str, Contract]
    released: Collection[str] = ()
    offered: Callable[[str, Contract], Collection[str]] | None = None
    suspended: Collection[str] = ()
    rows: Mapping[str, Row] | None = None
    limits: Limits = field(default_factory=dict)
    counted: Sequence[Counted] = ()  # what quotas counted before


@dataclass(frozen=True)
class Request:
    service: str
    scene: str
    subject: str  # "" in a read of many
    fields: tuple[str, ...]
    at: datetime
    shape: str = "point"
    purpose: str | None = None
    filter: tuple[Condition, ...] = ()

    @property
    def looked_at(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*self.fields, *(name for name, _, _ in self.filter))))


@dataclass(frozen=True)
class Answer:
    """`views` is empty if the request was refused."""

    views: Mapping[str, str]
    reason: str
    determined_by: int | None = None
    allowed: bool = False


def answer(history: History, facts: Facts, request: Request) -> Answer:
    """The answer about one customer: an evaluation, or a read if the shape is `point`."""
    if (refused := refusal(facts, request)) is not None:
        return Answer({}, refused)
    decided = decision(history, facts, request)
    return decided if request.shape == "evaluate" else _read(history, facts, request, decided)


def refusal(facts: Facts, request: Request) -> str | None:
    """G144: why the request is refused, whatever the customer granted; None if it is not."""
    contract = facts.contracts.get(request.scene)
    if contract is None:
        return "unknown-scene"
    offered, known = _offered(facts, request.service, contract), {*contract.fields}
    first, looked_at = {*request.fields}, {*request.looked_at}
    outside = not first <= known or (first <= offered and not looked_at <= known)
    applies = {
        "suspended": request.scene in facts.suspended,
        "unknown-service": not offered,
        "no-fields": not request.fields,
        "field-outside-scene": outside,
        "policy-forbids": not looked_at <= offered,
        "shape-outside-scene": not NEEDS.get(request.shape, {request.shape}) <= {*contract.shapes},
        "purpose-differs": request.purpose not in _terms(contract),
        "quota-exceeded": request.shape in ONE and not _has_room(facts, request),
    }
    return next((why for why, is_so in applies.items() if is_so), None)


def _terms(contract: Contract) -> set[str | None]:
    """G27: what a caller may state as the purpose, or nothing."""
    return {None, *(prefix + contract.purpose for prefix in STATED)}


def _has_room(facts: Facts, request: Request) -> bool:
    point = Counted(request.service, request.scene, "point", request.at, 1)
    return quota.admits(facts.limits, facts.counted, point)


def _offered(facts: Facts, service: str, contract: Contract) -> set[str]:
    if service not in contract.services:
        return set()
    allowed = contract.fields if facts.offered is None else facts.offered(service, contract)
    return {*contract.fields} & {*allowed}


def decision(history: History, facts: Facts, request: Request) -> Answer:
    """What a customer's acts make of a request that is not refused."""
    contract = facts.contracts[request.scene]
    live = readable(history, request.subject, contract, request.at)
    views = {
        name: _view(contract, name, live, released=request.scene in facts.released)
        for name in request.fields
    }
    stands = consent.standing(history, request.subject, contract)
    allowed = all(view == "personal" for view in views.values())
    return Answer(views, reason(history, request, contract), stands.entry, allowed)


def readable(history: History, subject: str, contract: Contract, at: datetime) -> Collection[str]:
    """G1, G2, G44, G139: the fields that may be read as personal data."""
    if contract.locked:
        return {*contract.fields}
    if consent.frozen(history, subject, contract, at):
        return set()
    return consent.standing(history, subject, contract).live(at)


def _view(contract: Contract, name: str, live: Collection[str], *, released: bool) -> str:
    """G4, G23, G139."""
    if name in live:
        return "personal"
    declared = contract.fields[name]
    if declared.fallback == "synthetic" and released and contract.surrogates != "none":
        return "synthetic"
    if declared.fallback == "generalise" and declared.coarser in live:
        return "generalised"
    return "withheld"


def reason(history: History, request: Request, contract: Contract) -> str:
    """G144."""
    if contract.locked:
        return "legal-basis-contract" if contract.basis == "contract" else "legal-obligation"
    stands = consent.standing(history, request.subject, contract)
    applies = {
        "never-granted": not stands.fields and stands.entry is None,
        "withdrawn": not stands.fields,
        "lapsed": stands.lapsed,
        "expired": request.at >= stands.end,
        "frozen": consent.frozen(history, request.subject, contract, request.at),
        "field-not-granted": not {*request.fields} <= stands.fields,
        "granted": True,
    }
    why = next(each for each, is_so in applies.items() if is_so)
    return UNDER_INTEREST.get(why, why) if contract.basis == INTEREST else why


UNDER_INTEREST = {"withdrawn": "objected", "granted": "legitimate-interest"}


def _read(history: History, facts: Facts, request: Request, decided: Answer) -> Answer:
    """G6, G22, G122: what the source makes of a decision to read."""
    without = {n: "withheld" if v in FROM_SOURCE else v for n, v in decided.views.items()}
    if without != decided.views and facts.rows is None:
        return replace(decided, views=without, reason="source-unavailable", allowed=False)
    if without != decided.views and not _has_row(history, facts, request.subject):
        return replace(decided, views=without, allowed=False)
    return decided


def by_name(
    history: History, facts: Facts, request: Request, subjects: Sequence[str]
) -> list[Answer] | str:
    """G168, G169, G171: the answer about each of these customers, or why they are refused."""
    asked = replace(request, shape="named")
    if (refused := refusal(facts, asked)) is not None:
        return refused
    many = Counted(request.service, request.scene, "rows", request.at, len(subjects))
    if not quota.admits(facts.limits, facts.counted, many):
        return "quota-exceeded"
    each = [replace(asked, subject=who) for who in subjects]
    return [_read(history, facts, one, decision(history, facts, one)) for one in each]


FROM_SOURCE = frozenset({"personal", "generalised"})


def _has_row(history: History, facts: Facts, subject: str) -> bool:
    """G122: of a customer who could not find the read, the row counts as missing."""
    findable = history.has_key(subject) or history.was_erased(subject)
    return findable and subject in (facts.rows or {})


def named(history: History, facts: Facts, request: Request) -> set[str] | str:
    """G25, G138: whom rows name, or why they are refused."""
    if (refused := refusal(facts, request)) is not None:
        return refused
    rows = facts.rows or {}
    found = {
        who for who in authorised(history, facts, request) if _passes(rows[who], request.filter)
    }
    many = Counted(request.service, request.scene, "rows", request.at, len(found))
    return found if quota.admits(facts.limits, facts.counted, many) else "quota-exceeded"


def authorised(history: History, facts: Facts, request: Request) -> set[str]:
    """The customers with a row all of whose fields looked at may be read."""
    contract, wanted = facts.contracts[request.scene], {*request.looked_at}
    return {
        who
        for who in facts.rows or {}
        if _has_row(history, facts, who)
        and wanted <= {*readable(history, who, contract, request.at)}
    }


def _passes(row: Row, conditions: Sequence[Condition]) -> bool:
    """G26, G104: a missing value passes no filter."""
    return all(
        row[name] is not None and COMPARED[comparison](row[name], value)
        for name, comparison, value in conditions
    )


@dataclass(frozen=True)
class Table:
    """G24. `synthetic`: how many rows are drawn; their views are in `views`.

    `personal`: how often each personal row leaves, as the values of the fields asked for.
    """

    personal: Counter[tuple[Any, ...]]
    synthetic: int
    views: Mapping[str, str]


def table(history: History, facts: Facts, request: Request) -> Table | str:
    """G24, G130."""
    if (refused := refusal(facts, request)) is not None:
        return refused
    contract, rows = facts.contracts[request.scene], facts.rows or {}
    may = _published(history, facts, request)
    found = Counter[tuple[Any, ...]]()
    for row, count in may.items():
        if _passes(dict(row), request.filter):
            found[tuple(dict(row)[name] for name in request.fields)] += count
    many = Counted(request.service, request.scene, "rows", request.at, found.total())
    if not quota.admits(facts.limits, facts.counted, many):
        return "quota-exceeded"
    released = request.scene in facts.released
    drawn = {
        name: "synthetic"
        for name in request.looked_at
        if contract.fields[name].fallback == "synthetic" and released and not contract.locked
    }
    filtered = {name for name, _, _ in request.filter}
    missing = len(rows) - may.total()
    views = {name: drawn.get(name, "withheld") for name in request.fields}
    return Table(found, missing if drawn and filtered <= drawn.keys() else 0, views)


def _published(history: History, facts: Facts, request: Request) -> Counter[Any]:
    """The personal rows that may leave, before the filter, as pairs of field and value."""
    contract, rows = facts.contracts[request.scene], facts.rows or {}
    theirs = {who: rows[who] for who in authorised(history, facts, request)}
    if contract.minimum_group is None:
        shown = (shown_row(contract, row, request.looked_at) for row in theirs.values())
        return Counter(tuple(each.items()) for each in shown)
    domains = {name: contract.fields[name].domain or {} for name in request.looked_at}
    return groups.published(theirs, domains, contract.minimum_group)


def shown_row(contract: Contract, row: Row, fields: Collection[str]) -> Row:
    """G29: the values that leave of a row."""
    known = [str(row[name]) for name in contract.known_by if row[name] is not None]
    return {
        name: free_text.masked(row[name], known)
        if name in contract.fields and contract.fields[name].free_text and row[name] is not None
        else row[name]
        for name in fields
    }


def search(history: History, facts: Facts, request: Request) -> set[str] | str | None:
    """G83, G129, G138: whom a search finds; None: it is refused, and looks as if it found nobody.

    G35: whom it names counts as rows, and that it names nobody as one.
    """
    if refusal(facts, replace(request, shape="rows")) is not None:
        return None
    contract = facts.contracts[request.scene]
    found = {
        who
        for who in _who_said_something(history, facts)
        if {*request.fields} <= {*readable(history, who, contract, request.at)}
    }
    many = Counted(request.service, request.scene, "rows", request.at, max(1, len(found)))
    return found if quota.admits(facts.limits, facts.counted, many) else "quota-exceeded"


def _who_said_something(history: History, facts: Facts) -> Iterator[str]:
    """Who granted or withdrew in an offered scene, or set or cleared a condition of it.

    Or whom the company deleted at its source.
    """
    subjects = {each["subject"] for each in history.entries if each["type"] == "instruction"}
    for who in subjects:
        if any(_is_offered(entry["act"], facts) for _, entry in history.of(who)):
            yield who


def _is_offered(act: Json, facts: Facts) -> bool:
    contract = facts.contracts.get(act.get("scene", ""))
    if contract is None:
        return bool(act["type"] == "source-deleted")
    conditions = {(each.template, each.signal) for each in contract.conditions}
    return "signal" not in act or (act["template"], act["signal"]) in conditions

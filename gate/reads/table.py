"""Reads of many customers at once, as a stream of record batches: a table, or rows.

A *table* is for analysis. Rows of customers who granted every field asked for stand as they are, in
random order; synthetic rows stand in the place of the others, so that the table keeps its schema
and its length. No identifiers. *Rows* are for acting: only customers who granted every field asked
for, each named in the column `customer`, nothing synthetic. Both carry a column `<field>.view`
beside each field that says row by row what it is.

The cohort is joined inside the source, never queried customer by customer. The journal entry is
durable before the first batch leaves; what is in memory is bounded by the batch, not the answer.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from itertools import chain, islice
from typing import Any

import msgspec

from gate.decision import eligibility, purpose
from gate.decision.decide import Reason, View, refusal, views
from gate.policy.compiled import Plan
from gate.readlog.writer import ReadLogEntry
from gate.reads import filter, masking, record_batches  # noqa: A004 - the field's word
from gate.reads.completion import NONE, NOTHING, Completed, Missing, naive
from gate.reads.filter import FilterCondition, Test
from gate.reads.point import Gate
from gate.reads.record_batches import Batches, FieldMark
from gate.reads.sources import interface
from gate.reads.sources.interface import SourceUnavailableError
from gate.state.ledger_position import ConsentPoint
from synthetic.completion.completion import ErrorBar
from synthetic.fitting.release import Release


@dataclass(frozen=True, slots=True)
class TableRequest:
    """Many customers' `fields` for one scene. `minimum_size` as in `ReadRequest`.

    `purpose`: the caller's own word for the scene's DPV purpose, to be held against the contract.
    """

    service: str
    scene: str
    fields: tuple[str, ...]
    at: datetime
    minimum_size: int = 0
    filter: tuple[FilterCondition, ...] = ()
    purpose: str | None = None

    @property
    def looked_at(self) -> tuple[str, ...]:
        """The fields asked for, and those that the filter looks at."""
        return tuple(dict.fromkeys((*self.fields, *filter.fields(self.filter))))


@dataclass(frozen=True)
class TableAnswer:
    """`batches` can be gone through once; None when the request was refused: `reason` says why.

    `synthetic` is how many rows were drawn; a filter may leave fewer of them in the answer.
    """

    schema: Any
    batches: Batches | None
    authorised: int  # rows of customers who granted every field asked for
    synthetic: int  # rows in place of the others
    reason: Reason
    mode: str  # how the others' rows were made: a Mode, or "none" if there are no such rows
    error: ErrorBar | None  # of the counts of segments; None if there are no such rows
    release: str | None  # whose counts the others' rows rest on
    ledger_size: int
    entry: int
    read_log: str

    @cached_property
    def table(self) -> Any:
        """All batches as one Arrow table in memory, or None when the request was refused."""
        import pyarrow as pa

        return None if self.batches is None else pa.Table.from_batches(self.batches, self.schema)


def read_table(gate: Gate, request: TableRequest) -> TableAnswer:
    """Raises StaleStateError, FilterError, and SourceUnavailableError: without a source there is no
    table. A source that fails later breaks the stream off with the same error."""
    asked = _asked(gate, request)
    if isinstance(asked, Reason):
        return _refused(gate, request, "table", asked)
    personal = _personal(gate, asked, asked.columns, shuffled=True)
    if isinstance(personal, Reason):
        return _refused(gate, request, "table", personal)
    completed = _completed(gate, asked, personal)
    shown = views(asked.plan, asked.columns, asked.plan.always)
    ours = [View.PERSONAL] if personal.rows else []
    mark = FieldMark.of(personal.schema, {field: [*ours, shown[field]] for field in request.fields})
    entry = _journalled(gate, asked, "table", personal.rows, shown, completed)
    _tell(gate, request, "table", personal)
    # Durable from here on: the answer may leave.
    others = record_batches.drawn(completed.tables, personal.schema, asked.tests)
    theirs, drawings = mark.each(personal.batches, 0), mark.each(others, len(ours))
    batches = record_batches.mixed((theirs, personal.rows), (drawings, completed.rows))
    return _answer(gate, asked, entry, (mark.schema, batches), personal.rows, completed)


def read_rows(gate: Gate, request: TableRequest) -> TableAnswer:
    """Raises as `read_table` does."""
    asked = _asked(gate, request)
    if isinstance(asked, Reason):
        return _refused(gate, request, "rows", asked)
    key = gate.source.key
    personal = _personal(gate, asked, tuple(dict.fromkeys((key, *asked.columns))), shuffled=False)
    if isinstance(personal, Reason):
        return _refused(gate, request, "rows", personal)
    shown = dict.fromkeys(asked.columns, View.PERSONAL)
    mark = FieldMark.of(personal.schema, {field: [View.PERSONAL] for field in request.fields}, key)
    entry = _journalled(gate, asked, "rows", personal.rows, shown, NOTHING)
    _tell(gate, request, "rows", personal)
    # Durable from here on: the answer may leave.
    body = mark.schema, mark.each(personal.batches, 0)
    return _answer(gate, asked, entry, body, personal.rows, NOTHING)


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request that contract and policy allow, and whom they allow it of."""

    request: TableRequest
    plan: Plan
    tests: tuple[Test, ...]
    members: eligibility.Cohort
    subjects: list[str]
    point: ConsentPoint

    @property
    def columns(self) -> tuple[str, ...]:
        return self.request.looked_at


@dataclass(frozen=True, slots=True)
class _Personal:
    """Rows that may be read as they are."""

    schema: Any
    everybody: int  # customers of the source
    stand: int  # of whom a row may be read as it is
    rows: int  # of these, those that the filter leaves
    batches: Batches


def _asked(gate: Gate, request: TableRequest) -> _Asked | Reason:
    plan = gate.plan(request.service, request.scene)
    if plan is None:
        return Reason.UNKNOWN_SCENE
    refused = refusal(plan, request.fields) or refusal(plan, request.looked_at)
    if refused is not None:
        return refused
    if not purpose.agrees(request.purpose, plan.scene):
        return Reason.PURPOSE_DIFFERS
    tests = filter.check(request.filter, plan.scene)
    return _Asked(request, plan, tests, *_cohort(gate, plan, request))


def _cohort(
    gate: Gate, plan: Plan, request: TableRequest
) -> tuple[eligibility.Cohort, list[str], ConsentPoint]:
    """Whose rows may be read as they are, as a bitmap and by name, and at which ledger size."""
    wanted = plan.mask(request.looked_at) or 0
    with gate.lock:
        state, point = gate.current(request.minimum_size)
        members = gate.members(plan, wanted, request.at)
        return members, state.subjects.of(members), point


def _refused(gate: Gate, request: TableRequest, action: str, reason: Reason) -> TableAnswer:
    with gate.lock:
        _, point = gate.current(request.minimum_size)
    plan = gate.plan(request.service, request.scene)
    entry = gate.journal.record(_reading(request, action, plan, reason, point))
    origin = gate.journal.log.origin
    return TableAnswer(None, None, 0, 0, reason, NONE, None, None, point.size, entry, origin)


def _personal(
    gate: Gate, asked: _Asked, columns: Sequence[str], *, shuffled: bool
) -> _Personal | Reason:
    """The rows that may be read as they are: counted, and, unless there are more than the quota
    admits, the first batch of them fetched."""
    import ibis

    source, request = gate.source, asked.request
    free = [name for name in asked.columns if asked.plan.scene.fields[name].item.free_text]
    wanted = [*dict.fromkeys([*columns, *(gate.options.known_by if free else ())])]
    with _down():
        everyone = asked.plan.always
        rows = source.everybody(wanted) if everyone else source.rows(asked.subjects, wanted)
        kept = filter.keep(rows, asked.tests, lambda name: rows[name])
        people = _count(rows)
        count = _count(kept) if asked.tests else people
        everybody = source.count()
    if not gate.options.quotas.admits_rows(request.service, request.scene, request.at, count):
        return Reason.QUOTA_EXCEEDED
    with _down():
        ordered = kept.order_by(ibis.random()) if shuffled else kept
        schema, following = interface.batches(ordered, record_batches.ROWS)
        first = [*islice(following, 1)]
    batches = record_batches.at_most(count, chain(first, record_batches.reporting(following)))
    batches = masking.batches(batches, free, gate.options.known_by) if free else batches
    return _Personal(schema, everybody, people, count, batches)


@contextmanager
def _down() -> Iterator[None]:
    """Each engine raises errors of its own; without rows there is no answer."""
    try:
        yield
    except SourceUnavailableError:
        raise
    except Exception as error:
        raise SourceUnavailableError(f"the source failed to deliver rows: {error}") from error


def _tell(gate: Gate, request: TableRequest, action: str, found: _Personal) -> None:
    service, scene = request.service, request.scene
    gate.options.quotas.tell_share(service, scene, request.at, action, found.rows, found.everybody)


def _count(rows: Any) -> int:
    return int(rows.count().to_pyarrow().as_py())


def _completed(gate: Gate, asked: _Asked, personal: _Personal) -> Completed:
    """Synthetic rows in place of the customers who did not grant what was asked for."""
    plan, served = asked.plan, gate.served(asked.plan.scene.id)
    shown = views(plan, asked.columns, plan.always)
    drawn = tuple(field for field in asked.columns if shown[field] is View.SYNTHETIC)
    unknown = {*filter.fields(asked.request.filter)} - {*drawn}  # then nobody can say who is kept
    release = served.by_id(plan.release)
    if not drawn or release is None or unknown or personal.stand >= personal.everybody:
        return NOTHING

    def rows() -> Any:
        return gate.source.rows(asked.subjects, drawn)

    missing = Missing(rows, asked.subjects, personal.stand, personal.everybody, drawn)
    anchor = served.by_id(plan.anchor)
    if not isinstance(anchor, Release):
        return naive(release, missing)
    with _down():
        return gate.completions.anchored(anchor, missing, asked.request.at)


def _journalled(
    gate: Gate,
    asked: _Asked,
    action: str,
    rows: int,
    shown: Mapping[str, View],
    completed: Completed,
) -> int:
    """The entry, durable. A filter tells who is in the answer, so its fields were read as well."""
    reading = _reading(asked.request, action, asked.plan, Reason.GRANTED, asked.point)
    return gate.journal.record(
        msgspec.structs.replace(
            reading,
            cohort=gate.journal.store(asked.members),
            rows=rows + completed.rows,
            views=shown,
            release=completed.release,
            mode=completed.logged_mode,
        )
    )


def _answer(
    gate: Gate,
    asked: _Asked,
    entry: int,
    body: tuple[Any, Batches],
    authorised: int,
    completed: Completed,
) -> TableAnswer:
    schema, batches = body
    return TableAnswer(
        schema=schema,
        batches=batches,
        authorised=authorised,
        synthetic=completed.rows,
        reason=Reason.GRANTED,
        mode=completed.mode,
        error=completed.error,
        release=completed.release,
        ledger_size=asked.point.size,
        entry=entry,
        read_log=gate.journal.log.origin,
    )


def _reading(
    request: TableRequest, action: str, plan: Plan | None, reason: Reason, point: ConsentPoint
) -> ReadLogEntry:
    return ReadLogEntry(
        action=action,
        at=request.at.replace(microsecond=0),
        service=request.service,
        scene=request.scene,
        fields=request.looked_at,
        views={},
        reason=reason,
        plan=plan.digest if plan else "",
        consent=point,
    )

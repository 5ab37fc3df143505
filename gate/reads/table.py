"""Reads of many customers at once, as a stream of record batches: a table, or rows.

A *table* is for analysis and has no identifiers. It has the personal rows of the customers who
granted every requested field, in random order, and synthetic rows for all others, so that schema
and length stay the same. *Rows* are for acting on customers: only those who granted every requested
field, each with an id in the column `customer`, nothing synthetic. In both, a column `<field>.view`
per field says row by row what the value is.

The cohort is joined inside the source, never queried customer by customer. The read-log entry is
durable before the first batch leaves. Memory is bounded by the batch, not by the answer.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from itertools import chain, islice
from typing import Any

import msgspec

from gate.decision import purpose
from gate.decision.decide import Reason, View, refusal, views
from gate.policy.compiled import Plan
from gate.readlog.writer import ReadLogEntry
from gate.reads import filter, masking, recheck, record_batches  # noqa: A004 - the field's word
from gate.reads.completion import NONE, NOTHING, Completed, Missing, naive
from gate.reads.filter import FilterCondition, Test
from gate.reads.point import Gate
from gate.reads.recheck import Admitted, Recheck
from gate.reads.record_batches import Batches, FieldMark
from gate.reads.sources import interface
from gate.reads.sources.interface import SourceUnavailableError
from gate.state.ledger_position import ConsentPoint
from synthetic.completion.completion import ErrorBar
from synthetic.fitting.release import Release


@dataclass(frozen=True, slots=True)
class TableRequest:
    """A request for many customers' `fields` in one scene. `minimum_size`: see `ReadRequest`.

    `purpose`: the DPV term that the caller states; it must equal the contract's.
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
        """The requested fields and those that the filter uses."""
        return tuple(dict.fromkeys((*self.fields, *filter.fields(self.filter))))


@dataclass(frozen=True)
class TableAnswer:
    """The answer to a `TableRequest`.

    `batches` is single use; None if the request was refused, for the `reason` given. `synthetic` is
    the number of rows drawn; a filter may leave fewer of them in the answer.
    """

    schema: Any
    batches: Batches | None
    authorised: int  # rows of customers who granted every requested field
    synthetic: int  # rows for the other customers
    reason: Reason
    mode: str  # how the synthetic rows were made: a Mode, or "none" if there are none
    error: ErrorBar | None  # of segment counts; None if there are no synthetic rows
    release: str | None  # id of the release that the synthetic rows rest on
    ledger_size: int
    entry: int
    read_log: str

    @cached_property
    def table(self) -> Any:
        """All batches as one Arrow table in memory, or None when the request was refused."""
        import pyarrow as pa

        return None if self.batches is None else pa.Table.from_batches(self.batches, self.schema)


def read_table(gate: Gate, request: TableRequest) -> TableAnswer:
    """Answer a table request: personal and synthetic rows, without ids.

    Raises StaleStateError, FilterError, and SourceUnavailableError if the source is down. If the
    source fails later, iterating over the batches raises SourceUnavailableError.
    """
    asked = _asked(gate, request)
    if isinstance(asked, Reason):
        return _refused(gate, request, "table", asked)
    personal = _personal(gate, asked, shuffled=True)
    if isinstance(personal, Reason):
        return _refused(gate, request, "table", personal)
    completed = _completed(gate, asked, personal)
    shown = views(asked.plan, asked.columns, asked.plan.always)
    ours = [View.PERSONAL] if personal.rows else []
    labels = {f: [*dict.fromkeys([*ours, shown[f], View.WITHHELD])] for f in request.fields}
    mark = FieldMark.of(personal.schema, labels)
    entry = _logged(gate, asked, "table", personal.rows, shown, completed)
    _alert_on_share(gate, request, "table", personal)
    # Durable from here on: the answer may leave.
    others = record_batches.drawn(completed.tables, personal.schema, asked.tests)
    theirs, drawings = mark.each(personal.batches, 0), mark.each(others, len(ours))
    mixed = record_batches.mixed((theirs, personal.rows), (drawings, completed.rows))
    batches = chain(mixed, _taken_out(mark, personal))
    return _answer(gate, asked, entry, (mark.schema, batches), personal.rows, completed)


def _taken_out(mark: FieldMark, personal: "_Personal") -> Batches:
    """A withheld row for each that was taken out meanwhile, so that the length stays the same."""
    if personal.recheck is not None:
        yield from mark.withheld(personal.recheck.taken_out)


def read_rows(gate: Gate, request: TableRequest) -> TableAnswer:
    """Answer a rows request: personal rows with ids, nothing synthetic. Raises as `read_table`."""
    asked = _asked(gate, request)
    if isinstance(asked, Reason):
        return _refused(gate, request, "rows", asked)
    key = gate.source.key
    personal = _personal(gate, asked, shuffled=False)
    if isinstance(personal, Reason):
        return _refused(gate, request, "rows", personal)
    shown = dict.fromkeys(asked.columns, View.PERSONAL)
    mark = FieldMark.of(personal.schema, {field: [View.PERSONAL] for field in request.fields}, key)
    entry = _logged(gate, asked, "rows", personal.rows, shown, NOTHING)
    _alert_on_share(gate, request, "rows", personal)
    # Durable from here on: the answer may leave.
    body = mark.schema, mark.each(personal.batches, 0)
    return _answer(gate, asked, entry, body, personal.rows, NOTHING)


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request that contract and policy allow, and the customers who grant it."""

    request: TableRequest
    plan: Plan
    tests: tuple[Test, ...]
    wanted: int  # the bits of the fields that are looked at
    admitted: Admitted

    @property
    def subjects(self) -> list[str]:
        return self.admitted.subjects

    @property
    def point(self) -> ConsentPoint:
        return self.admitted.point

    @property
    def columns(self) -> tuple[str, ...]:
        return self.request.looked_at


@dataclass(frozen=True, slots=True)
class _Personal:
    """Rows that may be read as personal data."""

    schema: Any
    everybody: int  # number of customers in the source
    authorised: int  # of these, the customers whose row may be read
    rows: int  # of these, the rows that pass the filter
    batches: Batches
    recheck: Recheck | None  # None: the contract needs no consent


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
    wanted = plan.mask(request.looked_at) or 0
    who = recheck.admitted(gate, plan, wanted, request.at, request.minimum_size)
    return _Asked(request, plan, tests, wanted, who)


def _refused(gate: Gate, request: TableRequest, action: str, reason: Reason) -> TableAnswer:
    with gate.lock:
        _, point = gate.current(request.minimum_size)
    plan = gate.plan(request.service, request.scene)
    entry = gate.journal.record(_log_entry(request, action, plan, reason, point))
    origin = gate.journal.log.origin
    return TableAnswer(None, None, 0, 0, reason, NONE, None, None, point.size, entry, origin)


def _personal(gate: Gate, asked: _Asked, *, shuffled: bool) -> _Personal | Reason:
    """Count the personal rows and, if the quota admits them, fetch their first batch.

    The batches have the source's key, too, by which each is decided again before it leaves.
    """
    import ibis

    source, request = gate.source, asked.request
    free = [name for name in asked.columns if asked.plan.scene.fields[name].item.free_text]
    known_by = gate.options.known_by if free else ()
    wanted = [*dict.fromkeys([source.key, *asked.columns, *known_by])]
    with _down():
        everyone = asked.plan.always
        rows = source.everybody(wanted) if everyone else source.rows(asked.subjects, wanted)
        matching = filter.keep(rows, asked.tests, lambda name: rows[name])
        people = _count(rows)
        count = _count(matching) if asked.tests else people
        everybody = source.count()
    if not gate.options.quotas.admits_rows(request.service, request.scene, request.at, count):
        return Reason.QUOTA_EXCEEDED
    with _down():
        ordered = matching.order_by(ibis.random()) if shuffled else matching
        schema, following = interface.batches(ordered, record_batches.ROWS)
        first = [*islice(following, 1)]
    batches = record_batches.at_most(count, chain(first, record_batches.reporting(following)))
    again = None
    if not everyone:
        again = Recheck(gate, asked.plan, asked.wanted, request.at, asked.admitted)
        batches = again.batches(source.key, batches)
    batches = masking.batches(batches, free, gate.options.known_by) if free else batches
    return _Personal(schema, everybody, people, count, batches, again)


@contextmanager
def _down() -> Iterator[None]:
    """Translate the errors of any engine to SourceUnavailableError."""
    try:
        yield
    except SourceUnavailableError:
        raise
    except Exception as error:
        reason = interface.without_values(error)
        raise SourceUnavailableError(f"the source failed to deliver rows: {reason}") from error


def _alert_on_share(gate: Gate, request: TableRequest, action: str, personal: _Personal) -> None:
    service, scene = request.service, request.scene
    gate.options.quotas.alert_on_share(
        service, scene, request.at, action, personal.rows, personal.everybody
    )


def _count(rows: Any) -> int:
    return int(rows.count().to_pyarrow().as_py())


def _completed(gate: Gate, asked: _Asked, personal: _Personal) -> Completed:
    """Synthetic rows for the customers who did not grant every requested field."""
    plan, served = asked.plan, gate.served(asked.plan.scene.id)
    shown = views(plan, asked.columns, plan.always)
    drawn = tuple(field for field in asked.columns if shown[field] is View.SYNTHETIC)
    unknown = {*filter.fields(asked.request.filter)} - {*drawn}  # the filter cannot be applied
    release = served.by_id(plan.release)
    if not drawn or release is None or unknown or personal.authorised >= personal.everybody:
        return NOTHING

    def rows() -> Any:
        return gate.source.rows(asked.subjects, drawn)

    missing = Missing(rows, asked.subjects, personal.authorised, personal.everybody, drawn)
    anchor = served.by_id(plan.anchor)
    if not isinstance(anchor, Release):
        return naive(release, missing)
    with _down():
        return gate.completions.anchored(anchor, missing, asked.request.at)


def _logged(
    gate: Gate,
    asked: _Asked,
    action: str,
    rows: int,
    shown: Mapping[str, View],
    completed: Completed,
) -> int:
    """Write the read-log entry durably; the filter's fields are logged as read, too."""
    logged = _log_entry(asked.request, action, asked.plan, Reason.GRANTED, asked.point)
    return gate.journal.record(
        msgspec.structs.replace(
            logged,
            cohort=gate.journal.store(asked.admitted.numbered),
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


def _log_entry(
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

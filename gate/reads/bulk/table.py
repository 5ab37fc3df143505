"""Reads of many customers at once, as a stream of record batches: a table, or rows.

A *table* is for analysis and has no identifiers. It has the personal rows of the customers who
granted every requested field, in random order, and synthetic rows for all others, so that schema
and length stay the same. *Rows* are for acting on customers: only those who granted every requested
field, each with an id in the column `customer`, nothing synthetic. In both, a column `<field>.view`
per field says row by row what the value is.

The cohort is joined inside the source, never queried customer by customer. The read-log entry is
durable before the first batch leaves. The contract says which of the two it allows, and whether
personal rows of a table are coarsened (gate.reads.bulk.groups). Memory is bounded by the batch, not
by the answer.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, islice
from typing import Any

import msgspec

from gate.contracts.scene import ReadShape
from gate.decision.decide import Reason, View, views
from gate.policy.compiled import Plan
from gate.readlog.writer import Journal, ReadLogEntry
from gate.reads import filter, masking  # noqa: A004 - the field's word
from gate.reads.bulk import record_batches
from gate.reads.bulk.authorised import authorised, counted, findable, in_groups, reported
from gate.reads.bulk.recheck import Recheck
from gate.reads.bulk.record_batches import Batches, FieldMark
from gate.reads.bulk.request import AdmittedRequest, TableRequest, admit
from gate.reads.completion import NONE, NOTHING, Completed, Missing, naive
from gate.reads.point import Gate
from gate.reads.sources import interface
from gate.state.customer_numbers import Numbers
from gate.state.ledger_position import ConsentPoint
from gate.storage.deliveries import Delivery, Logged
from synthetic.completion.completion import ErrorBar


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
    logged: Logged | None = None
    missed: Callable[[], str | None] = lambda: None  # see `gate.storage.deliveries.DeliveryNote`

    def ended(self, delivery: Delivery) -> None:
        """Note what became of the answer, once its batches have ended."""
        if self.logged is not None:
            self.logged.ended(delivery, self.missed() if delivery is Delivery.DELIVERED else None)

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
    asked = admit(gate, request, ReadShape.TABLE)
    if isinstance(asked, Reason):
        return _refused(gate, request, "table", asked)
    personal = _personal(gate, asked, shuffled=True, group=asked.plan.scene.minimum_group)
    if isinstance(personal, Reason):
        return _refused(gate, request, "table", personal)
    completed = _completed(gate, asked, personal)
    shown = views(asked.plan, asked.columns, asked.plan.always)
    ours = [View.PERSONAL] if personal.rows else []
    labels = {f: [*dict.fromkeys([*ours, shown[f], View.WITHHELD])] for f in request.fields}
    mark = FieldMark.of(personal.schema, labels)
    logged = _logged(gate, asked, "table", personal, shown, completed)
    _alert_on_share(gate, request, "table", personal)
    # Durable from here on: the answer may leave.
    others = record_batches.drawn(completed.tables, personal.schema, asked.tests)
    theirs, drawings = mark.each(personal.batches, 0), mark.each(others, len(ours))
    mixed = record_batches.mixed((theirs, personal.rows), (drawings, completed.rows))
    batches = chain(mixed, _taken_out(mark, personal))
    return _answer(gate, asked, logged, (mark.schema, batches), personal, completed)


def _taken_out(mark: FieldMark, personal: "_Personal") -> Batches:
    """A withheld row for each that was taken out meanwhile, so that the length stays the same."""
    if personal.recheck is not None:
        yield from mark.withheld(personal.recheck.taken_out)


def read_rows(gate: Gate, request: TableRequest) -> TableAnswer:
    """Answer a rows request: personal rows with ids, nothing synthetic. Raises as `read_table`."""
    asked = admit(gate, request, ReadShape.ROWS)
    if isinstance(asked, Reason):
        return _refused(gate, request, "rows", asked)
    key = gate.source.key
    personal = _personal(gate, asked, shuffled=False, group=None)
    if isinstance(personal, Reason):
        return _refused(gate, request, "rows", personal)
    shown = dict.fromkeys(asked.columns, View.PERSONAL)
    mark = FieldMark.of(personal.schema, {field: [View.PERSONAL] for field in request.fields}, key)
    logged = _logged(gate, asked, "rows", personal, shown, NOTHING)
    _alert_on_share(gate, request, "rows", personal)
    # Durable from here on: the answer may leave.
    body = mark.schema, mark.each(personal.batches, 0)
    return _answer(gate, asked, logged, body, personal, NOTHING)


@dataclass(frozen=True, slots=True)
class _Personal:
    """Rows that may be read as personal data."""

    schema: Any
    everybody: int  # number of customers in the source
    authorised: int  # of these, the customers whose row may be read
    rows: int  # of these, the rows that pass the filter
    answered: Numbers  # of the customers with such a row
    batches: Batches
    recheck: Recheck | None  # None: the contract needs no consent


def _refused(gate: Gate, request: TableRequest, action: str, reason: Reason) -> TableAnswer:
    with gate.lock:
        _, point = gate.current(request.minimum_size)
    plan = gate.plan(request.service, request.scene)
    journal = gate.journal
    entry = journal.record(_log_entry(request, action, plan, reason, point))
    origin = journal.log.origin
    where = entry, origin, journal.logged(entry)
    return TableAnswer(None, None, 0, 0, reason, NONE, None, None, point.size, *where)


def _personal(
    gate: Gate, asked: AdmittedRequest, *, shuffled: bool, group: int | None
) -> _Personal | Reason:
    """Count the personal rows and, if the quota admits them, fetch their first batch.

    `group`: None, or the number in whose multiples coarsened rows leave. The batches have the
    source's key, too, by which each is decided again before it leaves.
    """
    import ibis

    source, request = gate.source, asked.request
    free = [name for name in asked.columns if asked.plan.scene.fields[name].item.free_text]
    known_by = gate.options.known_by if free else ()
    wanted = [*dict.fromkeys([source.key, *asked.columns, *known_by])]
    with reported():
        rows = authorised(gate, asked, wanted)
        if group is not None:
            rows = in_groups(gate, asked, rows, group)
        matching = filter.keep(rows, asked.tests, lambda name: rows[name])
        matching, count, answered = findable(gate, asked, matching, rows)
        people = counted(rows) if asked.tests else count
        everybody = source.count()
    if not gate.options.quotas.admits_rows(request.service, request.scene, request.at, count):
        return Reason.QUOTA_EXCEEDED
    with reported():
        ordered = matching.order_by(ibis.random()) if shuffled else matching
        schema, following = interface.batches(ordered, record_batches.ROWS)
        first = [*islice(following, 1)]
    batches = record_batches.at_most(count, chain(first, record_batches.reporting(following)))
    again = None
    if not asked.plan.always:
        again = Recheck(gate, asked.plan, asked.wanted, request.at, asked.admitted, group)
        batches = again.batches(source.key, batches)
    batches = masking.batches(batches, free, gate.options.known_by) if free else batches
    return _Personal(schema, everybody, people, count, answered, batches, again)


def _alert_on_share(gate: Gate, request: TableRequest, action: str, personal: _Personal) -> None:
    service, scene = request.service, request.scene
    gate.options.quotas.alert_on_share(
        service, scene, request.at, action, personal.rows, personal.everybody
    )


def _completed(gate: Gate, asked: AdmittedRequest, personal: _Personal) -> Completed:
    """Synthetic rows for the customers who did not grant every requested field."""
    plan, served = asked.plan, gate.served(asked.plan.scene.id)
    shown = views(plan, asked.columns, plan.always)
    drawn = tuple(field for field in asked.columns if shown[field] is View.SYNTHETIC)
    unknown = {*filter.fields(asked.request.filter)} - {*drawn}  # the filter cannot be applied
    anchor, release = served.anchored(plan.anchor), served.by_id(plan.release)
    if not drawn or unknown or personal.authorised >= personal.everybody:
        return NOTHING

    def rows() -> Any:
        if plan.scene.minimum_group is None:
            return authorised(gate, asked, drawn)
        everything = authorised(gate, asked, [gate.source.key, *asked.columns])
        return in_groups(gate, asked, everything, plan.scene.minimum_group)

    people = asked.admitted.objecting if asked.admitted.objecting is not None else asked.subjects
    missing = Missing(rows, people, personal.authorised, personal.everybody, drawn)
    if anchor is None:
        return naive(release, missing) if release is not None else NOTHING
    with reported():
        return gate.completions.anchored(anchor, missing, asked.request.at)


def _logged(
    gate: Gate,
    asked: AdmittedRequest,
    action: str,
    personal: _Personal,
    shown: Mapping[str, View],
    completed: Completed,
) -> tuple[Journal, int]:
    """Write the read-log entry durably; the filter's fields are logged as read, too.

    Returns the journal and the entry's index.
    """
    logged = _log_entry(asked.request, action, asked.plan, Reason.GRANTED, asked.point)
    journal = gate.journal  # the sets and the entry belong to one log
    return journal, journal.record(
        msgspec.structs.replace(
            logged,
            answered=journal.sets.put(personal.answered),
            cohort=journal.sets.put(asked.admitted.numbers),
            rows=personal.rows + completed.rows,
            views=shown,
            release=completed.release,
            mode=completed.logged_mode,
        )
    )


def _answer(
    gate: Gate,
    asked: AdmittedRequest,
    logged: tuple[Journal, int],
    body: tuple[Any, Batches],
    personal: _Personal,
    completed: Completed,
) -> TableAnswer:
    (schema, batches), (journal, entry) = body, logged

    def missed() -> str | None:
        names = personal.recheck.missed if personal.recheck is not None else []
        return journal.sets.put(gate.numbers.of_names(names)) if names else None

    return TableAnswer(
        schema=schema,
        batches=batches,
        authorised=personal.rows,
        synthetic=completed.rows,
        reason=Reason.GRANTED,
        mode=completed.mode,
        error=completed.error,
        release=completed.release,
        ledger_size=asked.point.size,
        entry=entry,
        read_log=journal.log.origin,
        logged=journal.logged(entry),
        missed=missed,
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

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

from gate import batch, cohort, filter, masking, purpose, sources  # noqa: A004 - the field's word
from gate.batch import Batches, Mark
from gate.decide import Reason, View, refusal, views
from gate.filter import Condition, Test
from gate.journal import ConsentPoint, Reading
from gate.plan import Plan
from gate.read import Gate
from gate.sources import SourceUnavailableError

NAIVE = "naive"  # drawn like those who consented: repeats the bias of who stayed
NONE = "none"


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
    filter: tuple[Condition, ...] = ()
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
    mode: str  # how the others' rows were made: "naive", or "none" if there are no such rows
    release: str | None
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
    drawn, others = _drawn(gate, asked, personal)
    shown = views(asked.plan, asked.columns, asked.plan.always)
    ours = [View.PERSONAL] if personal.rows else []
    mark = Mark.of(personal.schema, {field: [*ours, shown[field]] for field in request.fields})
    release = asked.plan.release if drawn else None
    entry = _journalled(gate, asked, "table", personal.rows + drawn, shown, release)
    _tell(gate, request, "table", personal)
    # Durable from here on: the answer may leave.
    theirs, drawings = mark.each(personal.batches, 0), mark.each(others, len(ours))
    batches = batch.mixed((theirs, personal.rows), (drawings, drawn))
    return _answer(gate, asked, entry, mark, batches, (personal.rows, drawn))


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
    mark = Mark.of(personal.schema, {field: [View.PERSONAL] for field in request.fields}, key)
    entry = _journalled(gate, asked, "rows", personal.rows, shown, None)
    _tell(gate, request, "rows", personal)
    # Durable from here on: the answer may leave.
    return _answer(gate, asked, entry, mark, mark.each(personal.batches, 0), (personal.rows, 0))


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request that contract and policy allow, and whom they allow it of."""

    request: TableRequest
    plan: Plan
    tests: tuple[Test, ...]
    members: cohort.Cohort
    subjects: list[str]
    point: ConsentPoint

    @property
    def columns(self) -> tuple[str, ...]:
        return self.request.looked_at


@dataclass(frozen=True, slots=True)
class _Personal:
    """Rows that may be read as they are, `rows` of them. `missing`: customers who did not grant
    what was asked for."""

    schema: Any
    everybody: int  # customers of the source
    missing: int
    rows: int
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
) -> tuple[cohort.Cohort, list[str], ConsentPoint]:
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
    return TableAnswer(None, None, 0, 0, reason, NONE, None, point.size, entry, origin)


def _personal(
    gate: Gate, asked: _Asked, columns: Sequence[str], *, shuffled: bool
) -> _Personal | Reason:
    """The rows that may be read as they are: counted, and, unless there are more than the quota
    admits, the first batch of them fetched."""
    import ibis

    source, request = gate.source, asked.request
    free = [name for name in asked.columns if asked.plan.scene.fields[name].item.free_text]
    wanted = [*dict.fromkeys([*columns, *(gate.known_by if free else ())])]
    with _down():
        everyone = asked.plan.always
        rows = source.everybody(wanted) if everyone else source.rows(asked.subjects, wanted)
        kept = filter.keep(rows, asked.tests, lambda name: rows[name])
        people = _count(rows)
        count = _count(kept) if asked.tests else people
        everybody = source.count()
    if not gate.quotas.admits_rows(request.service, request.scene, request.at, count):
        return Reason.QUOTA_EXCEEDED
    with _down():
        ordered = kept.order_by(ibis.random()) if shuffled else kept
        schema, following = sources.batches(ordered, batch.ROWS)
        first = [*islice(following, 1)]
    batches = batch.at_most(count, chain(first, batch.reporting(following)))
    batches = masking.batches(batches, free, gate.known_by) if free else batches
    return _Personal(schema, everybody, everybody - people, count, batches)


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
    gate.quotas.tell_share(service, scene, request.at, action, found.rows, found.everybody)


def _count(rows: Any) -> int:
    return int(rows.count().to_pyarrow().as_py())


def _drawn(gate: Gate, asked: _Asked, personal: _Personal) -> tuple[int, Batches]:
    """Synthetic rows in place of the customers who are missing, in the schema of the others."""
    shown = views(asked.plan, asked.columns, asked.plan.always)
    drawn = [field for field in asked.columns if shown[field] is View.SYNTHETIC]
    release = gate.release(asked.plan.scene.id)
    unknown = {*filter.fields(asked.request.filter)} - {*drawn}  # then nobody can say who is kept
    if not drawn or release is None or unknown or personal.missing <= 0:
        return 0, iter(())

    def sample(rows: int) -> Any:
        return release.sample(rows, drawn)

    return personal.missing, batch.sampled(sample, personal.missing, personal.schema, asked.tests)


def _journalled(
    gate: Gate,
    asked: _Asked,
    action: str,
    rows: int,
    shown: Mapping[str, View],
    release: str | None,
) -> int:
    """The entry, durable. A filter tells who is in the answer, so its fields were read as well."""
    reading = _reading(asked.request, action, asked.plan, Reason.GRANTED, asked.point)
    return gate.journal.record(
        msgspec.structs.replace(
            reading,
            cohort=gate.journal.store(asked.members),
            rows=rows,
            views=shown,
            release=release,
        )
    )


def _answer(
    gate: Gate, asked: _Asked, entry: int, mark: Mark, batches: Batches, rows: tuple[int, int]
) -> TableAnswer:
    authorised, synthetic = rows
    release = asked.plan.release if synthetic else None
    return TableAnswer(
        schema=mark.schema,
        batches=batches,
        authorised=authorised,
        synthetic=synthetic,
        reason=Reason.GRANTED,
        mode=NAIVE if release else NONE,
        release=release,
        ledger_size=asked.point.size,
        entry=entry,
        read_log=gate.journal.log.origin,
    )


def _reading(
    request: TableRequest, action: str, plan: Plan | None, reason: Reason, point: ConsentPoint
) -> Reading:
    return Reading(
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

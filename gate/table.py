"""The table read: everybody's fields for one scene, for analysis.

Rows of customers who granted every field asked for stand as they are; synthetic rows stand in the
place of the others, so that the table keeps its schema and its length. No identifiers, no order,
and a column `<field>.view` beside each field that says row by row which is which.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import compress
from typing import Any

import msgspec
import numpy as np

from gate import cohort, word
from gate.decide import Reason, View, refusal, views
from gate.journal import ConsentPoint, Reading
from gate.plan import Plan
from gate.read import Gate
from gate.sources import SourceUnavailableError

NAIVE = "naive"  # drawn like those who consented: repeats the bias of who stayed
NONE = "none"


@dataclass(frozen=True, slots=True)
class TableRequest:
    """Everybody's `fields` for one scene. `minimum_size` as in `ReadRequest`."""

    service: str
    scene: str
    fields: tuple[str, ...]
    at: datetime
    minimum_size: int = 0


@dataclass(frozen=True, slots=True)
class TableAnswer:
    """`table` is an Arrow table, or None when the request was refused; `reason` says why."""

    table: Any
    authorised: int  # rows of customers who granted every field asked for
    synthetic: int  # rows in place of the others
    reason: Reason
    mode: str  # how the others' rows were made: "naive", or "none" if there are no such rows
    release: str | None
    ledger_size: int
    entry: int
    read_log: str


def read_table(gate: Gate, request: TableRequest) -> TableAnswer:
    """Raises StaleStateError and SourceUnavailableError: without a source there is no table."""
    plan = gate.plan(request.service, request.scene)
    refused = Reason.UNKNOWN_SCENE if plan is None else refusal(plan, request.fields)
    if plan is None or refused is not None:
        return _refused(gate, request, plan, refused or Reason.UNKNOWN_SCENE)
    members, subjects, point = _cohort(gate, plan, request)
    authorised = _authorised(gate, plan, request.fields, subjects)
    synthetic = _synthetic(gate, plan, request.fields, authorised)
    shown = views(plan, request.fields, plan.always)
    reading = _reading(request, plan, Reason.GRANTED, point)
    release = plan.release if synthetic.num_rows else None
    entry = gate.journal.record(
        msgspec.structs.replace(
            reading,
            cohort=gate.journal.store(members),
            rows=authorised.num_rows + synthetic.num_rows,
            views=shown,
            release=release,
        )
    )
    # Durable from here on: the answer may leave.
    return TableAnswer(
        table=_marked([authorised, synthetic], shown),
        authorised=authorised.num_rows,
        synthetic=synthetic.num_rows,
        reason=reading.reason,
        mode=NAIVE if release else NONE,
        release=release,
        ledger_size=point.size,
        entry=entry,
        read_log=gate.journal.log.origin,
    )


def _cohort(
    gate: Gate, plan: Plan, request: TableRequest
) -> tuple[cohort.Cohort, list[str], ConsentPoint]:
    """Whose rows may be read as they are, as a bitmap and by name, and at which ledger size."""
    wanted = plan.mask(request.fields) or 0
    with gate.lock:
        state, point = gate.current(request.minimum_size)
        words = state.words(request.scene)
        minute = word.minute(request.at)
        stale = state.stale(request.scene, minute)
        members = cohort.readable(plan, words, wanted, minute, stale)
        return members, list(compress(state.subjects, members)), point


def _refused(gate: Gate, request: TableRequest, plan: Plan | None, reason: Reason) -> TableAnswer:
    with gate.lock:
        _, point = gate.current(request.minimum_size)
    entry = gate.journal.record(_reading(request, plan, reason, point))
    return TableAnswer(None, 0, 0, reason, NONE, None, point.size, entry, gate.journal.log.origin)


def _authorised(gate: Gate, plan: Plan, fields: Sequence[str], subjects: Sequence[str]) -> Any:
    rows = gate.source.everybody(fields) if plan.always else gate.source.rows(subjects, fields)
    try:
        return rows.to_pyarrow()
    except Exception as error:  # each engine raises its own; without rows there is no table
        raise SourceUnavailableError(f"the source failed to deliver rows: {error}") from error


def _synthetic(gate: Gate, plan: Plan, fields: Sequence[str], authorised: Any) -> Any:
    """As many rows as customers are missing, in the schema of the authorised ones."""
    import pyarrow as pa

    shown = views(plan, tuple(fields), plan.always)
    drawn = [field for field in fields if shown[field] is View.SYNTHETIC]
    release = gate.release(plan.scene.id)
    missing = gate.source.count() - authorised.num_rows
    if not drawn or release is None or missing <= 0:
        return authorised.slice(0, 0)
    sample = release.sample(missing, drawn)
    columns = [
        sample[field].cast(kind, safe=False) if field in drawn else pa.nulls(missing, kind)
        for field, kind in zip(authorised.column_names, authorised.schema.types, strict=True)
    ]
    return pa.table(columns, schema=authorised.schema)


def _reading(
    request: TableRequest, plan: Plan | None, reason: Reason, point: ConsentPoint
) -> Reading:
    return Reading(
        action="table",
        at=request.at.replace(microsecond=0),
        service=request.service,
        scene=request.scene,
        fields=request.fields,
        views={},
        reason=reason,
        plan=plan.digest if plan else "",
        consent=point,
    )


def _marked(parts: Sequence[Any], shown: Mapping[str, View]) -> Any:
    """Both parts in one table, shuffled, a view column beside each field."""
    import pyarrow as pa

    whole = pa.concat_tables(parts)
    personal = np.arange(whole.num_rows) < parts[0].num_rows
    order = np.random.default_rng().permutation(whole.num_rows)
    whole = whole.take(pa.array(order))
    columns: dict[str, Any] = {}
    for field in whole.column_names:
        labels = np.where(personal[order], View.PERSONAL.value, shown[field].value)
        columns[field] = whole[field]
        columns[f"{field}.view"] = pa.array(labels).dictionary_encode()
    return pa.table(columns)

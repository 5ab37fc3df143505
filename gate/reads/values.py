"""Reads the values that a decision about one customer allows, and draws those that stand in."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from gate.contracts.scene import Surrogates
from gate.decision.decide import Decision, Reason, View
from gate.policy.compiled import Plan
from gate.readlog.writer import Journal
from gate.reads import masking
from gate.reads.releases import Served
from gate.reads.request import AnsweredRead, DecidedRead, ReadRequest
from gate.reads.sources.interface import (
    UNREADABLE,
    Row,
    RowSource,
    SourceUnavailableError,
    each_row,
)


@dataclass(frozen=True, slots=True)
class ValueReader:
    """Where the values of reads of one customer come from."""

    source: RowSource
    journal: Journal
    known_by: Sequence[str]  # columns by which free text is masked
    served: Callable[[str], Served]  # the releases of a scene
    key: bytes  # of surrogates

    def answered(self, reads: Sequence[DecidedRead]) -> list[AnsweredRead]:
        """The values of each read, and its decision with the views that the source could give.

        Reads of the same columns share a query of the source. If it fails, nothing of it is given.
        """
        wanted = [self._wanted(each) for each in reads]
        alike: dict[tuple[str, ...], dict[str, None]] = {}
        for each, columns in zip(reads, wanted, strict=True):
            if columns and self._is_found(each.request.subject):
                alike.setdefault(columns, {})[each.request.subject] = None
        rows = {
            columns: each_row(self.source, [*subjects], columns)
            for columns, subjects in alike.items()
        }
        return [
            self._answered(each, rows.get(columns, {}).get(each.request.subject))
            for each, columns in zip(reads, wanted, strict=True)
        ]

    def answered_from(
        self, reads: Sequence[DecidedRead], row: Row | SourceUnavailableError | None
    ) -> list[AnsweredRead]:
        """The same for reads of one customer, from their `row`, which has all columns, or None.

        The source is not asked.
        """
        return [self._answered(each, self._part(each, row)) for each in reads]

    def _part(
        self, read: DecidedRead, row: Row | SourceUnavailableError | None
    ) -> Row | SourceUnavailableError | None:
        """What a query for this read alone gives of the row."""
        columns = self._wanted(read)
        if not columns or not self._is_found(read.request.subject):
            return None
        if row is None or isinstance(row, SourceUnavailableError):
            return row
        return {name: row[name] for name in columns}

    def _wanted(self, read: DecidedRead) -> tuple[str, ...]:
        """The columns of the source that a read needs."""
        if read.plan is None or read.decision.refused:
            return ()
        columns = source_columns(read.plan, read.decision.views)
        free = _free(read.plan, columns)
        return (*dict.fromkeys([*columns.values(), *(self.known_by if free else ())]),)

    def _is_found(self, subject: str) -> bool:
        """Whether the customer can find the read, or is nobody who could."""
        return self.journal.has_tags(subject) or not self.journal.awaited([subject])

    def _answered(
        self, read: DecidedRead, row: Row | SourceUnavailableError | None
    ) -> AnsweredRead:
        request, plan, decision = read.request, read.plan, read.decision
        if plan is None or decision.refused:
            return AnsweredRead(read, {})
        if isinstance(row, SourceUnavailableError):
            decision, row = without_source(decision), None
        values, after = self._values(request, plan, decision, row)
        complete = View.WITHHELD not in after.views.values()
        shown = after if complete else replace(after, allowed=False)
        return AnsweredRead(replace(read, decision=shown), values)

    def _values(
        self, request: ReadRequest, plan: Plan, decision: Decision, row: Row | None
    ) -> tuple[dict[str, Any], Decision]:
        views = dict(decision.views)
        columns = source_columns(plan, views)
        free = _free(plan, columns)
        unreadable = {name for name, value in (row or {}).items() if value is UNREADABLE}
        row = row and {name: None if name in unreadable else row[name] for name in row}
        views |= {f: View.WITHHELD for f, column in columns.items() if column in unreadable}
        row = masking.row(row, free, self.known_by) if row and free else row
        if row is None:  # the customer has no row in the source, or no key yet
            views |= dict.fromkeys(columns, View.WITHHELD)
            row = {}
        values = {field: row.get(columns.get(field, field)) for field in request.fields}
        values |= self._surrogates(request, plan, views, values)
        after = replace(decision, views=views)
        return values, _without_values(after) if unreadable else after

    def _surrogates(
        self,
        request: ReadRequest,
        plan: Plan,
        views: Mapping[str, View],
        values: Mapping[str, Any],
    ) -> dict[str, Any]:
        """Synthetic values for fields that may not be read, drawn as the contract says."""
        import pyarrow as pa

        fields = [field for field, view in views.items() if view is View.SYNTHETIC]
        release = self.served(request.scene).by_id(plan.release) if fields else None
        if release is None:
            return {}
        if plan.scene.surrogates is not Surrogates.CONDITIONAL:
            alone = release.surrogate(fields, self.key, [request.subject])
            return dict(alone.to_pylist()[0])
        shown = {
            field: [values[field]]
            for field, view in views.items()
            if view is View.PERSONAL and plan.scene.fields[field].item.domain is not None
        }
        drawn = release.conditional(fields, pa.table(shown), self.key, [request.subject])
        return dict(drawn.to_pylist()[0])


def _free(plan: Plan, columns: Mapping[str, str]) -> list[str]:
    """Which of these fields are free text."""
    return [name for name in columns if plan.scene.fields[name].item.free_text]


def without_source(decision: Decision) -> Decision:
    """The decision if the source is down: nothing of it is given, only what stands in for it."""
    needs = {View.PERSONAL, View.GENERALISED}
    views = {f: View.WITHHELD if v in needs else v for f, v in decision.views.items()}
    return replace(decision, views=views, reason=Reason.SOURCE_UNAVAILABLE)


def source_columns(plan: Plan, views: Mapping[str, View]) -> dict[str, str]:
    """The source column that each personal or generalised field is read from."""
    columns = {}
    for name, view in views.items():
        if view is View.PERSONAL:
            columns[name] = name
        elif view is View.GENERALISED:
            columns[name] = str(plan.scene.fields[name].generalised_by)
    return columns


def _without_values(decision: Decision) -> Decision:
    """The decision for a customer some of whose values the source cannot give."""
    return replace(decision, allowed=False, reason=Reason.SOURCE_UNAVAILABLE)

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
from gate.reads.request import ReadRequest
from gate.reads.sources.interface import UNREADABLE, RowSource


@dataclass(frozen=True, slots=True)
class ValueReader:
    """Where the values of one read come from."""

    source: RowSource
    journal: Journal
    known_by: Sequence[str]  # columns by which free text is masked
    served: Callable[[str], Served]  # the releases of a scene
    key: bytes  # of surrogates

    def values(
        self, request: ReadRequest, plan: Plan, decision: Decision
    ) -> tuple[dict[str, Any], Decision]:
        """The values, and the decision with the views that the source could give.

        Raises SourceUnavailableError.
        """
        views = dict(decision.views)
        columns = source_columns(plan, views)
        free = [name for name in columns if plan.scene.fields[name].item.free_text]
        wanted = dict.fromkeys([*columns.values(), *(self.known_by if free else ())])
        row = self._row(request.subject, [*wanted]) if columns else {}
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

    def _row(self, subject: str, columns: Sequence[str]) -> Mapping[str, Any] | None:
        """The customer's row; None without one, and if the customer could not find the read."""
        if not self.journal.has_tags(subject) and self.journal.awaited([subject]):
            return None
        return self.source.row(subject, columns)

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

"""The values of named customers, each only as far as the decision on that customer allows."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gate.contracts.scene import Surrogates
from gate.decision.decide import Reason, Verdict, View
from gate.policy.compiled import Plan
from gate.reads import masking
from gate.reads.bulk import record_batches
from gate.reads.bulk.authorised import reported
from gate.reads.bulk.record_batches import CUSTOMER
from gate.reads.point import Gate
from gate.reads.sources import interface
from gate.reads.sources.interface import UNREADABLE, SourceUnavailableError
from gate.reads.values import source_columns
from gate.state.customer_numbers import NOBODY

ALLOWED, REASON = f"{CUSTOMER}.allowed", f"{CUSTOMER}.reason"  # no field has a dot in its name
GIVEN = frozenset({View.PERSONAL, View.GENERALISED})


@dataclass(frozen=True, slots=True)
class NamedBatch:
    """The answer about all customers as one Arrow record batch, before it is decided again.

    `verdicts`: with the views that the source could give, in the order of the customers.
    """

    batch: Any
    verdicts: Sequence[Verdict]
    personal: int  # customers of whom a personal or generalised value is in the answer
    release: str | None  # that synthetic values come from

    @property
    def schema(self) -> Any:
        return self.batch.schema


@dataclass(slots=True)
class _Changed:
    """Verdicts of which the source could not give everything; one object for equal ones."""

    known: dict[tuple[int, tuple[str, ...], bool], Verdict] = field(default_factory=dict)

    def without(self, was: Verdict, fields: Iterable[str], *, unavailable: bool) -> Verdict:
        """`was` with these fields withheld; `unavailable`: because the source has no value."""
        gone = tuple(fields)
        key = id(was), gone, unavailable
        if (known := self.known.get(key)) is None:
            views = {**was.views, **dict.fromkeys(gone, View.WITHHELD)}
            reason = Reason.SOURCE_UNAVAILABLE if unavailable else was.reason
            known = self.known[key] = Verdict(False, views, reason)
        return known


class NamedValues:
    """Reads the values for one request."""

    def __init__(
        self, gate: Gate, plan: Plan, subjects: Sequence[str], fields: Sequence[str]
    ) -> None:
        self._gate, self._plan = gate, plan
        self._subjects, self._fields = subjects, fields
        self._values = {name: [None] * len(subjects) for name in fields}
        self._changed = _Changed()
        self._known_types: Mapping[str, Any] | None = None

    def read(self, decided: Sequence[Verdict]) -> NamedBatch:
        """Fetch and draw the values that these verdicts allow."""
        verdicts = [*decided]
        for places in _alike(verdicts):
            if columns := source_columns(self._plan, verdicts[places[0]].views):
                self._fetch(verdicts, places, columns)
        release = None
        for places in _alike(verdicts):
            release = self._draw(verdicts[places[0]].views, places) or release
        personal = sum(not GIVEN.isdisjoint(each.views.values()) for each in verdicts)
        return NamedBatch(self._batch(verdicts), verdicts, personal, release)

    def _fetch(
        self, verdicts: list[Verdict], places: Sequence[int], columns: Mapping[str, str]
    ) -> None:
        """Values from the source for customers with one verdict; withhold what it cannot give."""
        was = verdicts[places[0]]
        place_of = {self._subjects[place]: place for place in places}
        try:
            rows, doubled = self._rows(self._findable([*place_of]), columns)
            unreadable = self._unreadable(rows, columns)
        except SourceUnavailableError:
            rows, doubled, unreadable = {}, {*place_of}, {}
        for subject, place in place_of.items():
            if subject in doubled:
                verdicts[place] = self._changed.without(was, columns, unavailable=True)
            elif (row := rows.get(subject)) is None:
                verdicts[place] = self._changed.without(was, columns, unavailable=False)
            else:
                if gone := unreadable.get(subject):
                    verdicts[place] = self._changed.without(was, gone, unavailable=True)
                for name, column in columns.items():
                    self._values[name][place] = row[column]

    def _findable(self, subjects: Sequence[str]) -> Sequence[str]:
        """Those who could find the read: without those whose key the writer has still to make."""
        numbers = self._gate.numbers.of_names(subjects).tolist()
        unknown = [each for each, n in zip(subjects, numbers, strict=True) if n == NOBODY]
        awaited = {*self._gate.journal.awaited(unknown)} if unknown else set[str]()
        return [each for each in subjects if each not in awaited]

    def _rows(
        self, subjects: Sequence[str], columns: Mapping[str, str]
    ) -> tuple[dict[str, dict[str, Any]], set[str]]:
        """The source's rows by customer, and the customers who have several."""
        source, scene = self._gate.source, self._plan.scene
        free = [each for each in {*columns.values()} if scene.fields[each].item.free_text]
        known_by = self._gate.options.known_by if free else ()
        wanted = [*dict.fromkeys([source.key, *columns.values(), *known_by])]
        found: dict[str, dict[str, Any]] = {}
        doubled = set[str]()
        with reported():
            _, batches = interface.batches(source.rows(subjects, wanted), record_batches.ROWS)
            if free:
                batches = masking.batches(batches, free, known_by)
            for batch in batches:
                values = [batch[name].to_pylist() for name in wanted]
                for row in zip(*values, strict=True):
                    subject = str(row[0])
                    if subject in found:
                        doubled.add(subject)
                    found[subject] = dict(zip(wanted, row, strict=True))
        return found, doubled

    def _unreadable(
        self, rows: Mapping[str, Mapping[str, Any]], columns: Mapping[str, str]
    ) -> dict[str, list[str]]:
        """By customer, the fields whose value has no representation.

        In a table such a value looks like a missing one, so whoever has none is read alone.
        """
        doubtful = [name for name in {*columns.values()} if self._may_be_unreadable(name)]
        found = {}
        for subject, row in rows.items():
            missing = [name for name in doubtful if row[name] is None]
            if missing and (alone := self._gate.source.row(subject, missing)):
                bad = {name for name in missing if alone[name] is UNREADABLE}
                if fields := [each for each, column in columns.items() if column in bad]:
                    found[subject] = fields
        return found

    def _may_be_unreadable(self, column: str) -> bool:
        import pyarrow.types as kinds

        kind = self._types().get(column)
        return kind is None or kinds.is_temporal(kind) or kinds.is_decimal(kind)

    def _draw(self, views: Mapping[str, View], places: Sequence[int]) -> str | None:
        """Synthetic values for customers with the same views; returns the release's id."""
        import pyarrow as pa

        plan, fields = self._plan, [f for f, view in views.items() if view is View.SYNTHETIC]
        release = self._gate.served(plan.scene.id).by_id(plan.release) if fields else None
        if release is None:
            return None
        subjects, key = [self._subjects[place] for place in places], self._gate.key
        if plan.scene.surrogates is Surrogates.CONDITIONAL:
            shown = {
                name: [self._values[name][place] for place in places]
                for name, view in views.items()
                if view is View.PERSONAL and plan.scene.fields[name].item.domain is not None
            }
            drawn = release.conditional(fields, pa.table(shown), key, subjects)
        else:
            drawn = release.surrogate(fields, key, subjects)
        for name in fields:
            for place, value in zip(places, drawn[name].to_pylist(), strict=True):
                self._values[name][place] = value
        return release.id

    def _batch(self, verdicts: Sequence[Verdict]) -> Any:
        import pyarrow as pa

        columns = {
            CUSTOMER: pa.array(self._subjects, pa.string()),
            ALLOWED: pa.array([each.allowed for each in verdicts], pa.bool_()),
            REASON: pa.array([each.reason.value for each in verdicts], pa.string()),
        }
        for name in self._fields:
            columns[name] = self._column(name)
            columns[f"{name}.view"] = labelled([each.views[name] for each in verdicts])
        return pa.record_batch(columns)

    def _column(self, name: str) -> Any:
        """One field of all customers in the source's type, or as text where it is of several."""
        import pyarrow as pa

        values, types = self._values[name], self._types()
        coarser = self._plan.scene.fields[name].generalised_by
        kind = types.get(name)
        if coarser is not None and kind is not None and types.get(coarser) != kind:
            return pa.array([None if v is None else str(v) for v in values], pa.string())
        if kind is None:
            return pa.array(values)
        try:
            return pa.array(values, kind)
        except (pa.ArrowInvalid, pa.ArrowTypeError):  # a drawn number where the source has text
            return pa.array(values).cast(kind, safe=False)

    def _types(self) -> Mapping[str, Any]:
        """The Arrow types of the source's columns that an answer may have; none while it is down.

        Asked of the engine whether or not somebody granted anything.
        """
        if self._known_types is None:
            fields = self._plan.scene.fields
            coarser = (fields[each].generalised_by for each in self._fields)
            names = [*dict.fromkeys([*self._fields, *filter(None, coarser)])]
            try:
                with reported():
                    table = self._gate.source.everybody(names)
                    schema = table.schema().to_pyarrow()
                self._known_types = {name: schema.field(name).type for name in names}
            except SourceUnavailableError:
                self._known_types = {}
        return self._known_types


def labelled(views: Sequence[View]) -> Any:
    """A column of views. It can say which of them occur, and `withheld`, and no others."""
    import pyarrow as pa

    known = {each: code for code, each in enumerate(dict.fromkeys([View.WITHHELD, *views]))}
    codes = pa.array([known[each] for each in views], pa.int8())
    labels = pa.array([each.value for each in known], pa.string())
    return pa.DictionaryArray.from_arrays(codes, labels)


def _alike(verdicts: Sequence[Verdict]) -> list[list[int]]:
    """The places of customers with the same verdict, together."""
    together: dict[int, list[int]] = {}
    for place, each in enumerate(verdicts):
        together.setdefault(id(each), []).append(place)
    return [*together.values()]

"""Keeps agreement health up to date with the ledger, one report per customer's change.

Time, signals and erasures can change many customers at once; only then are all customers counted
again, in one vector pass over the consent bits.
"""

from collections import Counter
from collections.abc import Iterable

import numpy as np

from gate.state import bit_arrays, consent_bits
from gate.state.consent_index import ConsentIndex
from gate.state.followed import ConsentEntry
from ledger.events.envelope import Instruction, ScenePublished, SignalReported
from steward.agreements.health import (
    Advice,
    AgreementHealth,
    HealthReport,
    HealthReports,
    Thresholds,
)

NEVER = 1 << 62
NOTHING = HealthReport(0, 0, 0, 0, 0)


class RunningHealth:
    """The reports of all customers and their sum. Not thread-safe: hold the gate's lock."""

    def __init__(
        self, health: AgreementHealth, limits: Thresholds, state: ConsentIndex, minute: int
    ) -> None:
        self._health, self._limits = health, limits
        self.recounts = 0  # number of full recounts
        self._changed: dict[int, HealthReport] = {}  # by row, since the last full recount
        self._advised: Counter[Advice] = Counter()
        self._until = NEVER
        self._total = HealthReport(0, 0, 0, 0, 0)
        self._counted: HealthReports
        self._people = self._replays = self._ended = 0
        self._recount(state, minute)

    def report(self, subject: str) -> HealthReport | None:
        """The customer's report; None without any instruction."""
        row = self._state.subjects.row(subject)
        return None if row is None else self._of(row)

    def total(self) -> HealthReport:
        """The sum of all reports."""
        return self._total

    def advised(self) -> dict[Advice, int]:
        """The number of customers that each advice applies to."""
        return {advice: self._advised[advice] for advice in Advice}

    def __len__(self) -> int:
        return self._people

    def follow(self, entries: Iterable[ConsentEntry], state: ConsentIndex, minute: int) -> None:
        """Apply the entries since the last call; `state` must have applied them already."""
        changed: dict[str, None] = {}
        moved = not self._since <= minute < self._until
        if state is not self._state or state.replays != self._replays:
            moved = True
        else:
            self._forget(state)
        for entry in entries:
            match entry.event:
                case Instruction(subject=subject):
                    changed[subject] = None
                case SignalReported() | ScenePublished():
                    moved = True
                case _:
                    pass
        if moved or self._stale != self._staleness(state, minute):
            self._recount(state, minute)
        else:
            for subject in changed:
                self._change(state, subject, minute)

    def _change(self, state: ConsentIndex, subject: str, minute: int) -> None:
        if (row := state.subjects.row(subject)) is None:
            return  # erased meanwhile
        report = self._health.report(state, subject, minute)
        self._replace(row, report)
        ends = (consent_bits.expiry(state.bits(scene, subject)) for scene in self._health.scenes)
        self._until = min([self._until, *(end for end in ends if end > minute)])

    def _of(self, row: int) -> HealthReport | None:
        if (changed := self._changed.get(row)) is not None:
            return changed
        return self._counted.row(row) if row < len(self._counted) else None

    def _replace(self, row: int, report: HealthReport | None) -> None:
        """Count this report of a customer instead of the one before; None: the customer is gone."""
        before = self._of(row)
        self._people += (report is not None) - (before is not None)
        self._total = self._total + (report or NOTHING) - (before or NOTHING)
        self._advised.subtract(before.advice(self._limits) if before else ())
        self._advised.update(report.advice(self._limits) if report else ())
        if report is None:
            self._changed.pop(row, None)
        else:
            self._changed[row] = report

    def _forget(self, state: ConsentIndex) -> None:
        """Stop counting customers who were erased since the last call."""
        for row in state.ended[self._ended :]:
            self._replace(row, None)
        self._ended = len(state.ended)

    def _recount(self, state: ConsentIndex, minute: int) -> None:
        self._state, self._replays, self._ended = state, state.replays, len(state.ended)
        self._counted = self._health.everybody(state, minute)
        self._people = len(self._counted)
        self._changed = {}
        self._total = self._counted.total()
        concerned = self._counted.advised(self._limits)
        self._advised = Counter({advice: int(rows.sum()) for advice, rows in concerned.items()})
        for row in state.empty_rows():
            self._replace(row, None)
        self._stale = self._staleness(state, minute)
        self._since, self._until = minute, self._first_end(state, minute)
        self.recounts += 1

    def _first_end(self, state: ConsentIndex, minute: int) -> int:
        """The first minute in which any grant expires."""
        first = NEVER
        for scene in self._health.scenes:
            ends = bit_arrays.expiries(state.all_bits(scene))
            coming = ends[ends > np.uint64(minute)]
            first = min(first, int(coming.min())) if len(coming) else first
        return first

    def _staleness(self, state: ConsentIndex, minute: int) -> dict[str, int]:
        return {scene: state.stale(scene, minute) for scene in self._health.scenes}

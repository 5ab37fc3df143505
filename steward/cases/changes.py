"""Detects lost consent in the consent log: withdrawals, narrower grants, expiries, freezes.

`ChangeWatch` applies the log entry by entry and reports which active fields are lost at which
entry or minute. Time is an argument and moves forward only: between two entries it advances to the
minute of the second, so following the log late reports the same changes as following it at once.
The rules are the gate's: see gate/state/consent_index.py and gate/decision/decide.py.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from gate.contracts.scene import Scene
from gate.decision import decide
from gate.state import bit_arrays, consent_bits
from gate.state.consent_index import ConsentIndex
from gate.state.followed import ConsentEntry, ErasureLog
from ledger.events.envelope import (
    Instruction,
    SignalReported,
    SourceDeleted,
    SubjectErased,
    Withdrawn,
)
from ledger.vault.owners import Erasures

Rows = npt.NDArray[np.bool_]  # one truth value per row of the consent state
NEVER = consent_bits.LAST_MINUTE + 1


class ChangeKind(StrEnum):
    WITHDRAWAL = "withdrawal"  # the customer withdrew fields
    NARROWING = "narrowing"  # a new grant has fewer fields
    EXPIRY = "expiry"  # the grant expired
    FREEZE = "freeze"  # a trigger froze the scene
    MASS_EXPORT = "mass-export"  # an alert of the gate: a large read, no lost consent
    POLICY_MISMATCH = "policy-mismatch"  # an alert of the gate: it suspended the scene


@dataclass(frozen=True, slots=True)
class ConsentChange:
    """Consent for `fields` of `scene` was lost; (): for all fields.

    `index`: the log entry that caused it; None for a missing signal. `subjects`: the customers, for
    looking up names to mask; never stored. `before`: the number of customers with an active grant
    in the scene just before.
    """

    scene: str
    kind: ChangeKind
    index: int | None
    minute: int
    subjects: tuple[str, ...]
    fields: tuple[str, ...]
    before: int


class ChangeWatch:
    """Reports changes after `size` entries and `minute`. Not thread-safe.

    Its state depends on the log prefix and the minute only, so a caller that stores both can resume
    from there.
    """

    def __init__(
        self,
        scenes: Mapping[str, Scene],
        ledger: ErasureLog,
        size: int = 0,
        minute: int = 0,
        start: ConsentIndex | None = None,
    ) -> None:
        """`start`: a consent state at an earlier size of the same ledger, for a fast start (see
        gate.state.snapshot). The watch takes ownership of it."""
        self._offered, self._ledger = scenes, ledger
        self._scenes = {scene.id: scene for scene in scenes.values() if not scene.locked}
        self.size, self.minute, self._next = size, minute, NEVER
        self._live: dict[str, int] = {}
        self._fold(size, start)

    def entry(self, entry: ConsentEntry, now: datetime) -> list[ConsentChange]:
        """The changes up to the entry's time, and those it causes. Its time is capped at `now`."""
        event, self.size = entry.event, entry.index + 1
        if isinstance(event, SubjectErased):
            self._state.keep_up(_Prefix(self._ledger, self.size))
            self._look_ahead()
            return []
        if self._state.begins_again(event):  # a customer who was erased by an earlier version
            self._fold(self.size)
            return []
        if not isinstance(event, (Instruction, SignalReported)):
            self._state.catch_up(_Single(entry))
            return []
        passed = self.until(min(consent_bits.minute(event.at), consent_bits.minute(now)))
        if isinstance(event, SignalReported):
            return [*passed, *self._signal(entry)]
        return [*passed, *self._instruction(entry, event)]

    def until(self, minute: int) -> list[ConsentChange]:
        """The expiries and freezes up to `minute`; an earlier minute has no effect."""
        if minute <= self.minute:
            return []
        since, self.minute = self.minute, minute
        if minute < self._next:
            return []  # nothing ends in between: the common case
        changes = [each for scene in self._scenes for each in self._passing(scene, since)]
        self._look_ahead()
        return changes

    def _passing(self, scene: str, since: int) -> Iterator[ConsentChange]:
        all_bits, before = self._state.all_bits(scene), self._count(scene)
        was, live = _live(all_bits, since), _live(all_bits, self.minute)
        for row in np.flatnonzero(was & ~live).tolist():
            index = int(self._state.indexes(scene)[row])
            yield self._change(scene, ChangeKind.EXPIRY, index, [row], (), before)
        stopped = bit_arrays.frozen(all_bits, self._state.stale(scene, since))
        stops = bit_arrays.frozen(all_bits, self._state.stale(scene, self.minute))
        rows = np.flatnonzero(was & live & ~stopped & stops).tolist()
        if rows:
            yield self._change(scene, ChangeKind.FREEZE, None, rows, (), before)

    def _signal(self, entry: ConsentEntry) -> Iterator[ConsentChange]:
        """The freezes that one signal report causes, in one vector comparison."""
        readable = {scene: self._readable(scene) for scene in self._scenes}
        self._state.catch_up(_Single(entry))
        for scene, could in readable.items():
            rows = np.flatnonzero(could & ~self._readable(scene)).tolist()
            if rows:
                before = self._count(scene)
                yield self._change(scene, ChangeKind.FREEZE, entry.index, rows, (), before)
        self._look_ahead()

    def _instruction(self, entry: ConsentEntry, event: Instruction) -> Iterator[ConsentChange]:
        deleted, subject = isinstance(event.act, SourceDeleted), event.subject
        scenes = [each for each in self._scenes if deleted or each == event.scene]
        before = [(self._state.bits(each, subject), self._count(each)) for each in scenes]
        self._state.catch_up(_Single(entry))
        for scene, (was, count) in zip(scenes, before, strict=True):
            yield from self._of_scene(entry.index, event, scene, was, count)

    def _of_scene(
        self, index: int, event: Instruction, scene: str, was: int, before: int
    ) -> Iterator[ConsentChange]:
        """What an instruction changed in one scene; `was`, `before`: as it stood before."""
        subject, now = event.subject, self._state.bits(scene, event.subject)
        had, has = _fields(was, self.minute), _fields(now, self.minute)
        self._live[scene] += bool(has) - bool(had)
        if has:
            self._next = min(self._next, consent_bits.expiry(now))
        fields = () if not has else self._names(scene, had & ~has)
        if had & ~has:
            withdraws = isinstance(event.act, Withdrawn | SourceDeleted)
            kind = ChangeKind.WITHDRAWAL if withdraws else ChangeKind.NARROWING
            yield ConsentChange(scene, kind, index, self.minute, (subject,), fields, before)
        elif had and self._frozen(scene, now) and not self._frozen(scene, was):
            yield ConsentChange(
                scene, ChangeKind.FREEZE, index, self.minute, (subject,), (), before
            )

    def _change(
        self,
        scene: str,
        kind: ChangeKind,
        index: int | None,
        rows: list[int],
        fields: tuple[str, ...],
        before: int,
    ) -> ConsentChange:
        subjects = tuple(self._state.subjects[row] for row in rows)
        return ConsentChange(scene, kind, index, self.minute, subjects, fields, before)

    def _count(self, scene: str) -> int:
        """The customers with a live grant; 0, not known, where silence allows reads, too."""
        return 0 if self._scenes[scene].objectable else self._live[scene]

    def _frozen(self, scene: str, consent: int) -> bool:
        return decide.frozen(consent, self._state.stale(scene, self.minute))

    def _readable(self, scene: str) -> Rows:
        all_bits = self._state.all_bits(scene)
        frozen = bit_arrays.frozen(all_bits, self._state.stale(scene, self.minute))
        readable: Rows = _live(all_bits, self.minute) & ~frozen
        return readable

    def _names(self, scene: str, bits: int) -> tuple[str, ...]:
        names = self._scenes[scene].fields
        return tuple(name for place, name in enumerate(names) if bits & consent_bits.field(place))

    def _fold(self, size: int, start: ConsentIndex | None = None) -> None:
        usable = start is not None and start.size <= size
        self._state = start if start and usable else ConsentIndex(self._offered)
        self._state.keep_up(_Prefix(self._ledger, size))
        self._look_ahead()

    def _look_ahead(self) -> None:
        """Count active grants, and find the next minute in which time alone changes anything."""
        ends = [NEVER]
        for scene in self._scenes:
            all_bits = self._state.all_bits(scene)
            live = _live(all_bits, self.minute)
            self._live[scene] = int(live.sum())
            ends += [int(bit_arrays.expiries(all_bits[live]).min())] if live.any() else []
            ends += [end for end in self._ends_of_reports(scene) if end > self.minute]
        self._next = min(ends)

    def _ends_of_reports(self, scene: str) -> Iterator[int]:
        """The minutes in which reports become valid or invalid."""
        for place, trigger in enumerate(self._scenes[scene].triggers):
            if (report := self._state.reports.get((scene, place))) is not None:
                yield report.minute
                yield report.minute + int(trigger.fresh.total_seconds() // 60)


@dataclass(frozen=True, slots=True)
class _Prefix:
    """The first `size` entries of a log."""

    ledger: ErasureLog
    size: int

    def erasures(self, since: int) -> Erasures:
        return self.ledger.erasures(since)

    def follow(self, since: int) -> Iterator[ConsentEntry]:
        """The entries from `since` up to the end of the prefix."""
        for entry in self.ledger.follow(since):
            if entry.index < self.size:
                yield entry
            if entry.index + 1 >= self.size:
                return


@dataclass(frozen=True, slots=True)
class _Single:
    """A single entry, as a log that ends with it."""

    entry: ConsentEntry

    @property
    def size(self) -> int:
        return self.entry.index + 1

    def follow(self, since: int) -> Iterator[ConsentEntry]:  # noqa: ARG002 - it has but one
        return iter((self.entry,))


def _live(all_bits: consent_bits.BitsArray, minute: int) -> Rows:
    """By row, whether there is an unexpired grant, frozen or not."""
    live: Rows = bit_arrays.granting(all_bits) & (bit_arrays.expiries(all_bits) > np.uint64(minute))
    return live


def _fields(consent: int, minute: int) -> int:
    """The field bits of an unexpired grant, else 0."""
    return consent & consent_bits.ALL_FIELDS if consent_bits.expiry(consent) > minute else 0

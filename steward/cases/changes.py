"""What took data away from the company's uses: withdrawals, narrower grants, expiries, freezes.

A fold of the consent log that also says, entry by entry and minute by minute, whose live fields
were lost. Time is an argument and runs forward only: between two entries it runs to the minute of
the second, so a ledger that is followed late yields the changes that following it at once would
have. The rules are those of the gate: see gate/state/consent_index.py and gate/decision/decide.py.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from gate.contracts.scene import Scene
from gate.decision import decide, eligibility
from gate.state import consent_bits
from gate.state.consent_index import ConsentEntry, ConsentIndex, Followed
from ledger.events.envelope import Instruction, SignalReported, SubjectErased, Withdrawn

Rows = npt.NDArray[np.bool_]  # one truth value per row of the consent state
NEVER = consent_bits.LAST_MINUTE + 1
_EXPIRY = np.uint64(consent_bits.EXPIRY_SHIFT)
_FIELDS = np.uint64(consent_bits.FIELDS)


class ChangeKind(StrEnum):
    WITHDRAWAL = "withdrawal"  # the customer ended fields
    NARROWING = "narrowing"  # a new grant has fewer
    EXPIRY = "expiry"  # the grant's time is over
    FREEZE = "freeze"  # a trigger holds it
    MASS_EXPORT = "mass-export"  # the gate's own alert: nobody lost anything, much was read
    POLICY_MISMATCH = "policy-mismatch"  # the gate's own alert: it stopped the scene


@dataclass(frozen=True, slots=True)
class ConsentChange:
    """`fields` of `scene` were lost to the company, () being all of them.

    `index` is the log entry that it rests on; None when a signal went missing. `subjects` are
    whose fields; they are for finding a name to mask, and are never stored. `before`: how many
    customers had a live grant in the scene just before.
    """

    scene: str
    kind: ChangeKind
    index: int | None
    minute: int
    subjects: tuple[str, ...]
    fields: tuple[str, ...]
    before: int


class ChangeWatch:
    """The consent state as of `size` entries and `minute`, and what is lost from there on.

    Equal prefixes and minutes make equal watches, so whoever stores both can begin again there.
    Not thread-safe.
    """

    def __init__(
        self,
        scenes: Mapping[str, Scene],
        ledger: Followed,
        size: int = 0,
        minute: int = 0,
        start: ConsentIndex | None = None,
    ) -> None:
        """`start` is a state that has followed the same ledger part of the way, for a quick start;
        it is used up. See gate.state.snapshot."""
        self._offered, self._ledger = scenes, ledger
        self._scenes = {scene.id: scene for scene in scenes.values() if not scene.locked}
        self.size, self.minute, self._next = size, minute, NEVER
        self._live: dict[str, int] = {}
        self._fold(size, start)

    def entry(self, entry: ConsentEntry, now: datetime) -> list[ConsentChange]:
        """The changes up to the entry's own time and those it makes; `now` bounds its claim."""
        event, self.size = entry.event, entry.index + 1
        if isinstance(event, SubjectErased):
            self._fold(self.size)  # only a replay knows whose entries still open
            return []
        if not isinstance(event, (Instruction, SignalReported)):
            self._state.catch_up(_Single(entry))
            return []
        passed = self.until(min(consent_bits.minute(event.at), consent_bits.minute(now)))
        if isinstance(event, SignalReported):
            return [*passed, *self._signal(entry)]
        return [*passed, *self._instruction(entry, event)]

    def until(self, minute: int) -> list[ConsentChange]:
        """What expires or freezes by the mere passing of time. It does not run backwards."""
        if minute <= self.minute:
            return []
        since, self.minute = self.minute, minute
        if minute < self._next:
            return []  # nothing ends in between: the usual case, and it must be cheap
        changes = [each for scene in self._scenes for each in self._passing(scene, since)]
        self._look_ahead()
        return changes

    def _passing(self, scene: str, since: int) -> Iterator[ConsentChange]:
        words, before = self._state.all_bits(scene), self._live[scene]
        was, live = _live(words, since), _live(words, self.minute)
        for row in np.flatnonzero(was & ~live).tolist():
            index = int(self._state.indexes(scene)[row])
            yield self._change(scene, ChangeKind.EXPIRY, index, [row], (), before)
        stopped = eligibility.frozen(words, self._state.stale(scene, since))
        stops = eligibility.frozen(words, self._state.stale(scene, self.minute))
        rows = np.flatnonzero(was & live & ~stopped & stops).tolist()
        if rows:
            yield self._change(scene, ChangeKind.FREEZE, None, rows, (), before)

    def _signal(self, entry: ConsentEntry) -> Iterator[ConsentChange]:
        """Whom one report freezes: a vector comparison, whoever they are."""
        readable = {scene: self._readable(scene) for scene in self._scenes}
        self._state.catch_up(_Single(entry))
        for scene, could in readable.items():
            rows = np.flatnonzero(could & ~self._readable(scene)).tolist()
            if rows:
                before = self._live[scene]
                yield self._change(scene, ChangeKind.FREEZE, entry.index, rows, (), before)
        self._look_ahead()

    def _instruction(self, entry: ConsentEntry, event: Instruction) -> Iterator[ConsentChange]:
        scene, subject = event.scene, event.subject
        if scene is None or scene not in self._scenes:
            self._state.catch_up(_Single(entry))
            return
        was, before = self._state.bits(scene, subject), self._live[scene]
        self._state.catch_up(_Single(entry))
        now = self._state.bits(scene, subject)
        had, has = _fields(was, self.minute), _fields(now, self.minute)
        self._live[scene] += bool(has) - bool(had)
        if has:
            self._next = min(self._next, now >> consent_bits.EXPIRY_SHIFT)
        fields = () if not has else self._names(scene, had & ~has)
        if had & ~has:
            kind = (
                ChangeKind.WITHDRAWAL if isinstance(event.act, Withdrawn) else ChangeKind.NARROWING
            )
            yield ConsentChange(scene, kind, entry.index, self.minute, (subject,), fields, before)
        elif had and self._frozen(scene, now) and not self._frozen(scene, was):
            yield ConsentChange(
                scene, ChangeKind.FREEZE, entry.index, self.minute, (subject,), (), before
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

    def _frozen(self, scene: str, held: int) -> bool:
        return decide.frozen(held, self._state.stale(scene, self.minute))

    def _readable(self, scene: str) -> Rows:
        words = self._state.all_bits(scene)
        frozen = eligibility.frozen(words, self._state.stale(scene, self.minute))
        readable: Rows = _live(words, self.minute) & ~frozen
        return readable

    def _names(self, scene: str, bits: int) -> tuple[str, ...]:
        names = self._scenes[scene].fields
        return tuple(name for place, name in enumerate(names) if bits >> place & 1)

    def _fold(self, size: int, start: ConsentIndex | None = None) -> None:
        usable = start is not None and start.size <= size
        self._state = start if start and usable else ConsentIndex(self._offered)
        self._state.catch_up(_Prefix(self._ledger, size))
        self._look_ahead()

    def _look_ahead(self) -> None:
        """Count who is live, and find the next minute in which time alone changes anything."""
        ends = [NEVER]
        for scene in self._scenes:
            words = self._state.all_bits(scene)
            live = _live(words, self.minute)
            self._live[scene] = int(live.sum())
            ends += [int((words[live] >> _EXPIRY).min())] if live.any() else []
            ends += [end for end in self._ends_of_reports(scene) if end > self.minute]
        self._next = min(ends)

    def _ends_of_reports(self, scene: str) -> Iterator[int]:
        """When each report begins to count and when it no longer does."""
        for place, trigger in enumerate(self._scenes[scene].triggers):
            if (report := self._state.reports.get((scene, place))) is not None:
                yield report.minute
                yield report.minute + int(trigger.fresh.total_seconds() // 60)


@dataclass(frozen=True, slots=True)
class _Prefix:
    """The first `size` entries of a log."""

    ledger: Followed
    size: int

    def follow(self, since: int) -> Iterator[ConsentEntry]:
        """Takes nothing beyond the prefix, so that whoever follows on need not go back."""
        for entry in self.ledger.follow(since):
            if entry.index < self.size:
                yield entry
            if entry.index + 1 >= self.size:
                return


@dataclass(frozen=True, slots=True)
class _Single:
    """One entry, as the end of a log."""

    entry: ConsentEntry

    @property
    def size(self) -> int:
        return self.entry.index + 1

    def follow(self, since: int) -> Iterator[ConsentEntry]:  # noqa: ARG002 - it has but one
        return iter((self.entry,))


def _live(words: consent_bits.BitsArray, minute: int) -> Rows:
    """Who has a grant that has not ended, frozen or not."""
    live: Rows = ((words & _FIELDS) != 0) & ((words >> _EXPIRY) > np.uint64(minute))
    return live


def _fields(held: int, minute: int) -> int:
    """The field bits of a grant that has not ended."""
    return held & consent_bits.FIELDS if held >> consent_bits.EXPIRY_SHIFT > minute else 0

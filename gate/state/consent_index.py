"""Current consent state: the consent bits of every customer in every scene.

The state is computed from the consent log alone: it can be dropped at any time and rebuilt by
replay. `size` says how many entries it has applied. Not thread-safe: the gate holds a lock around
`catch_up`, so readers see the state either before or after an entry.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from gate.contracts import versions
from gate.contracts.scene import Scene
from gate.contracts.triggers import ReportedSignal, Thresholds, counts, crossed, slot
from gate.contracts.versions import Version
from gate.state import consent_bits
from gate.state.consent_bits import BitsArray
from gate.state.subjects import NOBODY, Subjects
from ledger.events.envelope import (
    Granted,
    Imported,
    Instruction,
    PublicEvent,
    ScenePublished,
    SignalReported,
    SubjectErased,
    TriggerCleared,
    TriggerSet,
    Withdrawn,
)
from ledger.vault.owners import Erasures

Indexes = npt.NDArray[np.uint32]
_T = TypeVar("_T", bound=np.generic)
NEVER = 0xFFFFFFFF  # index where no log entry has set the bits

_FIRST_ROWS = 1024
_DOUBLED = 1 << 20  # rows: up to here full arrays double, beyond they grow by a quarter
_MAX_CHANGES = 65_536  # per scene, remembered row by row


@dataclass(frozen=True, slots=True)
class Triggers:
    """Trigger state by (scene, slot): customers' thresholds in row order, and the last report.

    `published`: the latest version of each scene's contract in the log.
    """

    thresholds: Mapping[tuple[str, int], Thresholds]
    reports: Mapping[tuple[str, int], ReportedSignal]
    published: Mapping[str, Version]


class StateChanges:
    """The most recently changed rows of a scene in order, and the number of all changes."""

    def __init__(self) -> None:
        self._before = 0  # number of changes no longer remembered
        self._rows: list[int] = []

    @property
    def count(self) -> int:
        return self._before + len(self._rows)

    def since(self, count: int) -> Sequence[int] | None:
        """The rows changed after the first `count` changes; None: any row may have changed."""
        return self._rows[count - self._before :] if count >= self._before else None

    def one(self, row: int) -> None:
        if len(self._rows) == _MAX_CHANGES:
            self._before += len(self._rows)
            self._rows = []
        self._rows.append(row)

    def every(self) -> None:
        self._before += len(self._rows) + 1
        self._rows = []


class ConsentEntry(Protocol):
    @property
    def index(self) -> int: ...
    @property
    def event(self) -> Instruction | PublicEvent: ...


class Followed(Protocol):
    """A consent log that yields its entries in log order, from any process."""

    @property
    def size(self) -> int: ...
    def follow(self, since: int) -> Iterator[ConsentEntry]: ...


class ErasureLog(Followed, Protocol):
    """A consent log that also tells who was erased."""

    def erasures(self, since: int) -> Erasures:
        """Customers who were erased after the first `since` lines of the erasure list."""
        ...


class ConsentIndex:
    """Consent bits by scene and row, and the index of the log entry that last set them.

    A row is a customer's number, in the order of first instructions: see gate.state.subjects.
    """

    def __init__(self, scenes: Mapping[str, Scene]) -> None:
        self.size = 0  # entries of the consent log applied so far
        self.erasures = 0  # lines of the erasure list applied so far
        self._unannounced = 0  # of these, those whose entry in the log was not applied yet
        self.replays = 0
        self.scenes = scenes
        self._changes = {scene: StateChanges() for scene in scenes}
        self._clear()

    @classmethod
    def resumed(
        cls,
        scenes: Mapping[str, Scene],
        size: int,
        subjects: Subjects,
        all_bits: Mapping[str, BitsArray],
        indexes: Mapping[str, Indexes],
        triggers: Triggers,
        erasures: int = 0,
    ) -> "ConsentIndex":
        """Restore the state after `size` entries from a snapshot (gate.state.snapshot).

        The arrays have at least as many rows as there are subjects.
        """
        state = cls(scenes)
        state.size, state.erasures = size, erasures
        state._subjects = subjects
        state._words, state._indexes = dict(all_bits), dict(indexes)
        state.thresholds, state.reports = dict(triggers.thresholds), dict(triggers.reports)
        state.published = dict(triggers.published)
        state._view()
        return state

    @property
    def people(self) -> int:
        """The number of rows."""
        return len(self._subjects)

    def changes(self, scene: str) -> StateChanges:
        """The changes of a scene's bits; the count continues when the state is rebuilt."""
        return self._changes[scene]

    @property
    def subjects(self) -> Subjects:
        """Subject of each row. Do not modify."""
        return self._subjects

    def bits(self, scene: str, subject: str) -> int:
        row = self._hot.get(subject)
        if row is None:
            row = self._subjects.place(subject)
        return self._fast[scene][row] if row >= 0 else 0

    def index(self, scene: str, subject: str) -> int | None:
        """Index of the log entry that last changed the subject's consent in the scene."""
        return self.bits_and_entry(scene, subject)[1]

    def bits_and_entry(self, scene: str, subject: str) -> tuple[int, int | None]:
        """The subject's consent bits in the scene, and the entry that last changed them."""
        row = self._hot.get(subject)
        if row is None:
            row = self._subjects.place(subject)
        if row == NOBODY:
            return 0, None
        index = self._fast_indexes[scene][row]
        return self._fast[scene][row], None if index == NEVER else index

    def stale(self, scene: str, minute: int) -> int:
        """The triggers (as armed bits) without a valid signal at `minute`."""
        bits = 0
        for place, trigger in enumerate(self.scenes[scene].triggers):
            if not counts(trigger, self.reports.get((scene, place)), minute):
                bits |= 1 << consent_bits.ARMED_SHIFT + place
        return bits | consent_bits.ARMED & ~consent_bits.offered(len(self.scenes[scene].triggers))

    def superseded(self, scene: str, subject: str) -> bool:
        """Whether the subject's grant was given before the scene's contract was widened."""
        bits = self.bits(scene, subject)
        return (
            bool(bits & consent_bits.FIELDS)
            and bits >> consent_bits.EXPIRY_SHIFT == consent_bits.SUPERSEDED
        )

    def all_bits(self, scene: str) -> BitsArray:
        """Consent bits of all customers in row order; a view that `catch_up` may change."""
        return self._words[scene][: len(self._subjects)]

    def indexes(self, scene: str) -> Indexes:
        """By row, the log entry that last set the bits; NEVER where there is none."""
        return self._indexes[scene][: len(self._subjects)]

    def catch_up(self, ledger: Followed) -> None:
        """Apply the ledger's entries beyond `size`; replay the whole ledger if one is an erasure.

        Raises the ledger's errors; the entries applied until then stay applied, and `size` counts
        them.
        """
        since, upto = self.size, ledger.size
        if since == upto:
            return
        if self._follow(ledger) and since:
            self._clear()  # a customer was erased: only a replay shows which entries still decrypt
            self._follow(ledger)
        self.size = max(self.size, upto)  # erased entries at the end are skipped by `follow`

    def keep_up(self, ledger: ErasureLog) -> None:
        """As `catch_up`, but forget erased customers one by one instead of a replay.

        Erasures are read after the size, and entries only up to it. So whatever an erased customer
        gave is forgotten before anything is applied that they gave when they came back. If the
        log has more erasures than the list, as with a restored key store, everything is replayed.
        """
        if (upto := ledger.size) == self.size:
            return
        since, erasures = self.size, ledger.erasures(self.erasures)
        self._forget(erasures)
        for entry in ledger.follow(self.size):
            if entry.index >= upto:
                break
            if self.begins_again(entry.event):  # erased by an earlier version, and back
                self._clear(erasures.key)
                self.keep_up(ledger)
                return
            self._apply(entry)
            self.size = entry.index + 1
            self._unannounced -= isinstance(entry.event, SubjectErased)
        self.size = max(self.size, upto)
        if self._unannounced < 0 and since:
            self._clear(erasures.key)
            self.keep_up(ledger)
        elif not since:
            self._unannounced = 0  # nobody who was erased before is among the rows

    def _forget(self, erasures: Erasures) -> None:
        if self._subjects.key != erasures.key:  # a replay gives the names their marks
            self._clear(erasures.key)
        for mark in erasures.marks:
            self._end(self._subjects.end(mark))
            self._unannounced += 1
        self.erasures = erasures.upto

    def numbered(self, rows: npt.NDArray[_T]) -> npt.NDArray[_T]:
        """Values by row, without the rows of erased customers: as a replay numbers customers."""
        live = self._subjects.live()
        return rows if live is None else rows[live]

    def empty_rows(self) -> list[int]:
        """The rows of customers who were erased."""
        live = self._subjects.live()
        return [] if live is None else [int(row) for row in np.flatnonzero(~live)]

    def _end(self, row: int) -> None:
        if row == NOBODY:
            return
        self.ended.append(row)
        for scene in self.scenes:
            self._put(scene, row, 0, NEVER)
        for thresholds in self.thresholds.values():
            thresholds[row] = 0

    def _follow(self, ledger: Followed) -> bool:
        """Apply new entries; return whether one of them erases a customer."""
        erased = False
        for entry in ledger.follow(self.size):
            erased = erased or self._erases(entry.event)
            self._apply(entry)
            self.size = entry.index + 1
        return erased

    def _erases(self, event: Instruction | PublicEvent) -> bool:
        """Whether the event erases a customer.

        A known customer who starts again at sequence number 1 has been erased, too, although the
        log has no erasure event yet.
        """
        match event:
            case SubjectErased():
                return True
            case _:
                return self.begins_again(event)

    def begins_again(self, event: Instruction | PublicEvent) -> bool:
        """Whether a known customer gives a first instruction: they were erased, and came back."""
        return isinstance(event, Instruction) and event.seq == 1 and event.subject in self._subjects

    def _clear(self, key: bytes | None = None) -> None:
        self.size = 0
        for changes in self._changes.values():
            changes.every()
        self._bits = {
            scene.id: {name: 1 << n for n, name in enumerate(scene.fields)}
            for scene in self.scenes.values()
        }
        self._subjects = Subjects(key)
        self.replays += 1  # after each, customers have other rows
        self.ended: list[int] = []  # rows of customers who were erased since the last replay
        self._words = {scene: np.zeros(_FIRST_ROWS, np.uint64) for scene in self.scenes}
        self._indexes = {scene: np.zeros(_FIRST_ROWS, np.uint32) for scene in self.scenes}
        self.reports: dict[tuple[str, int], ReportedSignal] = {}
        self.published: dict[str, Version] = {}  # version of the active contract, by scene
        self._agreed: dict[tuple[str, Version], tuple[bool, int]] = {}
        self.thresholds = {
            (scene.id, place): np.zeros(_FIRST_ROWS, np.int64)
            for scene in self.scenes.values()
            for place in range(len(scene.triggers))
        }
        self._view()

    def _apply(self, entry: ConsentEntry) -> None:
        match entry.event:
            case Instruction(subject=subject, at=at, act=Granted(scene, fields, until)):
                self._grant(entry.index, subject, at, scene, fields, until)
            case Instruction(subject=subject, at=at, act=Imported(scene, fields, until)):
                self._grant(entry.index, subject, at, scene, fields, until)
            case Instruction(subject=subject, at=at, act=Withdrawn(scene, fields)):
                self._withdraw(entry.index, subject, at, scene, fields)
            case Instruction(subject=subject, act=TriggerSet(scene, template, signal, threshold)):
                self._arm(subject, scene, template, signal, threshold)
            case Instruction(subject=subject, act=TriggerCleared(scene, template, signal)):
                self._disarm(subject, scene, template, signal)
            case SignalReported(source=source, signal=signal, value=value, at=at):
                self._report(source, signal, ReportedSignal(value, consent_bits.minute(at)))
            case ScenePublished(scene=scene, version=text):
                self.published[scene] = versions.published(text)
            case _:  # other public acts and keys change no bits
                pass

    def _grant(
        self,
        index: int,
        subject: str,
        at: datetime,
        scene: str,
        fields: tuple[str, ...],
        until: datetime | None,
    ) -> None:
        if (contract := self.scenes.get(scene)) is None:
            return  # a scene that is no longer offered grants nothing
        version = self.published.get(scene, versions.NONE)
        holds, agreed = self._terms(contract, version)
        bits = self._mask(scene, fields) & agreed
        row = self._row(subject)
        triggers = self._fast[scene][row] & consent_bits.TRIGGERS
        given = (
            consent_bits.granted(bits, at, until, contract.longest)
            if holds
            else consent_bits.superseded(bits)
        )
        self._put(scene, row, given | triggers, index)

    def _withdraw(
        self, index: int, subject: str, at: datetime, scene: str, fields: tuple[str, ...] | None
    ) -> None:
        if scene not in self.scenes:
            return
        row = self._row(subject)
        gone = consent_bits.FIELDS if fields is None else self._mask(scene, fields)
        self._put(scene, row, consent_bits.without(self._fast[scene][row], gone, at), index)

    def _arm(self, subject: str, scene: str, template: str, signal: str, threshold: int) -> None:
        if (place := self._slot(scene, template, signal)) is None:
            return  # not offered by the contract; the portal refuses it before it is recorded
        row = self._row(subject)
        self.thresholds[scene, place][row] = threshold
        self._fast[scene][row] |= 1 << consent_bits.ARMED_SHIFT + place
        self._changes[scene].one(row)
        self._cross(scene, place, slice(row, row + 1))

    def _disarm(self, subject: str, scene: str, template: str, signal: str) -> None:
        if (place := self._slot(scene, template, signal)) is not None:
            row = self._row(subject)
            both = 1 << consent_bits.ARMED_SHIFT + place | 1 << consent_bits.CROSSED_SHIFT + place
            self._fast[scene][row] &= ~both
            self._changes[scene].one(row)

    def _report(self, source: str, signal: str, report: ReportedSignal) -> None:
        """Apply a signal report from the contract's source to all customers' triggers."""
        for scene, place in list(self.thresholds):
            trigger = self.scenes[scene].triggers[place]
            if (trigger.source, trigger.signal) == (source, signal):
                self.reports[scene, place] = report
                self._changes[scene].every()
                self._cross(scene, place, slice(None))

    def _cross(self, scene: str, place: int, rows: slice) -> None:
        """Set one trigger's crossed bit from its last report, in one vector comparison."""
        if (report := self.reports.get((scene, place))) is None:
            return  # without a report the trigger freezes the scene, whatever this bit is
        template = self.scenes[scene].triggers[place].template
        bit = np.uint64(1 << consent_bits.CROSSED_SHIFT + place)
        over = crossed(template, report.value, self.thresholds[scene, place][rows])
        all_bits = self._words[scene][rows]
        all_bits &= ~bit
        all_bits |= np.where(over, bit, np.uint64(0))

    def _slot(self, scene: str, template: str, signal: str) -> int | None:
        contract = self.scenes.get(scene)
        return None if contract is None else slot(contract.triggers, template, signal)

    def _terms(self, contract: Scene, version: Version) -> tuple[bool, int]:
        """Whether a grant made under contract version `held` is valid, and for which fields."""
        known = self._agreed.get((contract.id, version))
        if known is None:
            known = contract.holds(version), self._mask(contract.id, contract.agreed(version))
            self._agreed[contract.id, version] = known
        return known

    def _mask(self, scene: str, fields: tuple[str, ...]) -> int:
        """The bits of `fields`; fields that the contract no longer has are ignored."""
        bits = 0
        for field in fields:
            bits |= self._bits[scene].get(field, 0)
        return bits

    def _put(self, scene: str, row: int, value: int, index: int) -> None:
        self._fast[scene][row] = value
        self._changes[scene].one(row)
        self._fast_indexes[scene][row] = index

    def _row(self, subject: str) -> int:
        row = self._subjects.row(subject)
        if row is None:
            if len(self._subjects) == len(next(iter(self._words.values()))):
                self._grow()
            row = self._subjects.add(subject)
            for indexes in self._fast_indexes.values():
                indexes[row] = NEVER
        return row

    def _grow(self) -> None:
        """Enlarge the arrays with zeroed rows; untouched pages take no memory."""
        rows = len(self._subjects)
        more = rows + max(_FIRST_ROWS, rows if rows < _DOUBLED else rows // 4)
        for scene in self.scenes:
            self._words[scene] = _longer(self._words[scene], more)
            self._indexes[scene] = _longer(self._indexes[scene], more)
        for place, thresholds in self.thresholds.items():
            self.thresholds[place] = _longer(thresholds, more)
        self._view()

    def _view(self) -> None:
        """Cache memory views: they index three times faster than NumPy arrays, to plain ints."""
        self._hot = self._subjects.hot
        self._fast = {scene: memoryview(all_bits.data) for scene, all_bits in self._words.items()}
        self._fast_indexes = {
            scene: memoryview(indexes.data) for scene, indexes in self._indexes.items()
        }


def _longer(array: npt.NDArray[_T], rows: int) -> npt.NDArray[_T]:
    made = np.zeros(rows, array.dtype)
    made[: len(array)] = array
    return made

"""Current consent state: the consent bits of every customer in every scene.

The state is computed from the consent log alone: it can be dropped at any time and rebuilt by
replay. `size` says how many entries it has applied. Not thread-safe: the gate holds a lock around
`catch_up`, so readers see the state either before or after an entry.
"""

from datetime import datetime

import numpy as np

from gate.contracts import versions
from gate.contracts.scene import Scene
from gate.contracts.triggers import ReportedSignal, crossed, slot
from gate.contracts.versions import Version
from gate.state import bit_arrays, consent_bits
from gate.state.consent_rows import NEVER, ConsentRows
from gate.state.followed import ConsentEntry, ErasureLog, Followed
from gate.state.subjects import NOBODY
from ledger.events.acts import Limited
from ledger.events.envelope import (
    Granted,
    Imported,
    Instruction,
    PublicEvent,
    ScenePublished,
    SignalReported,
    SourceDeleted,
    SubjectErased,
    TriggerCleared,
    TriggerSet,
    Withdrawn,
)
from ledger.vault.owners import Erasures


class ConsentIndex(ConsentRows):
    """Applies the entries of a consent log to the rows of its customers."""

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
        if self._erased.upto < self.erasures:  # the state comes from a snapshot
            self._erased.learn(ledger.erasures(0))
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
        self._erased.learn(erasures)
        if self._subjects.key != erasures.key:  # a replay gives the names their marks
            self._clear(erasures.key)
        for mark in erasures.marks:
            self._end(self._subjects.end(mark))
            self._unannounced += 1
        self.erasures = erasures.upto

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

    def _apply(self, entry: ConsentEntry) -> None:
        match entry.event:
            case Instruction() as instruction:
                self._instruct(entry.index, instruction)
            case SignalReported(source=source, signal=signal, value=value, at=at):
                self._report(source, signal, ReportedSignal(value, consent_bits.minute(at)))
            case ScenePublished(scene=scene, version=text):
                self.published[scene] = versions.published(text)
            case _:  # other public acts change no bits
                pass

    def _instruct(self, index: int, instruction: Instruction) -> None:
        subject, at = instruction.subject, instruction.at
        match instruction.act:
            case Granted(scene, fields, until) | Imported(scene, fields, until):
                self._grant(index, subject, at, scene, fields, until)
            case Withdrawn(scene, fields):
                self._withdraw(index, subject, at, scene, fields)
            case TriggerSet(scene, template, signal, threshold):
                self._arm(subject, scene, template, signal, threshold)
            case TriggerCleared(scene, template, signal):
                self._disarm(subject, scene, template, signal)
            case Limited(scene, fields, until):
                self._limit(index, subject, at, scene, fields, until)
            case SourceDeleted():
                self._delete(index, subject, at)
            case _:  # acts on keys change no bits
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
        triggers = self._fast[scene][row] & consent_bits.ALL_TRIGGERS
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
        # As the reducer: to take an item out of what was never granted withdraws the whole scene.
        whole = fields is None or self._fast_indexes[scene][row] == NEVER
        gone = consent_bits.ALL_FIELDS if whole else self._mask(scene, fields or ())
        self._put(scene, row, consent_bits.without(self._fast[scene][row], gone, at), index)

    def _limit(
        self,
        index: int,
        subject: str,
        at: datetime,
        scene: str,
        fields: tuple[str, ...],
        until: datetime | None,
    ) -> None:
        if scene not in self.scenes:
            return
        row = self._row(subject)
        bits, unsaid = self._fast[scene][row], self._fast_indexes[scene][row] == NEVER
        left = 0 if unsaid else bits & self._mask(scene, fields)
        limited = consent_bits.limited(bits, left, until) if left else None
        gone = consent_bits.without(bits, consent_bits.ALL_FIELDS, at)
        self._put(scene, row, gone if limited is None else limited, index)

    def _delete(self, index: int, subject: str, at: datetime) -> None:
        """The company deleted the customer at its source: withdrawn in every scene, no triggers."""
        row = self._row(subject)
        for scene, contract in self.scenes.items():
            if not contract.locked:
                self._put(scene, row, consent_bits.withdrawn(at), index)
        for thresholds in self.thresholds.values():
            thresholds[row] = 0

    def _arm(self, subject: str, scene: str, template: str, signal: str, threshold: int) -> None:
        if (place := self._slot(scene, template, signal)) is None:
            return  # not offered by the contract; the portal refuses it before it is recorded
        row = self._row(subject)
        self.thresholds[scene, place][row] = threshold
        self._fast[scene][row] |= consent_bits.armed(place)
        self._changes[scene].one(row)
        self._cross(scene, place, slice(row, row + 1))

    def _disarm(self, subject: str, scene: str, template: str, signal: str) -> None:
        if (place := self._slot(scene, template, signal)) is not None:
            row = self._row(subject)
            both = consent_bits.armed(place) | consent_bits.crossed(place)
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
        over = crossed(template, report.value, self.thresholds[scene, place][rows])
        column, within = bit_arrays.column(self._words[scene], consent_bits.crossed(place))
        some, bit = column[rows], np.uint64(within)
        some &= ~bit
        some |= np.where(over, bit, np.uint64(0))

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

"""The state of consent as a table, for the company's warehouse: nothing that says who somebody is.

    scene          status        since                  version   pseudonym
    segmentation   allowed       2026-11-21 09:00 UTC   1.0.2     9f2c…

A row for each customer and scene about which they decided. `since` and `version`: of the decision
that the status rests on. The pseudonym is made with the customer's own data key: the same in each
export, other than in read logs and registers, and nobody can compute it once that key is destroyed.

status   allowed, partly-allowed (some items), frozen (by the customer's condition), expired,
         superseded (the contract allows more since), not-allowed (withdrawn, or objected)
"""

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

import numpy as np

from gate.contracts.scene import Scene
from gate.decision.decide import frozen
from gate.state import consent_bits
from gate.state.consent_index import ConsentIndex
from gate.state.consent_rows import NEVER
from gate.state.erased import ErasedIds
from gate.state.followed import ErasureLog
from ledger.events.envelope import Instruction, PublicEvent, ScenePublished
from ledger.reader import RecordedEvent

SIZE = 16  # bytes of a pseudonym


class ExportStatus(StrEnum):
    """What holds for one customer in one scene."""

    ALLOWED = "allowed"
    PARTLY = "partly-allowed"
    FROZEN = "frozen"
    EXPIRED = "expired"
    SUPERSEDED = "superseded"
    NOT_ALLOWED = "not-allowed"


@dataclass(frozen=True, slots=True)
class ConsentTableRow:
    """One customer's state in one scene."""

    scene: str
    status: ExportStatus
    since: datetime
    version: str  # of the contract that was active then; empty: none was published
    pseudonym: str


class ExportedLedger(ErasureLog, Protocol):
    """A consent log, with the customers' keys."""

    def read_log_tag(self, subject: str, log_origin: str, index: int) -> bytes: ...

    def announced(self) -> Iterator["RecordedEvent"]: ...


def pseudonym(ledger: ExportedLedger, origin: str, subject: str) -> str:
    """The customer's pseudonym in exports. Raises UnknownSubjectError without a data key."""
    return ledger.read_log_tag(subject, f"{origin}#warehouse", 0)[:SIZE].hex()


def make(
    ledger: ExportedLedger, scenes: Mapping[str, Scene], origin: str, at: datetime
) -> list[ConsentTableRow]:
    """The table as of `at`, in the order of scenes and pseudonyms. `origin`: of the consent log.

    Raises the ledger's errors.
    """
    state = ConsentIndex(scenes, ErasedIds.of(ledger))
    state.catch_up(ledger)
    decided = [
        (scene, subject, index)
        for scene in scenes.values()
        if not scene.locked
        for subject, index in _decisions(state, scene.id)
    ]
    times = _times(ledger, {index for _, _, index in decided})
    versions = _Versions(ledger)
    names = {subject: pseudonym(ledger, origin, subject) for _, subject, _ in decided}
    rows = [
        ConsentTableRow(
            scene.id,
            _status(scene, state, subject, consent_bits.minute(at)),
            times[index],
            versions.at(scene.id, index),
            names[subject],
        )
        for scene, subject, index in decided
        if index in times
    ]
    place = {name: number for number, name in enumerate(scenes)}
    return sorted(rows, key=lambda row: (place[row.scene], row.pseudonym))


def _decisions(state: ConsentIndex, scene: str) -> Iterator[tuple[str, int]]:
    indexes = np.asarray(state.indexes(scene))[: state.people]
    for row in np.flatnonzero(indexes != NEVER):
        yield state.subjects[int(row)], int(indexes[row])


def _status(scene: Scene, state: ConsentIndex, subject: str, minute: int) -> ExportStatus:
    bits = state.bits(scene.id, subject)
    every = sum(consent_bits.field(place) for place in range(len(scene.fields)))
    allowed, ends = bits & every, consent_bits.expiry(bits)
    if not allowed:
        return ExportStatus.NOT_ALLOWED
    if ends == consent_bits.SUPERSEDED:
        return ExportStatus.SUPERSEDED
    if ends <= minute:
        return ExportStatus.EXPIRED
    if frozen(bits, state.stale(scene.id, minute)):
        return ExportStatus.FROZEN
    return ExportStatus.ALLOWED if allowed == every else ExportStatus.PARTLY


def _times(ledger: ExportedLedger, indexes: set[int]) -> dict[int, datetime]:
    """When the instructions of these entries were given."""
    return {
        each.index: each.event.at
        for each in ledger.follow(0)
        if each.index in indexes and isinstance(each.event, Instruction)
    }


class _Versions:
    """The active version of each scene's contract, by the log."""

    def __init__(self, ledger: ExportedLedger) -> None:
        self._indexes: dict[str, list[int]] = {}
        self._versions: dict[str, list[str]] = {}
        for each in ledger.announced():
            event: Instruction | PublicEvent = each.event
            if isinstance(event, ScenePublished):
                self._indexes.setdefault(event.scene, []).append(each.index)
                self._versions.setdefault(event.scene, []).append(event.version)

    def at(self, scene: str, index: int) -> str:
        """Before the entry `index`; empty if no contract was published then."""
        earlier = bisect_left(self._indexes.get(scene, []), index)
        return self._versions[scene][earlier - 1] if earlier else ""

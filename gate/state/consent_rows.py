"""The arrays of the consent state: consent bits and log entries by scene and row.

A row is a customer's number, in the order of first instructions: see gate.state.subjects.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self, TypeVar

import numpy as np
import numpy.typing as npt

from gate.contracts.scene import Scene
from gate.contracts.triggers import ReportedSignal, Thresholds, counts
from gate.contracts.versions import Version
from gate.state import bit_arrays, consent_bits
from gate.state.consent_bits import BitsArray
from gate.state.erased import ErasedIds
from gate.state.state_changes import StateChanges
from gate.state.subjects import NOBODY, Subjects

Indexes = npt.NDArray[np.uint32]
_T = TypeVar("_T", bound=np.generic)
NEVER = 0xFFFFFFFF  # index where no log entry has set the bits

_FIRST_ROWS = 1024
_DOUBLED = 1 << 20  # rows: up to here full arrays double, beyond they grow by a quarter


@dataclass(frozen=True, slots=True)
class Triggers:
    """Trigger state by (scene, slot): customers' thresholds in row order, and the last report.

    `published`: the latest version of each scene's contract in the log.
    """

    thresholds: Mapping[tuple[str, int], Thresholds]
    reports: Mapping[tuple[str, int], ReportedSignal]
    published: Mapping[str, Version]


class ConsentRows:
    """Consent bits by scene and row, and the index of the log entry that last set them."""

    def __init__(self, scenes: Mapping[str, Scene], erased: ErasedIds | None = None) -> None:
        """`erased`: who was, for a state that follows a log by `catch_up`; `keep_up` asks it."""
        self._erased = erased or ErasedIds()
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
    ) -> Self:
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
        if row >= 0:
            return self._fast[scene][row]
        return self._unsaid[scene] and self._silent(scene, subject)

    def unsaid(self, scene: str) -> int:
        """The bits of a customer who has said nothing: not zero under legitimate interest.

        Of somebody who was `returned`, silence allows nothing.
        """
        return self._unsaid[scene]

    def returned(self, subject: str) -> bool:
        """Whether this id was erased: whoever has it now must be asked (specs/gate.md, G138)."""
        return subject in self._erased

    def silence_covers(self, scene: str, wanted: int) -> bool:
        """Whether all fields `wanted` (bits) may be read of a customer who has said nothing."""
        unsaid = self._unsaid[scene]
        return bool(unsaid) and not wanted & ~unsaid

    def index(self, scene: str, subject: str) -> int | None:
        """Index of the log entry that last changed the subject's consent in the scene."""
        return self.bits_and_entry(scene, subject)[1]

    def bits_and_entry(self, scene: str, subject: str) -> tuple[int, int | None]:
        """The subject's consent bits in the scene, and the entry that last changed them."""
        row = self._hot.get(subject)
        if row is None:
            row = self._subjects.place(subject)
        if row == NOBODY:
            return self._unsaid[scene] and self._silent(scene, subject), None
        index = self._fast_indexes[scene][row]
        return self._fast[scene][row], None if index == NEVER else index

    def stale(self, scene: str, minute: int) -> int:
        """The triggers (as armed bits) without a valid signal at `minute`."""
        bits = 0
        for place, trigger in enumerate(self.scenes[scene].triggers):
            if not counts(trigger, self.reports.get((scene, place)), minute):
                bits |= consent_bits.armed(place)
        return bits | self._slotless[scene]

    def superseded(self, scene: str, subject: str) -> bool:
        """Whether the subject's grant was given before the scene's contract was widened."""
        bits = self.bits(scene, subject)
        return (
            bool(bits & consent_bits.ALL_FIELDS)
            and consent_bits.expiry(bits) == consent_bits.SUPERSEDED
        )

    def all_bits(self, scene: str) -> BitsArray:
        """Consent bits of all customers in row order; a view that `catch_up` may change."""
        return self._words[scene][: len(self._subjects)]

    def indexes(self, scene: str) -> Indexes:
        """By row, the log entry that last set the bits; NEVER where there is none."""
        return self._indexes[scene][: len(self._subjects)]

    def empty_rows(self) -> list[int]:
        """The rows of customers who were erased."""
        live = self._subjects.live()
        return [] if live is None else [int(row) for row in np.flatnonzero(~live)]

    def _clear(self, key: bytes | None = None) -> None:
        self.size = 0
        for changes in self._changes.values():
            changes.every()
        self._bits = {
            scene.id: {name: consent_bits.field(n) for n, name in enumerate(scene.fields)}
            for scene in self.scenes.values()
        }
        # The armed bits of slots that a scene's words have and its contract does not use.
        self._slotless = {
            scene.id: _armed(_words(scene)) & ~consent_bits.offered(len(scene.triggers))
            for scene in self.scenes.values()
        }
        self._unsaid = {
            scene.id: consent_bits.unsaid(self._mask(scene.id, scene.unsaid))
            for scene in self.scenes.values()
        }
        self._subjects = Subjects(key)
        self.replays += 1  # after each, customers have other rows
        self.ended: list[int] = []  # rows of customers who were erased since the last replay
        self._words = {
            scene.id: bit_arrays.empty(_FIRST_ROWS, _words(scene)) for scene in self.scenes.values()
        }
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

    def _silent(self, scene: str, subject: str) -> int:
        bits = self._unsaid[scene]
        return 0 if bits and subject in self._erased else bits

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
            for scene, bits in self._unsaid.items():
                if bits:
                    self._fast[scene][row] = self._silent(scene, subject)
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
        self._fast = {scene: bit_arrays.by_row(each) for scene, each in self._words.items()}
        self._fast_indexes = {
            scene: memoryview(indexes.data) for scene, indexes in self._indexes.items()
        }


def _words(scene: Scene) -> int:
    return consent_bits.words(len(scene.fields), len(scene.triggers))


def _armed(words: int) -> int:
    """All armed bits of so many words."""
    return consent_bits.ALL_ARMED & (1 << consent_bits.WORD * words) - 1


def _longer(array: npt.NDArray[_T], rows: int) -> npt.NDArray[_T]:
    made = np.zeros((rows, *array.shape[1:]), array.dtype)
    made[: len(array)] = array
    return made

"""Whom the time or a signal may have changed, without any entry of theirs in the consent log.

Each is one comparison over the consent bits of a scene, as the gate makes it for its cohorts: of
the ends of grants once a minute, of armed conditions when a report came or became too old.
"""

from collections.abc import Iterator

import numpy as np

from gate.reads.point import Gate
from gate.state import bit_arrays
from gate.state.consent_index import ConsentIndex
from gate.state.subjects import SelectedNames


class Touched:
    """Remembers which signals were too old at the last look. Not thread-safe."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._stale: dict[str, int] = {}

    def customers(self, since: int, minute: int, *, reported: bool) -> list[str]:
        """The customers whose grants ended after minute `since` and up to `minute`, and those with
        an armed condition on a signal that may have changed; `reported`: whether a report came.
        """
        with self._gate.lock:
            state, _ = self._gate.current(0)
            selected = [
                *self._ended(state, since, minute),
                *self._conditional(state, minute, reported),
            ]
        return [*dict.fromkeys(name for each in selected for name in each.names())]

    def look_again(self) -> None:
        """Forget the last look: what it led to was not stored."""
        self._stale.clear()

    def _ended(self, state: ConsentIndex, since: int, minute: int) -> Iterator[SelectedNames]:
        if minute <= since:
            return
        for scene in _switched(state):
            all_bits = state.all_bits(scene)
            ends = bit_arrays.expiries(all_bits)
            over = (ends > np.uint64(since)) & (ends <= np.uint64(minute))
            if over.any():
                yield state.subjects.selected(over & bit_arrays.granting(all_bits))

    def _conditional(
        self, state: ConsentIndex, minute: int, reported: bool
    ) -> Iterator[SelectedNames]:
        for scene in _switched(state):
            if not state.scenes[scene].triggers:
                continue
            stale, before = state.stale(scene, minute), self._stale.get(scene)
            self._stale[scene] = stale
            if reported or stale != before:
                all_bits = state.all_bits(scene)
                armed = bit_arrays.armed(all_bits) & bit_arrays.granting(all_bits)
                yield state.subjects.selected(armed)


def _switched(state: ConsentIndex) -> list[str]:
    return [scene for scene, contract in state.scenes.items() if not contract.locked]

"""Whom the time or a signal may have changed, without any entry of theirs in the consent log.

Each is one comparison over the consent bits of a scene, as the gate makes it for its cohorts: of
the ends of grants once a minute, of armed conditions when a report came or became too old.
"""

from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from gate.reads.point import Gate
from gate.state import bit_arrays
from gate.state.consent_index import ConsentIndex
from gate.state.subjects import SelectedNames

Stale = Mapping[str, int]  # by scene: the triggers, as armed bits, whose signal is too old


def customers(
    gate: Gate, since: int, minute: int, before: Stale, *, reported: bool
) -> tuple[list[str], Stale]:
    """The customers whose grants ended after minute `since` and up to `minute`, and those with an
    armed condition on a signal that may have changed; and which signals are too old now.

    `before`: those that were too old at the last look. `reported`: whether a report came since.
    """
    with gate.lock:
        state, _ = gate.current(0)
        stale = {
            scene: state.stale(scene, minute)
            for scene in _switched(state)
            if state.scenes[scene].triggers
        }
        changed = [each for each in stale if reported or stale[each] != before.get(each)]
        selected = [*_ended(state, since, minute), *_conditional(state, changed)]
    return [*dict.fromkeys(name for each in selected for name in each.names())], stale


def _ended(state: ConsentIndex, since: int, minute: int) -> Iterator[SelectedNames]:
    if minute <= since:
        return
    for scene in _switched(state):
        all_bits = state.all_bits(scene)
        ends = bit_arrays.expiries(all_bits)
        over = (ends > np.uint64(since)) & (ends <= np.uint64(minute))
        if over.any():
            yield state.subjects.selected(over & bit_arrays.granting(all_bits))


def _conditional(state: ConsentIndex, scenes: Iterable[str]) -> Iterator[SelectedNames]:
    for scene in scenes:
        all_bits = state.all_bits(scene)
        yield state.subjects.selected(bit_arrays.armed(all_bits) & bit_arrays.granting(all_bits))


def _switched(state: ConsentIndex) -> list[str]:
    return [scene for scene, contract in state.scenes.items() if not contract.locked]

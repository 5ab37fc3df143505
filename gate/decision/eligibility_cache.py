"""Cohorts that are asked for again: kept until a word, the minute or a signal changes them.

A kept cohort is the one that `cohort.readable` gives, never an older one. What can change it:

    a word changed, or somebody is new   the state names the rows; only these are decided again
    the minute                           kept until a grant ends, or time goes back
    a signal stopped counting            part of the key
    contract, policy, fields             part of the key, as far as they matter: the bits asked for

See tests/gate/test_cohorts.py, which compares both after every step of random histories.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from gate.decision.eligibility import BLOCK, Cohort, readable
from gate.policy.compiled import Plan
from gate.state.consent_bits import EXPIRY_SHIFT, LAST_MINUTE, BitsArray
from gate.state.consent_index import ConsentIndex

MAX_BYTES = 64 << 20  # of all that are kept; a cohort takes a byte a customer
_Key = tuple[str, int, int]  # scene, bits asked for, triggers whose signals do not count


@dataclass(frozen=True, slots=True)
class _Kept:
    members: Cohort
    changes: int  # of the scene's words, that it has seen
    since: int  # minute
    until: int  # minute, not included


class Cohorts:
    """Keeps cohorts of one state. Not thread-safe: the gate holds its lock."""

    def __init__(self) -> None:
        self._kept: OrderedDict[_Key, _Kept] = OrderedDict()

    def readable(self, state: ConsentIndex, plan: Plan, wanted: int, minute: int) -> Cohort:
        """As `cohort.readable` of the state's words at `minute`. Nobody may write to it."""
        scene = plan.scene.id
        stale = state.stale(scene, minute)
        key = scene, wanted & ~plan.always, stale
        kept = self._kept.get(key)
        if kept is None or not kept.since <= minute < kept.until:
            kept = _whole(state, plan, wanted, minute, stale)
        elif kept.changes != state.changes(scene).count or len(kept.members) != state.people:
            kept = _mended(kept, state, plan, wanted, minute, stale)
        else:
            return kept.members
        self._keep(key, kept)
        return kept.members

    def _keep(self, key: _Key, kept: _Kept) -> None:
        kept.members.setflags(write=False)
        self._kept[key] = kept
        self._kept.move_to_end(key)
        most = max(1, MAX_BYTES // max(1, len(kept.members)))
        for old in [*islice(self._kept, max(0, len(self._kept) - most))]:
            del self._kept[old]


def _whole(state: ConsentIndex, plan: Plan, wanted: int, minute: int, stale: int) -> _Kept:
    scene = plan.scene.id
    words = state.all_bits(scene)
    members = readable(plan, words, wanted, minute, stale)
    forever = wanted & ~plan.always == 0
    until = LAST_MINUTE if forever else _first_end(words, minute)
    return _Kept(members, state.changes(scene).count, minute, until)


def _mended(
    kept: _Kept, state: ConsentIndex, plan: Plan, wanted: int, minute: int, stale: int
) -> _Kept:
    """Decide again only the rows that changed since; all of them where they are too many."""
    scene = plan.scene.id
    rows: Sequence[int] | None = state.changes(scene).since(kept.changes)
    before, words = len(kept.members), state.all_bits(scene)
    if rows is None or len(rows) > before // 8 or len(words) < before:
        return _whole(state, plan, wanted, minute, stale)
    members = np.empty(len(words), np.bool_)
    members[:before] = kept.members  # a copy: who holds the one before keeps it as it was
    members[before:] = readable(plan, words[before:], wanted, minute, stale)
    at = np.unique(np.array(rows, np.intp))
    members[at] = readable(plan, words[at], wanted, minute, stale)
    until = kept.until
    if wanted & ~plan.always:
        until = min(until, _first_end(words[at], minute), _first_end(words[before:], minute))
    return _Kept(members, state.changes(scene).count, minute, until)


def _first_end(words: BitsArray, minute: int) -> int:
    """The first minute after `minute` in which a grant ends, whatever it grants: until then time
    alone changes nobody. The last minute there is, if none ends."""
    if minute >= LAST_MINUTE:
        return minute + 1
    now = np.uint64((minute + 1) << EXPIRY_SHIFT)
    least = LAST_MINUTE << EXPIRY_SHIFT
    for at in range(0, len(words), BLOCK):
        left = words[at : at + BLOCK] - now  # what has ended goes below zero, to the far end
        least = min(least, int(left.min()) + int(now))
    return least >> EXPIRY_SHIFT

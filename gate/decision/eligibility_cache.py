"""Cache of cohorts, invalidated by changed consent bits, time and signals.

A cached cohort always equals what `eligibility.readable` returns. What can change it:

    changed bits, new customers   the state lists the rows; only these are decided again
    the minute                    valid until a grant expires, or time goes back
    a signal becomes invalid      part of the key
    contract, policy, fields      part of the key, as the requested bits

tests/gate/test_cohorts.py compares both after every step of random histories.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from gate.decision.eligibility import BLOCK, Cohort, readable
from gate.policy.compiled import Plan
from gate.state import bit_arrays
from gate.state.consent_bits import EXPIRY_SHIFT, LAST_MINUTE, BitsArray
from gate.state.consent_index import ConsentIndex

MAX_BYTES = 64 << 20  # of all cached cohorts; a cohort takes a byte per customer
_Key = tuple[str, int, int]  # scene, requested bits, triggers without a valid signal


@dataclass(frozen=True, slots=True)
class _CachedCohort:
    members: Cohort
    changes: int  # number of the scene's changes that it includes
    since: int  # minute from which it is valid
    until: int  # minute until which it is valid, exclusive


class Cohorts:
    """LRU cache of the cohorts of one state. Not thread-safe: the gate holds its lock."""

    def __init__(self) -> None:
        self._cache: OrderedDict[_Key, _CachedCohort] = OrderedDict()

    def readable(self, state: ConsentIndex, plan: Plan, wanted: int, minute: int) -> Cohort:
        """`eligibility.readable` of the state at `minute`, cached; a read-only array."""
        scene = plan.scene.id
        stale = state.stale(scene, minute)
        key = scene, wanted & ~plan.always, stale
        cached = self._cache.get(key)
        if cached is None or not cached.since <= minute < cached.until:
            cached = _whole(state, plan, wanted, minute, stale)
        elif cached.changes != state.changes(scene).count or len(cached.members) != state.people:
            cached = _mended(cached, state, plan, wanted, minute, stale)
        else:
            return cached.members
        self._store(key, cached)
        return cached.members

    def _store(self, key: _Key, cohort: _CachedCohort) -> None:
        cohort.members.setflags(write=False)
        self._cache[key] = cohort
        self._cache.move_to_end(key)
        most = max(1, MAX_BYTES // max(1, len(cohort.members)))
        for old in [*islice(self._cache, max(0, len(self._cache) - most))]:
            del self._cache[old]


def _whole(state: ConsentIndex, plan: Plan, wanted: int, minute: int, stale: int) -> _CachedCohort:
    scene = plan.scene.id
    all_bits = state.all_bits(scene)
    members = readable(plan, all_bits, wanted, minute, stale)
    forever = wanted & ~plan.always == 0
    until = LAST_MINUTE if forever else _first_end(all_bits, minute)
    return _CachedCohort(members, state.changes(scene).count, minute, until)


def _mended(
    cached: _CachedCohort, state: ConsentIndex, plan: Plan, wanted: int, minute: int, stale: int
) -> _CachedCohort:
    """Decide again only the rows that changed; all rows if too many changed."""
    scene = plan.scene.id
    rows: Sequence[int] | None = state.changes(scene).since(cached.changes)
    before, all_bits = len(cached.members), state.all_bits(scene)
    if rows is None or len(rows) > before // 8 or len(all_bits) < before:
        return _whole(state, plan, wanted, minute, stale)
    members = np.empty(len(all_bits), np.bool_)
    members[:before] = cached.members  # a copy: earlier callers still use the old array
    members[before:] = readable(plan, all_bits[before:], wanted, minute, stale)
    at = np.unique(np.array(rows, np.intp))
    members[at] = readable(plan, all_bits[at], wanted, minute, stale)
    until = cached.until
    if wanted & ~plan.always:
        until = min(until, _first_end(all_bits[at], minute), _first_end(all_bits[before:], minute))
    return _CachedCohort(members, state.changes(scene).count, minute, until)


def _first_end(all_bits: BitsArray, minute: int) -> int:
    """The first minute after `minute` in which any grant expires; LAST_MINUTE if none does.

    Until then, time alone changes no customer's decision.
    """
    if minute >= LAST_MINUTE:
        return minute + 1
    all_bits, now = bit_arrays.first(all_bits), np.uint64((minute + 1) << EXPIRY_SHIFT)
    least = LAST_MINUTE << EXPIRY_SHIFT
    for at in range(0, len(all_bits), BLOCK):
        left = all_bits[at : at + BLOCK] - now  # expired ones wrap around to large numbers
        least = min(least, int(left.min()) + int(now))
    return least >> EXPIRY_SHIFT

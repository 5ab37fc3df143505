"""The decision on everybody: the rule of `decide.personal` over all consent words at once.

tests/gate/test_cohort.py holds both to the same answers on random words.
"""

import numpy as np
import numpy.typing as npt

from gate.policy.compiled import Plan
from gate.state.consent_bits import (
    ARMED,
    ARMED_SHIFT,
    CROSSED_SHIFT,
    EXPIRY_SHIFT,
    FIELDS,
    LAST_MINUTE,
    BitsArray,
)

Cohort = npt.NDArray[np.bool_]  # one truth value per row of the state
BLOCK = 32_768  # words at a time


def readable(plan: Plan, words: BitsArray, wanted: int, minute: int, stale: int = ARMED) -> Cohort:
    """Whose fields `wanted` (bits) may all be read as personal data at `minute`.

    `stale`: the triggers (as armed bits) whose signal does not count.
    """
    members = np.empty(len(words), np.bool_)
    asked = wanted & ~plan.always
    if not asked:
        members[:] = True
        return members
    for at in range(0, len(words), BLOCK):
        _block(words[at : at + BLOCK], asked, minute, stale, members[at : at + BLOCK])
    return members


def _block(words: BitsArray, asked: int, minute: int, stale: int, members: Cohort) -> None:
    """As `readable`, of words few enough to stay in the processor's cache."""
    bits = words & np.uint64(asked | ARMED)
    np.equal(bits, np.uint64(asked), out=members)  # granted, and nothing armed
    armed = bits > np.uint64(FIELDS)
    if armed.any():
        granted = words & np.uint64(asked) == np.uint64(asked)
        np.logical_and(granted, ~frozen(words, stale), out=members)
    if minute >= LAST_MINUTE:
        members[:] = False
    else:
        members &= words >= np.uint64((minute + 1) << EXPIRY_SHIFT)


def frozen(words: BitsArray, stale: int = ARMED) -> Cohort:
    """Whose triggers freeze the scene; see `decide.frozen`."""
    stopping = words >> np.uint64(CROSSED_SHIFT - ARMED_SHIFT) | np.uint64(stale)
    stopped: Cohort = (words & np.uint64(ARMED) & stopping) != 0
    return stopped

"""The decision on everybody: the rule of `decide.personal` over all consent words at once.

tests/gate/test_cohort.py holds both to the same answers on random words.
"""

import numpy as np
import numpy.typing as npt

from gate.plan import Plan
from gate.word import ARMED, ARMED_SHIFT, CROSSED_SHIFT, EXPIRY_SHIFT

Words = npt.NDArray[np.uint64]  # one consent word per row of the state
Cohort = npt.NDArray[np.bool_]  # one truth value per row of the state


def readable(plan: Plan, words: Words, wanted: int, minute: int, stale: int = ARMED) -> Cohort:
    """Whose fields `wanted` (bits) may all be read as personal data at `minute`.

    `stale`: the triggers (as armed bits) whose signal does not count.
    """
    asked = np.uint64(wanted & ~plan.always)
    granted: Cohort = (words & asked) == asked
    if asked == 0:
        return granted
    live: Cohort = (words >> np.uint64(EXPIRY_SHIFT)) > np.uint64(minute)
    live &= granted
    live &= ~frozen(words, stale)
    return live


def frozen(words: Words, stale: int = ARMED) -> Cohort:
    """Whose triggers freeze the scene; see `decide.frozen`."""
    stopping = words >> np.uint64(CROSSED_SHIFT - ARMED_SHIFT) | np.uint64(stale)
    stopped: Cohort = (words & np.uint64(ARMED) & stopping) != 0
    return stopped

"""The access decision on all customers at once: `decide.personal`, vectorised over consent bits.

tests/gate/test_cohort.py checks on random bits that both give the same answers.
"""

import numpy as np
import numpy.typing as npt

from gate.policy.compiled import Plan
from gate.state import bit_arrays
from gate.state.consent_bits import ARMED, EXPIRY_SHIFT, FIELDS, LAST_MINUTE, BitsArray

Cohort = npt.NDArray[np.bool_]  # one truth value per row of the state
BLOCK = 32_768  # customers processed at a time


def readable(
    plan: Plan, all_bits: BitsArray, wanted: int, minute: int, stale: int = ARMED
) -> Cohort:
    """By row, whether all fields `wanted` (bits) may be read as personal data at `minute`.

    `all_bits`: consent bits by customer. `stale`: the triggers (as armed bits)
    without a valid signal.
    """
    members = np.empty(len(all_bits), np.bool_)
    asked = wanted & ~plan.always
    if not asked:
        members[:] = True
        return members
    decided = _block if all_bits.ndim == 1 else _wide_block
    for at in range(0, len(all_bits), BLOCK):
        decided(all_bits[at : at + BLOCK], asked, minute, stale, members[at : at + BLOCK])
    return members


def _block(all_bits: BitsArray, asked: int, minute: int, stale: int, members: Cohort) -> None:
    """`readable` for one block, small enough for the processor's cache."""
    bits = all_bits & np.uint64(asked | ARMED)
    np.equal(bits, np.uint64(asked), out=members)  # granted, and nothing armed
    armed = bits > np.uint64(FIELDS)
    if armed.any():
        granted = all_bits & np.uint64(asked) == np.uint64(asked)
        np.logical_and(granted, ~bit_arrays.frozen(all_bits, stale), out=members)
    if minute >= LAST_MINUTE:
        members[:] = False
    else:
        members &= all_bits >= np.uint64((minute + 1) << EXPIRY_SHIFT)


def _wide_block(all_bits: BitsArray, asked: int, minute: int, stale: int, members: Cohort) -> None:
    """`readable` for one block of a scene of more than one word."""
    np.greater(bit_arrays.expiries(all_bits), np.uint64(min(minute, LAST_MINUTE)), out=members)
    members &= bit_arrays.covering(all_bits, asked)
    members &= ~bit_arrays.frozen(all_bits, stale)

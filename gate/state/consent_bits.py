"""The consent word: everything the gate must know of one customer in one scene, in 64 bits.

    bits  0–27  one per field of the scene's contract: granted
    bits 28–31  one per trigger of the scene's contract: the customer armed it
    bits 32–35  the same triggers: the last signal crossed the customer's threshold
    bits 36–63  the minute (since 2020-01-01T00:00Z) from which the grant no longer holds

A word of zero was never granted. A word without field bits but with a minute was withdrawn in
that minute. Minute 1 with field bits is a grant that lapsed: the contract has been widened since.
Example: fields 0 and 2 until 2026-01-01T00:00Z is `3156480 << 36 | 0b101`.
"""

from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt

BitsArray = npt.NDArray[np.uint64]  # one consent word per row of the state

FIELDS = (1 << 28) - 1
ARMED_SHIFT = 28
CROSSED_SHIFT = 32
ARMED = 0b1111 << ARMED_SHIFT
TRIGGERS = 0xFF << ARMED_SHIFT
EXPIRY_SHIFT = 36
LAST_MINUTE = (1 << 28) - 1
SUPERSEDED = 1  # the minute of a grant that holds no longer because the contract allows more now

EPOCH = datetime(2020, 1, 1, tzinfo=UTC)


def minute(at: datetime) -> int:
    """Minutes from EPOCH to the minute in which `at` lies.

    For every `until` on a whole minute, comparing minutes is comparing instants.
    """
    return int((at - EPOCH).total_seconds() // 60)


def granted(fields: int, at: datetime, until: datetime | None, longest: timedelta) -> int:
    """The word of a grant: its own end or the contract's longest duration, whichever is first."""
    end = at + longest if until is None else min(until, at + longest)
    return max(SUPERSEDED + 1, _bounded(minute(end))) << EXPIRY_SHIFT | fields


def superseded(fields: int) -> int:
    """The word of a grant that was given before the contract was widened."""
    return SUPERSEDED << EXPIRY_SHIFT | fields


def withdrawn(at: datetime) -> int:
    return _bounded(minute(at)) << EXPIRY_SHIFT


def without(word: int, fields: int, at: datetime) -> int:
    """The word after some fields were withdrawn; taking the last one withdraws the scene."""
    left = word & ~fields
    return left if left & FIELDS else withdrawn(at) | word & TRIGGERS


def offered(triggers: int) -> int:
    """The armed bits of the first `triggers` slots."""
    return ((1 << triggers) - 1) << ARMED_SHIFT


def _bounded(minutes: int) -> int:
    """Never zero (that is "never granted") and never past the last minute the word can hold."""
    return max(1, min(minutes, LAST_MINUTE))

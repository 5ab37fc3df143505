"""Consent bits: the consent of one customer in one scene, packed into a 64-bit integer.

    bits  0–27  one per field of the scene's contract: granted
    bits 28–31  one per trigger of the scene's contract: the customer armed it
    bits 32–35  the same triggers: the last signal crossed the customer's threshold
    bits 36–63  the minute (since 2020-01-01T00:00Z) at which the grant expires

Zero: never granted. No field bits but a minute: withdrawn in that minute. Field bits with minute 1:
superseded, because the contract was widened after the grant.
Example: fields 0 and 2 until 2026-01-01T00:00Z is `3156480 << 36 | 0b101`.
"""

from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt

BitsArray = npt.NDArray[np.uint64]  # consent bits, one uint64 per row of the state

FIELDS = (1 << 28) - 1
ARMED_SHIFT = 28
CROSSED_SHIFT = 32
ARMED = 0b1111 << ARMED_SHIFT
TRIGGERS = 0xFF << ARMED_SHIFT
EXPIRY_SHIFT = 36
LAST_MINUTE = (1 << 28) - 1
SUPERSEDED = 1  # expiry minute of a grant made before the contract was widened

EPOCH = datetime(2020, 1, 1, tzinfo=UTC)


def minute(at: datetime) -> int:
    """Whole minutes from EPOCH to `at`.

    As every expiry is on a whole minute, comparing minutes gives the same result as comparing
    instants.
    """
    return int((at - EPOCH).total_seconds() // 60)


def granted(fields: int, at: datetime, until: datetime | None, longest: timedelta) -> int:
    """Bits of a grant, which expires at `until` or after the contract's `longest` duration."""
    end = at + longest if until is None else min(until, at + longest)
    return max(SUPERSEDED + 1, _bounded(minute(end))) << EXPIRY_SHIFT | fields


def superseded(fields: int) -> int:
    """Bits of a grant that was given before the contract was widened."""
    return SUPERSEDED << EXPIRY_SHIFT | fields


def withdrawn(at: datetime) -> int:
    return _bounded(minute(at)) << EXPIRY_SHIFT


def without(bits: int, fields: int, at: datetime) -> int:
    """The bits after `fields` are withdrawn; without any field left the scene is withdrawn."""
    left = bits & ~fields
    return left if left & FIELDS else withdrawn(at) | bits & TRIGGERS


def offered(triggers: int) -> int:
    """The armed bits of the first `triggers` slots."""
    return ((1 << triggers) - 1) << ARMED_SHIFT


def _bounded(minutes: int) -> int:
    """Clamp to 1 (0 means "never granted") .. LAST_MINUTE, the largest that fits in the bits."""
    return max(1, min(minutes, LAST_MINUTE))

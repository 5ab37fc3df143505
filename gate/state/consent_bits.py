"""Consent bits: the consent of one customer in one scene, packed into an integer.

    bits  0–27  one per field of the scene's contract: granted
    bits 28–31  one per trigger of the scene's contract: the customer armed it
    bits 32–35  the same triggers: the last signal crossed the customer's threshold
    bits 36–63  the minute (since 2020-01-01T00:00Z) at which the grant expires

A scene with more fields or triggers has more words of 64 bits, up to ten, above the first:

    bits  0–55  further fields
    bits 56–59  further triggers: armed
    bits 60–63  the same triggers: crossed

No field bits and no minute: never granted; under legitimate interest a customer who said nothing
has field bits without an end instead. No field bits but a minute: withdrawn in that minute. Field
bits with minute 1: superseded, because the contract was widened after the grant.
Example: fields 0 and 2 until 2026-01-01T00:00Z is `3156480 << 36 | 0b101`.
"""

from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt

BitsArray = npt.NDArray[np.uint64]  # consent bits by row: see gate.state.bit_arrays

FIELDS = (1 << 28) - 1
ARMED_SHIFT = 28
CROSSED_SHIFT = 32
ARMED = 0b1111 << ARMED_SHIFT
TRIGGERS = 0xFF << ARMED_SHIFT
EXPIRY_SHIFT = 36
LAST_MINUTE = (1 << 28) - 1
SUPERSEDED = 1  # expiry minute of a grant made before the contract was widened

WORD = 64
MAX_WORDS = 10
_FIRST_FIELDS, _FIRST_TRIGGERS = 28, 4
_MORE_FIELDS, _MORE_TRIGGERS = 56, 4  # of each further word
MAX_FIELDS = _FIRST_FIELDS + (MAX_WORDS - 1) * _MORE_FIELDS
MAX_TRIGGERS = _FIRST_TRIGGERS + (MAX_WORDS - 1) * _MORE_TRIGGERS
_MORE = [WORD * word for word in range(1, MAX_WORDS)]
ALL_FIELDS = FIELDS | sum(((1 << _MORE_FIELDS) - 1) << low for low in _MORE)
ALL_ARMED = ARMED | sum(0b1111 << low + _MORE_FIELDS for low in _MORE)
ALL_TRIGGERS = ALL_ARMED | ALL_ARMED << CROSSED_SHIFT - ARMED_SHIFT
EXPIRY = LAST_MINUTE << EXPIRY_SHIFT

EPOCH = datetime(2020, 1, 1, tzinfo=UTC)


def words(fields: int, triggers: int) -> int:
    """How many words a scene with so many fields and triggers takes."""
    more = max(
        -(-(fields - _FIRST_FIELDS) // _MORE_FIELDS),
        -(-(triggers - _FIRST_TRIGGERS) // _MORE_TRIGGERS),
        0,
    )
    return 1 + more


def field(place: int) -> int:
    """The bit of the scene's field at this place."""
    if place < _FIRST_FIELDS:
        return 1 << place
    word, within = divmod(place - _FIRST_FIELDS, _MORE_FIELDS)
    return 1 << WORD * (word + 1) + within


def armed(place: int) -> int:
    """The bit that says that the scene's trigger at this place is armed."""
    if place < _FIRST_TRIGGERS:
        return 1 << ARMED_SHIFT + place
    word, within = divmod(place - _FIRST_TRIGGERS, _MORE_TRIGGERS)
    return 1 << WORD * (word + 1) + _MORE_FIELDS + within


def crossed(place: int) -> int:
    """The bit that says that its last signal crossed the threshold."""
    return armed(place) << CROSSED_SHIFT - ARMED_SHIFT


def expiry(bits: int) -> int:
    """The minute at which the grant expires, or a marker."""
    return bits >> EXPIRY_SHIFT & LAST_MINUTE


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


def unsaid(fields: int) -> int:
    """Bits of a customer who has said nothing, where `fields` may be read until they object."""
    return LAST_MINUTE << EXPIRY_SHIFT | fields if fields else 0


def withdrawn(at: datetime) -> int:
    return _bounded(minute(at)) << EXPIRY_SHIFT


def without(bits: int, fields: int, at: datetime) -> int:
    """The bits after `fields` are withdrawn; without any field left the scene is withdrawn."""
    left = bits & ~fields
    return left if left & ALL_FIELDS else withdrawn(at) | bits & ALL_TRIGGERS


def limited(bits: int, fields: int, until: datetime | None) -> int:
    """The bits of a grant of which `fields` stay, until then at most; triggers stay."""
    end = expiry(bits)
    if until is not None:
        end = min(end, max(SUPERSEDED + 1, _bounded(minute(until))))
    return end << EXPIRY_SHIFT | fields | bits & ALL_TRIGGERS


def offered(triggers: int) -> int:
    """The armed bits of the first `triggers` slots."""
    return sum(armed(place) for place in range(triggers))


def _bounded(minutes: int) -> int:
    """Clamp to 1 (0 means "never granted") .. LAST_MINUTE, the largest that fits in the bits."""
    return max(1, min(minutes, LAST_MINUTE))

"""The decision on one subject, and nothing else. The law this file implements is specs/gate.md.

Three questions in this order: may this service ask at all (`refusal`), which fields may be read as
personal data (`personal`), what is answered for the others (`view`). Pure and total: no function
here raises, reads a clock or looks anything up.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

from gate.contracts.scene import Fallback
from gate.policy.compiled import Plan, synthesises
from gate.state.consent_bits import (
    ARMED,
    ARMED_SHIFT,
    CROSSED_SHIFT,
    EXPIRY_SHIFT,
    FIELDS,
    LAST_MINUTE,
    SUPERSEDED,
)

REMEMBERED = 16_384  # verdicts, and questions


class View(StrEnum):
    PERSONAL = "personal"
    GENERALISED = "generalised"
    SYNTHETIC = "synthetic"
    WITHHELD = "withheld"


class Reason(StrEnum):
    """Why a decision is what it is. The first eight refuse the request, whatever was consented."""

    UNKNOWN_SCENE = "unknown-scene"
    UNKNOWN_SERVICE = "unknown-service"
    FIELD_OUTSIDE_SCENE = "field-outside-scene"
    NO_FIELDS = "no-fields"
    POLICY_FORBIDS = "policy-forbids"
    PURPOSE_DIFFERS = "purpose-differs"  # the caller states another than the contract
    QUOTA_EXCEEDED = "quota-exceeded"
    SUSPENDED = "suspended"  # compiled and full policy disagreed: the gate stopped the scene
    LEGAL_BASIS_CONTRACT = "legal-basis-contract"
    GRANTED = "granted"
    FIELD_NOT_GRANTED = "field-not-granted"
    EXPIRED = "expired"
    SUPERSEDED = "lapsed"  # granted before the contract was widened; the customer must grant again
    WITHDRAWN = "withdrawn"
    FROZEN = "frozen"
    NEVER_GRANTED = "never-granted"
    SOURCE_UNAVAILABLE = "source-unavailable"


@dataclass(frozen=True, slots=True)
class Decision:
    """`allowed`: every field asked for may be read as personal data. Views always name every field
    asked for, unless the request was refused; then there are none."""

    allowed: bool
    views: Mapping[str, View]
    reason: Reason
    determined_by: int | None  # index of the consent entry the decision rests on
    ledger_size: int

    @property
    def refused(self) -> bool:
        return not self.views


@dataclass(frozen=True, slots=True, eq=False)  # compared by identity: verdicts key caches
class Verdict:
    """A decision without the entry and the ledger size it rests on: few different ones exist."""

    allowed: bool
    views: Mapping[str, View]
    reason: Reason


REFUSED = {each: Verdict(False, {}, each) for each in Reason}


def decide(
    plan: Plan,
    fields: tuple[str, ...],
    word: int,
    minute: int,
    *,
    index: int | None,
    size: int,
    stale: int = ARMED,
) -> Decision:
    """Say which view of one subject's `fields` the plan's service may have at `minute`.

    `word` is the subject's consent word for the scene as of `size` ledger entries; `index` is the
    entry that last changed it. `stale`: the triggers (as armed bits) whose signal does not count.
    """
    found = verdict(plan, fields, word, minute, stale)
    determined_by = index if found.views else None
    return Decision(found.allowed, found.views, found.reason, determined_by, size)


def verdict(
    plan: Plan, fields: tuple[str, ...], word: int, minute: int, stale: int = ARMED
) -> Verdict:
    """As `decide`."""
    if not plan.offered:
        return REFUSED[nobody(plan)]  # not remembered: anybody can make up a name
    end = word >> EXPIRY_SHIFT
    end = LAST_MINUTE if end > minute else min(_OVER, end)
    return _verdict(plan, fields, word & _REST | end << EXPIRY_SHIFT, stale)


# Of a word's end it matters only whether it has passed, and which of two signs it was: so there are
# few different words, and their verdicts are remembered. Ends that have passed stand at minute 2.
_REST = (1 << EXPIRY_SHIFT) - 1
_OVER = 2


@lru_cache(maxsize=REMEMBERED)
def _verdict(plan: Plan, fields: tuple[str, ...], word: int, stale: int) -> Verdict:
    """As `verdict`, of a word whose end is LAST_MINUTE, 0, 1 or 2, at minute 2."""
    if (refused := refusal(plan, fields)) is not None:
        return REFUSED[refused]
    readable, wanted = personal(plan, word, _OVER, stale), plan.mask(fields) or 0
    return Verdict(
        wanted & ~readable == 0,
        views(plan, fields, readable),
        reason(plan, word, _OVER, wanted, stale),
    )


def refusal(plan: Plan, fields: tuple[str, ...]) -> Reason | None:
    """Why contract or policy forbid the request, whatever the subject consented to."""
    if not plan.offered:
        return nobody(plan)
    if not fields:
        return Reason.NO_FIELDS
    if (wanted := plan.mask(fields)) is None:
        return Reason.FIELD_OUTSIDE_SCENE
    return Reason.POLICY_FORBIDS if wanted & ~plan.offered else None


def nobody(plan: Plan) -> Reason:
    """Why nothing is offered."""
    return Reason.SUSPENDED if plan.suspended else Reason.UNKNOWN_SERVICE


def personal(plan: Plan, word: int, minute: int, stale: int = ARMED) -> int:
    """The bits of those fields that may be read as personal data."""
    if word >> EXPIRY_SHIFT <= minute or (word & ARMED and frozen(word, stale)):
        return plan.always
    return word & FIELDS | plan.always


def frozen(word: int, stale: int = ARMED) -> bool:
    """A trigger the customer armed has been crossed, or its signal does not count."""
    return bool(word & ARMED & (word >> CROSSED_SHIFT - ARMED_SHIFT | stale))


def reason(plan: Plan, word: int, minute: int, wanted: int, stale: int = ARMED) -> Reason:
    if plan.always:
        return Reason.LEGAL_BASIS_CONTRACT
    if not word:
        return Reason.NEVER_GRANTED
    if not word & FIELDS:
        return Reason.WITHDRAWN
    if (end := word >> EXPIRY_SHIFT) <= minute:
        return Reason.SUPERSEDED if end == SUPERSEDED else Reason.EXPIRED
    if frozen(word, stale):
        return Reason.FROZEN
    return Reason.FIELD_NOT_GRANTED if wanted & ~word else Reason.GRANTED


def views(plan: Plan, fields: tuple[str, ...], readable: int) -> Mapping[str, View]:
    """The view of each field, given the bits that may be read as personal data."""
    return {field: view(plan, field, readable) for field in fields}


def view(plan: Plan, field: str, readable: int) -> View:
    if plan.bits[field] & readable:
        return View.PERSONAL
    match plan.scene.fields[field].fallback:
        case Fallback.SYNTHETIC:
            return View.SYNTHETIC if synthesises(plan, field) else View.WITHHELD
        case Fallback.GENERALISE:
            coarser = plan.scene.fields[field].generalised_by
            granted = coarser is not None and plan.bits[coarser] & readable
            return View.GENERALISED if granted else View.WITHHELD
        case Fallback.WITHHOLD:
            return View.WITHHELD

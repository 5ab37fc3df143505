"""The access decision on one customer, as specified in specs/gate.md.

It answers three questions in this order: may this service ask at all (`refusal`), which fields may
be read as personal data (`personal`), what is returned for the others (`view`). All functions are
pure and total: they do not raise, read a clock or do I/O.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

from gate.contracts.scene import Fallback, LegalBasis, Surrogates
from gate.policy.compiled import Plan, draws, synthesises
from gate.state.consent_bits import (
    ALL_ARMED,
    ALL_FIELDS,
    ARMED,
    ARMED_SHIFT,
    CROSSED_SHIFT,
    EXPIRY,
    EXPIRY_SHIFT,
    FIELDS,
    LAST_MINUTE,
    SUPERSEDED,
    expiry,
)

REMEMBERED = 16_384  # cache size for verdicts, and for questions


class View(StrEnum):
    PERSONAL = "personal"
    GENERALISED = "generalised"
    SYNTHETIC = "synthetic"
    WITHHELD = "withheld"


class Reason(StrEnum):
    """The reason of a decision. The first nine refuse a request whatever the customer granted."""

    UNKNOWN_SCENE = "unknown-scene"
    UNKNOWN_SERVICE = "unknown-service"
    FIELD_OUTSIDE_SCENE = "field-outside-scene"
    NO_FIELDS = "no-fields"
    POLICY_FORBIDS = "policy-forbids"
    PURPOSE_DIFFERS = "purpose-differs"  # the caller states a purpose that is not the contract's
    QUOTA_EXCEEDED = "quota-exceeded"
    SHAPE_OUTSIDE_SCENE = "shape-outside-scene"  # the contract allows no read in this form
    SUSPENDED = "suspended"  # the gate suspended the scene: compiled and full policy disagreed
    LEGAL_BASIS_CONTRACT = "legal-basis-contract"
    LEGAL_OBLIGATION = "legal-obligation"
    LEGITIMATE_INTEREST = "legitimate-interest"  # the customer does not object
    OBJECTED = "objected"
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
    """The decision on one request.

    `allowed`: every requested field may be read as personal data. `views` names every requested
    field; it is empty if the request was refused.
    """

    allowed: bool
    views: Mapping[str, View]
    reason: Reason
    determined_by: int | None  # index of the consent-log entry the decision rests on
    ledger_size: int

    @property
    def refused(self) -> bool:
        return not self.views


@dataclass(frozen=True, slots=True, eq=False)  # compared by identity: verdicts key caches
class Verdict:
    """A decision without entry index and ledger size: few distinct ones exist, so cacheable."""

    allowed: bool
    views: Mapping[str, View]
    reason: Reason


REFUSED = {each: Verdict(False, {}, each) for each in Reason}


def decide(
    plan: Plan,
    fields: tuple[str, ...],
    bits: int,
    minute: int,
    *,
    index: int | None,
    size: int,
    stale: int = ARMED,
) -> Decision:
    """Decide which view of one subject's `fields` the plan's service gets at `minute`.

    `bits`: the subject's consent bits in the scene after `size` ledger entries. `index`: the entry
    that last changed them. `stale`: the triggers (as armed bits) without a valid signal.
    """
    result = verdict(plan, fields, bits, minute, stale)
    determined_by = index if result.views else None
    return Decision(result.allowed, result.views, result.reason, determined_by, size)


def verdict(
    plan: Plan, fields: tuple[str, ...], bits: int, minute: int, stale: int = ARMED
) -> Verdict:
    """The cached part of `decide`."""
    if not plan.offered:
        return REFUSED[nobody(plan)]  # not cached: made-up names must not fill the cache
    end = bits >> EXPIRY_SHIFT
    if end > LAST_MINUTE:  # the scene has more than one word
        return _verdict(plan, fields, _normalised(bits, minute), stale)
    end = LAST_MINUTE if end > minute else min(_OVER, end)
    return _verdict(plan, fields, bits & _REST | end << EXPIRY_SHIFT, stale)


# Of the expiry it matters only whether it has passed and whether it is a marker (0 or SUPERSEDED).
# So it is normalised first: few distinct values remain, whose verdicts are cached. An expiry that
# has passed becomes minute 2.
_REST = (1 << EXPIRY_SHIFT) - 1
_OVER = 2


def _normalised(bits: int, minute: int) -> int:
    end = expiry(bits)
    end = LAST_MINUTE if end > minute else min(_OVER, end)
    return bits & ~EXPIRY | end << EXPIRY_SHIFT


@lru_cache(maxsize=REMEMBERED)
def _verdict(plan: Plan, fields: tuple[str, ...], bits: int, stale: int) -> Verdict:
    """`verdict` at minute 2, for bits whose expiry is LAST_MINUTE, 0, 1 or 2."""
    if (refused := refusal(plan, fields)) is not None:
        return REFUSED[refused]
    readable, wanted = personal(plan, bits, _OVER, stale), plan.mask(fields) or 0
    return Verdict(
        wanted & ~readable == 0,
        of_one(plan, views(plan, fields, readable)),
        reason(plan, bits, _OVER, wanted, stale),
    )


def refusal(plan: Plan, fields: tuple[str, ...]) -> Reason | None:
    """Why contract or policy refuse the request, whatever the subject granted; None if not."""
    if not plan.offered:
        return nobody(plan)
    if not fields:
        return Reason.NO_FIELDS
    if (wanted := plan.mask(fields)) is None:
        return Reason.FIELD_OUTSIDE_SCENE
    return Reason.POLICY_FORBIDS if wanted & ~plan.offered else None


def nobody(plan: Plan) -> Reason:
    """Why the plan offers the service nothing."""
    return Reason.SUSPENDED if plan.suspended else Reason.UNKNOWN_SERVICE


def personal(plan: Plan, bits: int, minute: int, stale: int = ARMED) -> int:
    """The bits of the fields that may be read as personal data."""
    if (end := bits >> EXPIRY_SHIFT) <= minute or (bits & ARMED and frozen(bits, stale)):
        return plan.always
    if end > LAST_MINUTE:  # the scene has more than one word, and the end is below the others
        return _personal(plan, bits, minute, stale)
    return bits & FIELDS | plan.always


def _personal(plan: Plan, bits: int, minute: int, stale: int) -> int:
    if expiry(bits) <= minute or frozen(bits, stale):
        return plan.always
    return bits & ALL_FIELDS | plan.always


def frozen(bits: int, stale: int = ARMED) -> bool:
    """Whether an armed trigger has been crossed or has no valid signal."""
    return bool(bits & ALL_ARMED & (bits >> CROSSED_SHIFT - ARMED_SHIFT | stale))


def reason(plan: Plan, bits: int, minute: int, wanted: int, stale: int = ARMED) -> Reason:
    if plan.always:
        return without_consent(plan)
    if not bits & ALL_FIELDS:
        return _nothing(plan, bits)
    if (end := expiry(bits)) <= minute:
        return Reason.SUPERSEDED if end == SUPERSEDED else Reason.EXPIRED
    if frozen(bits, stale):
        return Reason.FROZEN
    if wanted & ~bits:
        return Reason.FIELD_NOT_GRANTED
    return Reason.LEGITIMATE_INTEREST if plan.scene.objectable else Reason.GRANTED


def _nothing(plan: Plan, bits: int) -> Reason:
    if not expiry(bits):  # a condition that was set is no grant and no withdrawal
        return Reason.NEVER_GRANTED
    return Reason.OBJECTED if plan.scene.objectable else Reason.WITHDRAWN


def without_consent(plan: Plan) -> Reason:
    """The reason where the contract's legal basis needs no grant."""
    if plan.scene.legal_basis is LegalBasis.OBLIGATION:
        return Reason.LEGAL_OBLIGATION
    return Reason.LEGAL_BASIS_CONTRACT


def views(plan: Plan, fields: tuple[str, ...], readable: int) -> Mapping[str, View]:
    """The view of each field, given the bits that may be read as personal data."""
    return {field: view(plan, field, readable) for field in fields}


def of_one(plan: Plan, shown: Mapping[str, View]) -> Mapping[str, View]:
    """The views that an answer about one customer has: synthetic if the contract says how."""
    said = plan.scene.surrogates not in {None, Surrogates.NONE}
    return {
        field: view
        if view is not View.SYNTHETIC or (said and draws(plan, field))
        else View.WITHHELD
        for field, view in shown.items()
    }


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

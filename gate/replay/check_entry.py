"""Checks one read-log entry against the consent state and plan at its ledger size. Pure.

The functions return None if the entry follows from them; otherwise a description of the expected
answer.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from hashlib import sha256

import numpy as np
from msgspec import UNSET, UnsetType

from gate.contracts.scene import ReadShape
from gate.decision import decide, eligibility
from gate.decision.decide import Reason, Verdict, View
from gate.policy.compiled import Plan, synthesises
from gate.readlog.writer import ReadLogEntry
from gate.replay.entry_parser import Shape
from gate.replay.history import ActiveState
from gate.state import consent_bits
from synthetic.completion.mode import Mode

# Refusals that do not follow from the ledger, but also return no data.
GATES_OWN = frozenset({Reason.PURPOSE_DIFFERS, Reason.QUOTA_EXCEEDED, Reason.SUSPENDED})
MAX_CACHED = 65_536  # distinct consent bits whose result is cached per shape
_SHAPES = {each.value: {each} for each in ReadShape} | {
    "named": {ReadShape.POINT, ReadShape.ROWS},
    "read": {ReadShape.POINT},
    "search": {ReadShape.ROWS},
}
READS = frozenset({"named", "read"})  # actions that answer about one customer with values
UNOPENED = "it cannot be decrypted any more"
_UNHEARD = ""  # an id that gives no instruction
COHORT = "cohort "  # prefix of the description if the cohort differs


def of_one(
    active: ActiveState, shape: Shape, minute: int, subject: str, rests: bytes
) -> str | None:
    """Check an answer about one customer; `rests`: its `determined_by` in JSON.

    An answer may give less than the decision allows if its reason says so.
    """
    consent, index = active.state.bits_and_entry(active.plan.scene.id, subject)
    wrong = of_bits(active, shape, minute, consent, index, rests)
    if wrong is not None and index is None and consent and active.plan.scene.unsaid:
        # Nothing is read under legitimate interest before the writer made the customer's key.
        return wrong if of_bits(active, shape, minute, 0, None, rests) is not None else None
    return wrong


def of_nobody(active: ActiveState, shape: Shape, minute: int, rests: bytes) -> str | None:
    """Check an answer about an id that has no data key, and rests on no instruction."""
    return of_bits(active, shape, minute, 0, None, rests)


def silent(active: ActiveState, shape: Shape, minute: int, rests: bytes) -> bool:
    """Whether a customer who said nothing got this answer under legitimate interest."""
    bits, _ = active.state.bits_and_entry(active.plan.scene.id, _UNHEARD)
    return bool(bits) and of_bits(active, shape, minute, bits, None, rests) is None


def of_bits(
    active: ActiveState, shape: Shape, minute: int, consent: int, index: int | None, rests: bytes
) -> str | None:
    """Check an answer about somebody with these consent bits, last changed by entry `index`."""
    plan, state = active.plan, active.state
    expected: Verdict | None = None
    # Without triggers a verdict depends on the bits and on whether the grant has expired.
    key = consent if consent_bits.expiry(consent) > minute else ~consent
    follows = None if consent & consent_bits.ALL_ARMED else shape.follows.get(key)
    if follows is None:
        stale = state.stale(plan.scene.id, minute) if consent & consent_bits.ALL_ARMED else 0
        expected = decide.verdict(plan, shape.reading.fields, consent, minute, stale)
        follows = _follows(plan, shape.reading, expected, consent)
        if len(shape.follows) >= MAX_CACHED:
            shape.follows.clear()
        shape.follows[key] = follows
    named = b"null" if index is None or not shape.reading.views else b"%d" % index
    if follows and rests == named:
        return None
    expected = expected or decide.verdict(plan, shape.reading.fields, consent, minute, 0)
    entry = index if expected.views else None
    return (
        f"{expected.reason.value} {_values(expected.views)}, entry {entry}, release {plan.release}"
    )


def possible(active: ActiveState, shape: Shape, minute: int, rests: bytes) -> bool:
    """Whether some customer's consent leads to this answer, whose own cannot be read any more."""
    index = int(rests)
    return any(
        of_bits(active, shape, minute, consent, index, rests) is None
        for consent in _consents(active.plan, shape.reading, minute)
    )


def _consents(plan: Plan, reading: ReadLogEntry, minute: int) -> Iterator[int]:
    """Consent bits that lead to the logged views for any of the reasons, if any bits do."""
    later, now = (each << consent_bits.EXPIRY_SHIFT for each in (minute + 1, minute))
    asked = plan.mask(reading.fields) or 0
    for granted in (_shown_bits(plan, reading), asked & ~_bits(plan, reading, View.SYNTHETIC)):
        yield granted | later
    yield from (0, now, asked | now, consent_bits.superseded(asked))
    yield asked | later | consent_bits.ALL_TRIGGERS  # every trigger armed and crossed


def _shown_bits(plan: Plan, reading: ReadLogEntry) -> int:
    """The fields that were given, and those that coarser ones were given instead of."""
    coarser = (plan.scene.fields[f].generalised_by for f in _named(plan, reading, View.GENERALISED))
    bits = sum({plan.bits[each] for each in coarser if each is not None})
    return bits | _bits(plan, reading, View.PERSONAL)


def _bits(plan: Plan, reading: ReadLogEntry, view: View) -> int:
    return plan.mask(tuple(_named(plan, reading, view))) or 0


def _named(plan: Plan, reading: ReadLogEntry, view: View) -> Iterator[str]:
    return (f for f, each in reading.views.items() if each is view and f in plan.bits)


def _follows(plan: Plan, reading: ReadLogEntry, expected: Verdict, consent: int) -> bool:
    """Whether this version or an earlier one answers like this.

    Earlier versions gave conditional surrogates under contracts that say nothing of them, and took
    a condition that was set without any grant for a withdrawal.
    """
    if _is_from(plan, reading, expected):
        return True
    if consent and expected.reason is Reason.NEVER_GRANTED:
        ended = Reason.OBJECTED if plan.scene.objectable else Reason.WITHDRAWN
        return _follows(plan, reading, replace(expected, reason=ended), consent)
    if plan.scene.surrogates is not None or View.SYNTHETIC not in reading.views.values():
        return False
    earlier = {
        name: View.SYNTHETIC if view is View.WITHHELD and synthesises(plan, name) else view
        for name, view in expected.views.items()
    }
    return _is_from(plan, reading, Verdict(expected.allowed, earlier, expected.reason))


def _is_from(plan: Plan, reading: ReadLogEntry, expected: Verdict) -> bool:
    if reading.reason in GATES_OWN:
        return _nothing(reading)
    if not _has_shape(plan, reading) and expected.views:
        return reading.reason is Reason.SHAPE_OUTSIDE_SCENE and _nothing(reading)
    same = reading.views == expected.views and reading.reason is expected.reason
    synthetic = View.SYNTHETIC in reading.views.values()
    release, rows = plan.release if synthetic else None, 1 if reading.views else 0
    logged = reading.release, reading.rows, reading.mode
    return (same or _less(reading, expected)) and logged == (release, rows, UNSET)


def of_everybody(
    active: ActiveState, logged: ReadLogEntry, minute: int, logged_cohort: str | None
) -> str | None:
    """Check a table, rows or a search of an earlier version, whose cohort is of rows of the state.

    `logged_cohort`: its digest.
    """
    if (wrong := of_many(active, logged, logged_cohort)) is not None or logged_cohort is None:
        return wrong
    digest = sha256(np.packbits(admitted(active, logged, minute)).tobytes()).hexdigest()
    return None if digest == logged_cohort else f"{COHORT}{digest}"


def of_many(active: ActiveState, logged: ReadLogEntry, logged_cohort: str | None) -> str | None:
    """Check a table, rows or a search, except whom it is about."""
    plan = active.plan
    if logged_cohort is None:
        return _refused(plan, logged)
    if (refused := decide.refusal(plan, logged.fields)) is not None:
        return refused.value
    if not _has_shape(plan, logged):
        return Reason.SHAPE_OUTSIDE_SCENE.value
    shown = decide.views(plan, logged.fields, plan.always)
    if logged.reason is not Reason.GRANTED or not _shown(logged, shown):
        return f"{Reason.GRANTED.value} {_values(shown)}"
    rests = _completing(plan) if logged.action == "table" else _NO_ROWS
    if (logged.release, logged.mode) not in {rests, _NO_ROWS}:
        return f"release {rests[0]}, mode {rests[1] or None}"
    return None


def of_owner(logged: ReadLogEntry, rests: bytes) -> str | None:
    """Check a customer's access to their own row: it rests on the law alone, under no contract."""
    without = logged.service == logged.scene == logged.plan == "" and rests == b"null"
    shown = {*logged.views.values()}
    rows = 1 if View.PERSONAL in shown else 0
    named = logged.views.keys() == {*logged.fields} and shown <= {View.PERSONAL, View.WITHHELD}
    down = logged.reason is Reason.SOURCE_UNAVAILABLE and not rows
    alone = logged.on_behalf_of is UNSET and (logged.rows, logged.release, logged.mode) == (
        *(rows, None, UNSET),
    )
    if without and named and alone and (down or logged.reason is Reason.LEGAL_OBLIGATION):
        return None
    return f"{Reason.LEGAL_OBLIGATION.value}, own values or none, under no contract"


def of_unknown_scene(logged: ReadLogEntry, rests: bytes) -> str | None:
    """Check an answer about a scene that no contract described at the time."""
    refused = logged.reason is Reason.UNKNOWN_SCENE and _nothing(logged) and rests == b"null"
    without = logged.plan == "" and logged.cohort is None and logged.answered is UNSET
    return None if refused and without else Reason.UNKNOWN_SCENE.value


def admitted(active: ActiveState, logged: ReadLogEntry, minute: int) -> eligibility.Cohort:
    """By row of the state, whose fields the entry may be about."""
    plan, state = active.plan, active.state
    stale, wanted = state.stale(plan.scene.id, minute), plan.mask(logged.fields) or 0
    return eligibility.readable(plan, state.all_bits(plan.scene.id), wanted, minute, stale)


def _completing(plan: Plan) -> tuple[str | None, str | UnsetType]:
    """The release that a table's synthetic rows rest on, and their mode as logged."""
    anchored = plan.anchor, Mode.RELEASE_ANCHORED
    return anchored if plan.anchor else (plan.release, UNSET)


_NO_ROWS: tuple[str | None, str | UnsetType] = None, UNSET


def _shown(logged: ReadLogEntry, shown: Mapping[str, View]) -> bool:
    """Whether a cohort entry's views are possible.

    Members' fields are personal. Only a table shows other customers, in the views they have without
    a grant. A search shows nothing but ids, and statistics show nobody.
    """
    if logged.action in {"search", "statistics"}:
        return not logged.views
    others = shown if logged.action == "table" else {}
    return logged.views.keys() == shown.keys() and all(
        view in {View.PERSONAL, others.get(name)} for name, view in logged.views.items()
    )


def _refused(plan: Plan, logged: ReadLogEntry) -> str | None:
    """Check a refusal, which rests on the requested fields, then on those of the filter."""
    asked = (logged.fields[:count] for count in range(len(logged.fields) + 1))
    reasons = {*GATES_OWN, *(decide.refusal(plan, each) for each in asked)}
    if not _has_shape(plan, logged):
        reasons.add(Reason.SHAPE_OUTSIDE_SCENE)
    if logged.reason in reasons and _nothing(logged):
        return None
    return str(decide.refusal(plan, logged.fields) or "a cohort")


def _has_shape(plan: Plan, logged: ReadLogEntry) -> bool:
    """Whether the contract allows a read in the form of the entry."""
    needed = _SHAPES.get(logged.action)
    return needed is not None and needed <= plan.scene.shapes


def _nothing(logged: ReadLogEntry) -> bool:
    return (logged.views, logged.rows, logged.release, logged.mode) == ({}, 0, None, UNSET)


def _less(logged: ReadLogEntry, expected: Verdict) -> bool:
    """Whether a read withheld fields because the row was missing or the source could not give them.

    A missing row withholds every field that comes from the source. Otherwise the entry says that
    the source was unavailable, and may withhold some: a value may have no representation.
    """
    from_source = {View.PERSONAL, View.GENERALISED}
    without = {f: View.WITHHELD if v in from_source else v for f, v in expected.views.items()}
    if logged.action not in READS or logged.views == expected.views:
        return False
    if logged.reason is Reason.SOURCE_UNAVAILABLE:
        some = logged.views.keys() == expected.views.keys()
        return some and all(
            view in {expected.views[f], without[f]} for f, view in logged.views.items()
        )
    return logged.reason == expected.reason and logged.views == without


def _values(views: Mapping[str, View]) -> dict[str, str]:
    return {name: view.value for name, view in views.items()}

"""Checks one read-log entry against the consent state and plan at its ledger size. Pure.

The functions return None if the entry follows from them; otherwise a description of the expected
answer.
"""

from collections.abc import Mapping
from hashlib import sha256

import numpy as np
from msgspec import UNSET, UnsetType

from gate.decision import decide, eligibility
from gate.decision.decide import Reason, Verdict, View
from gate.policy.compiled import Plan
from gate.readlog.writer import ReadLogEntry
from gate.replay.entry_parser import Shape
from gate.replay.history import ActiveState
from gate.state import consent_bits
from synthetic.completion.mode import Mode

# Refusals that do not follow from the ledger, but also return no data.
GATES_OWN = frozenset({Reason.PURPOSE_DIFFERS, Reason.QUOTA_EXCEEDED, Reason.SUSPENDED})
MAX_CACHED = 65_536  # distinct consent bits whose result is cached per shape
COHORT = "cohort "  # prefix of the description if the cohort differs


def of_one(
    active: ActiveState, shape: Shape, minute: int, subject: str, rests: bytes
) -> str | None:
    """Check an answer about one customer; `rests`: its `determined_by` in JSON.

    An answer may give less than the decision allows if its reason says so.
    """
    plan, state = active.plan, active.state
    consent, index = state.bits_and_entry(plan.scene.id, subject)
    expected: Verdict | None = None
    # Without triggers a verdict depends on the bits and on whether the grant has expired.
    key = consent if consent >> consent_bits.EXPIRY_SHIFT > minute else ~consent
    follows = None if consent & consent_bits.ARMED else shape.follows.get(key)
    if follows is None:
        stale = state.stale(plan.scene.id, minute) if consent & consent_bits.ARMED else 0
        expected = decide.verdict(plan, shape.reading.fields, consent, minute, stale)
        follows = _follows(plan, shape.reading, expected)
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


def _follows(plan: Plan, reading: ReadLogEntry, expected: Verdict) -> bool:
    if reading.reason in GATES_OWN:
        return _nothing(reading)
    same = reading.views == expected.views and reading.reason is expected.reason
    synthetic = View.SYNTHETIC in reading.views.values()
    release, rows = plan.release if synthetic else None, 1 if reading.views else 0
    logged = reading.release, reading.rows, reading.mode
    return (same or _less(reading, expected)) and logged == (release, rows, UNSET)


def of_everybody(
    active: ActiveState, logged: ReadLogEntry, minute: int, logged_cohort: str | None
) -> str | None:
    """Check a table, rows or a search; `logged_cohort`: the digest of the entry's cohort."""
    plan, state = active.plan, active.state
    if logged_cohort is None:
        return _refused(plan, logged)
    if (refused := decide.refusal(plan, logged.fields)) is not None:
        return refused.value
    shown = decide.views(plan, logged.fields, plan.always)
    if logged.reason is not Reason.GRANTED or not _shown(logged, shown):
        return f"{Reason.GRANTED.value} {_values(shown)}"
    rests = _completing(plan) if logged.action == "table" else _NO_ROWS
    if (logged.release, logged.mode) not in {rests, _NO_ROWS}:
        return f"release {rests[0]}, mode {rests[1] or None}"
    stale, wanted = state.stale(plan.scene.id, minute), plan.mask(logged.fields) or 0
    members = eligibility.readable(plan, state.all_bits(plan.scene.id), wanted, minute, stale)
    digest = sha256(np.packbits(members).tobytes()).hexdigest()
    return None if digest == logged_cohort else f"{COHORT}{digest}"


def _completing(plan: Plan) -> tuple[str | None, str | UnsetType]:
    """The release that a table's synthetic rows rest on, and their mode as logged."""
    anchored = plan.anchor, Mode.RELEASE_ANCHORED
    return anchored if plan.anchor else (plan.release, UNSET)


_NO_ROWS: tuple[str | None, str | UnsetType] = None, UNSET


def _shown(logged: ReadLogEntry, shown: Mapping[str, View]) -> bool:
    """Whether a cohort entry's views are possible.

    Members' fields are personal. Only a table shows other customers, in the views they have without
    a grant. A search shows nothing but ids.
    """
    if logged.action == "search":
        return not logged.views
    others = shown if logged.action == "table" else {}
    return logged.views.keys() == shown.keys() and all(
        view in {View.PERSONAL, others.get(name)} for name, view in logged.views.items()
    )


def _refused(plan: Plan, logged: ReadLogEntry) -> str | None:
    """Check a refusal, which rests on the requested fields, then on those of the filter."""
    asked = (logged.fields[:count] for count in range(len(logged.fields) + 1))
    reasons = {*GATES_OWN, *(decide.refusal(plan, each) for each in asked)}
    if logged.reason in reasons and _nothing(logged):
        return None
    return str(decide.refusal(plan, logged.fields) or "a cohort")


def _nothing(logged: ReadLogEntry) -> bool:
    return (logged.views, logged.rows, logged.release, logged.mode) == ({}, 0, None, UNSET)


def _less(logged: ReadLogEntry, expected: Verdict) -> bool:
    """Whether a read withheld fields because the row was missing or the source could not give them.

    A missing row withholds every field that comes from the source. Otherwise the entry says that
    the source was unavailable, and may withhold some: a value may have no representation.
    """
    from_source = {View.PERSONAL, View.GENERALISED}
    without = {f: View.WITHHELD if v in from_source else v for f, v in expected.views.items()}
    if logged.action != "read" or logged.views == expected.views:
        return False
    if logged.reason is Reason.SOURCE_UNAVAILABLE:
        some = logged.views.keys() == expected.views.keys()
        return some and all(
            view in {expected.views[f], without[f]} for f, view in logged.views.items()
        )
    return logged.reason == expected.reason and logged.views == without


def _values(views: Mapping[str, View]) -> dict[str, str]:
    return {name: view.value for name, view in views.items()}

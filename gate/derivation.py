"""Does an entry of a read log follow from the state and the plan of then? Pure.

None if it does; else, in words, what follows instead.
"""

from collections.abc import Mapping
from hashlib import sha256

import numpy as np

from gate import cohort, decide, word
from gate.decide import Reason, Verdict, View
from gate.journal import Reading
from gate.leaf import Shape
from gate.past import InForce
from gate.plan import Plan

COHORT = "cohort "  # how the answer begins if the rows are others than those of the entry


def of_one(in_force: InForce, shape: Shape, minute: int, subject: str, rests: bytes) -> str | None:
    """One customer's answer, which names the entry it `rests` on in JSON. It may have given less
    than was decided, where it says so."""
    plan, state = in_force.plan, in_force.state
    consent, index = state.held(plan.scene.id, subject)
    found: Verdict | None = None
    # Without triggers a verdict depends on the word, and on whether its end has passed.
    key = consent if consent >> word.EXPIRY_SHIFT > minute else ~consent
    follows = None if consent & word.ARMED else shape.follows.get(key)
    if follows is None:
        stale = state.stale(plan.scene.id, minute) if consent & word.ARMED else 0
        found = decide.verdict(plan, shape.reading.fields, consent, minute, stale)
        follows = shape.follows[key] = _follows(plan, shape.reading, found)
    named = b"null" if index is None or not shape.reading.views else b"%d" % index
    if follows and rests == named:
        return None
    found = found or decide.verdict(plan, shape.reading.fields, consent, minute, 0)
    entry = index if found.views else None
    return f"{found.reason.value} {_values(found.views)}, entry {entry}, release {plan.release}"


def _follows(plan: Plan, reading: Reading, found: Verdict) -> bool:
    same = reading.views == found.views and reading.reason is found.reason
    synthetic = View.SYNTHETIC in reading.views.values()
    release, rows = plan.release if synthetic else None, 1 if reading.views else 0
    return (same or _less(reading, found)) and (reading.release, reading.rows) == (release, rows)


def of_everybody(in_force: InForce, reading: Reading, minute: int, found: str | None) -> str | None:
    """A table, or a search among customers; `found`: the digest of the rows that were answered."""
    plan, state = in_force.plan, in_force.state
    if (refused := decide.refusal(plan, reading.fields)) is not None:
        same = reading.reason is refused and not reading.views and found is None
        return None if same else refused.value
    table = reading.action == "table"
    shown = decide.views(plan, reading.fields, plan.always) if table else {}
    if reading.views != shown or reading.reason is not Reason.GRANTED:
        return f"{Reason.GRANTED.value} {_values(shown)}"
    if reading.release not in {None, plan.release}:
        return f"release {plan.release}"
    stale, wanted = state.stale(plan.scene.id, minute), plan.mask(reading.fields) or 0
    members = cohort.readable(plan, state.words(plan.scene.id), wanted, minute, stale)
    digest = sha256(np.packbits(members).tobytes()).hexdigest()
    return None if digest == found else f"{COHORT}{digest}"


def _less(reading: Reading, found: Verdict) -> bool:
    """Whether a read withheld what its source did not give: the row was missing, or it was down."""
    from_source = {View.PERSONAL, View.GENERALISED}
    without = {f: View.WITHHELD if v in from_source else v for f, v in found.views.items()}
    return (
        reading.action == "read"
        and reading.reason in {found.reason, Reason.SOURCE_UNAVAILABLE}
        and reading.views == without != found.views
    )


def _values(views: Mapping[str, View]) -> dict[str, str]:
    return {name: view.value for name, view in views.items()}

"""Decisions without values, each with the JSON of its read-log entry."""

from collections.abc import Callable, Iterator

from gate.contracts.scene import ReadShape
from gate.decision.decide import REFUSED, Reason, verdict
from gate.policy.compiled import Plan
from gate.readlog.entry import EntryText, Moment, Question, WrittenDecision, worded, wording
from gate.state import consent_bits
from gate.state.consent_index import ConsentIndex

Lookup = Callable[[str, str], tuple[int, int | None]]  # of (scene, customer): bits and entry
_NOTHING = 0, None


def written_decisions(
    lookup: Lookup,
    state: ConsentIndex,
    now: Moment,
    asked: Question,
    plan: Plan | None,
    admitted: int,
) -> Iterator[WrittenDecision]:
    """A decision for each customer of a question, in their order. `plan`: None: unknown scene.

    The first `admitted` customers are within the service's quota.
    """
    known: dict[int, EntryText] = {}  # by consent bits: nothing else differs among the subjects
    for customer in asked.subjects[:admitted]:
        consent, index = lookup(asked.scene, customer) if plan is not None else _NOTHING
        if (text := known.get(consent)) is None:
            text = known[consent] = _worded(state, now, asked, plan, consent)
        yield WrittenDecision(now, text, index if text.rests else None, customer)
    if admitted < len(asked.subjects) and plan is not None:
        over = wording(plan, asked.fields, REFUSED[Reason.QUOTA_EXCEEDED])
        for customer in asked.subjects[admitted:]:
            yield WrittenDecision(now, over, None, customer)


def _worded(
    state: ConsentIndex, now: Moment, asked: Question, plan: Plan | None, consent: int
) -> EntryText:
    scene, fields = asked.scene, asked.fields
    if plan is None:
        return worded(asked.service, scene, None, fields, REFUSED[Reason.UNKNOWN_SCENE])
    stale = state.stale(scene, now.minute) if consent & consent_bits.ALL_ARMED else 0
    result = verdict(plan, fields, consent, now.minute, stale)
    if ReadShape.EVALUATE not in plan.scene.shapes and result.views:
        result = REFUSED[Reason.SHAPE_OUTSIDE_SCENE]
    if not plan.offered:  # unknown service: do not cache text with its name
        return worded(asked.service, scene, plan, fields, result)
    return wording(plan, fields, result)

"""Reads of customers whom the service names: as many single reads, in one answer.

    {"scene": "recommendation", "ids": ["c00001", "c00002"], "fields": ["age"]}

Each customer is answered as a read of that customer alone is (gate.reads.point): unknown ids like
those of people who never granted, every field with its own view. One entry of the read log has a
list with the decision on each of them (gate.readlog.batch_entry), so each customer finds it, also
who was refused. Values are fetched for all together, only those that the decisions allow. The
answer leaves in pieces, each decided again just before it leaves (gate.reads.bulk.named_recheck).
"""

from collections.abc import Sequence

from gate.contracts.scene import ReadShape
from gate.decision import purpose
from gate.decision.decide import REFUSED, Reason, Verdict, refusal
from gate.policy.compiled import Plan
from gate.readlog.batch_entry import NAMED
from gate.readlog.entry import DecisionGroup, EntryText, WrittenDecision, moment, worded
from gate.readlog.writer import Journal, Several
from gate.reads.bulk.named_recheck import NamedRecheck
from gate.reads.bulk.named_request import NamedRequest, decide_named
from gate.reads.bulk.named_values import NamedValues
from gate.reads.bulk.table import TableAnswer
from gate.reads.completion import NONE
from gate.reads.point import Gate
from gate.state.ledger_position import ConsentPoint

NEEDED = frozenset({ReadShape.POINT, ReadShape.ROWS})  # what the contract must allow


def read_named(gate: Gate, request: NamedRequest) -> TableAnswer:
    """Answer a request for named customers, in the order of their ids.

    The columns are `customer`, `customer.allowed`, `customer.reason`, and each field with its view.
    Raises StaleStateError.
    """
    plan = gate.plan(request.service, request.scene)
    if plan is None:
        return _refused(gate, request, None, Reason.UNKNOWN_SCENE)
    if (reason := _bar(gate, request, plan)) is not None:
        return _refused(gate, request, plan, reason)
    decided = decide_named(gate, request, plan, request.at)
    answered = NamedValues(gate, plan, request.subjects, request.fields).read(decided.verdicts)
    rests = [
        index if each.views else None
        for each, index in zip(answered.verdicts, decided.determined_by, strict=True)
    ]
    journal = gate.journal
    entry = _recorded(journal, request, plan, (answered.verdicts, rests), decided.point)
    personal = answered.personal
    gate.options.quotas.alert_on_names(
        request.service, request.scene, request.at, personal, decided.people
    )
    # Durable from here on: the answer may leave.
    recheck = NamedRecheck(gate, plan, request, decided)

    def missed() -> str | None:
        names = recheck.missed
        return journal.sets.put(gate.numbers.of_names(names)) if names else None

    return TableAnswer(
        schema=answered.schema,
        batches=recheck.pieces(answered.batch),
        authorised=personal,
        synthetic=0,
        reason=Reason.GRANTED,
        mode=NONE,
        error=None,
        release=answered.release,
        ledger_size=decided.point.size,
        entry=entry,
        read_log=journal.log.origin,
        logged=journal.logged(entry),
        missed=missed,
    )


def _bar(gate: Gate, request: NamedRequest, plan: Plan) -> Reason | None:
    """Why the request is refused, whatever the customers granted; None if it is not."""
    if (refused := refusal(plan, request.fields)) is not None:
        return refused
    if not plan.scene.shapes >= NEEDED:
        return Reason.SHAPE_OUTSIDE_SCENE
    if not purpose.agrees(request.purpose, plan.scene):
        return Reason.PURPOSE_DIFFERS
    # Every id counts, so that what is left does not tell how many of them are customers.
    quotas, ids = gate.options.quotas, len(request.subjects)
    admitted = quotas.admits_rows(request.service, request.scene, request.at, ids)
    return None if admitted else Reason.QUOTA_EXCEEDED


def _refused(gate: Gate, request: NamedRequest, plan: Plan | None, reason: Reason) -> TableAnswer:
    with gate.lock:
        _, point = gate.current(request.minimum_size)
    nobody = [REFUSED[reason]] * len(request.subjects), [None] * len(request.subjects)
    journal = gate.journal
    entry = _recorded(journal, request, plan, nobody, point)
    where = entry, journal.log.origin, journal.logged(entry)
    return TableAnswer(None, None, 0, 0, reason, NONE, None, None, point.size, *where)


def _recorded(
    journal: Journal,
    request: NamedRequest,
    plan: Plan | None,
    answered: tuple[Sequence[Verdict], Sequence[int | None]],
    point: ConsentPoint,
) -> int:
    """Write the entry with its list, durably; returns the entry's index."""
    now = moment(int(request.at.timestamp()), point, NAMED)
    texts: dict[int, EntryText] = {}
    written = []
    for subject, each, rests in zip(request.subjects, *answered, strict=True):
        if (text := texts.get(id(each))) is None:
            text = worded(request.service, request.scene, plan, request.fields, each)
            texts[id(each)] = text
        written.append(WrittenDecision(now, text, rests, subject))
    together = Several(DecisionGroup(request.service, written, NAMED), request.subjects)
    return journal.record_all([together]).start

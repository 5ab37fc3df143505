"""Clause G33 of specs/gate.md: a decision in writing is what encoding it field by field gives."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gate.decision.decide import REFUSED, Reason, decide, verdict
from gate.policy.compiled import Plan, compile_plan
from gate.readlog import entry as ruling
from gate.readlog.entry import WrittenDecision
from gate.readlog.writer import ReadLogEntry
from gate.state.ledger_position import ConsentPoint
from tests.gate.scenes import SCENES
from tests.gate.test_decide import ALL, fields, minutes, plans, words

ENCODER = msgspec.json.Encoder(order="deterministic")
AT = datetime(2026, 1, 1, 12, tzinfo=UTC)
points = st.builds(ConsentPoint, st.integers(0, 2**53), st.sampled_from(["", "qv8=", "AA/+=="]))
indexes = st.none() | st.integers(0, 2**32)
tags = st.none() | st.binary(min_size=24, max_size=24).map(bytes.hex)
odd = st.lists(st.text(max_size=8), max_size=3).map(tuple)


def written(plan: Plan, asked: tuple[str, ...], consent: int, at: datetime, index: int | None,
            point: ConsentPoint) -> WrittenDecision:  # fmt: skip
    now = ruling.moment(int(at.timestamp()), point)
    found = verdict(plan, asked, consent, now.minute)
    return WrittenDecision(
        now, ruling.wording(plan, asked, found), index if found.views else None, "c1"
    )


@given(plans, fields | odd, words, minutes, indexes, points, tags)
def test_g33_an_entry_is_byte_for_byte_its_reading(
    plan: Plan,
    asked: tuple[str, ...],
    consent: int,
    minute: int,
    index: int | None,
    point: ConsentPoint,
    tag: str | None,
) -> None:
    at = datetime(2020, 1, 1, tzinfo=UTC) + timedelta(minutes=minute)
    found = decide(plan, asked, consent, minute, index=index, size=point.size)
    synthetic = "synthetic" in found.views.values()
    reading = ReadLogEntry(
        action="evaluate",
        at=at,
        service=plan.service,
        scene=plan.scene.id,
        subject=tag,
        rows=1 if found.views else 0,
        fields=asked,
        views=found.views,
        reason=found.reason,
        determined_by=found.determined_by,
        plan=plan.digest,
        release=plan.release if synthetic else None,
        consent=point,
    )
    assert written(plan, asked, consent, at, index, point).entry(tag) == reading.encode()


@given(plans, fields, words, indexes, points)
def test_g33_an_answer_is_the_json_of_its_decision(
    plan: Plan,
    asked: tuple[str, ...],
    consent: int,
    index: int | None,
    point: ConsentPoint,
) -> None:
    made = written(plan, asked, consent, AT, index, point)
    found = decide(plan, asked, consent, made.moment.minute, index=index, size=point.size)
    context = {
        "reason": found.reason,
        "views": found.views,
        "ledger_size": point.size,
        "determined_by": found.determined_by,
    }
    whole = {"decision": found.allowed, "context": context}
    assert made.answer().encode() == ENCODER.encode(whole)


@given(st.text(max_size=8), odd)
def test_g33_also_where_there_is_no_such_scene(scene: str, asked: tuple[str, ...]) -> None:
    point = ConsentPoint(7, "AA==")
    unknown = REFUSED[Reason.UNKNOWN_SCENE]
    text = ruling.worded("analytics", scene, None, asked, unknown)
    reading = ReadLogEntry(
        action="evaluate",
        at=AT,
        service="analytics",
        scene=scene,
        fields=asked,
        views={},
        reason=Reason.UNKNOWN_SCENE,
        plan="",
        consent=point,
    )
    assert (
        WrittenDecision(ruling.moment(int(AT.timestamp()), point), text, None, "c1").entry(None)
        == reading.encode()
    )


def test_g33_a_name_that_is_no_text_is_its_askers_error_and_nobody_elses() -> None:
    plan = compile_plan("analytics", SCENES["segmentation"], offered=ALL, release=None)
    with pytest.raises(UnicodeEncodeError):
        written(plan, ("\ud800",), 0, AT, None, ConsentPoint(0, ""))

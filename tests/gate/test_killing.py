"""Clause G55 of specs/gate.md: whatever moment a gate is killed at, what it said is written."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gate.readlog.entry import Question
from ledger.events.envelope import Granted
from tests.campaign import sized
from tests.gate import killing
from tests.gate.killing import Answer, Known, require_entry, require_grant
from tests.gate.world import NOON, World, world

KILLS = sized(2, 50)  # `python -m tests.gate.killing` does two hundred


@pytest.mark.campaign
def test_g55_every_answer_that_was_received_has_its_entry() -> None:
    received, derived = killing.campaign(KILLS, seed=1)
    assert received > KILLS
    assert derived > KILLS


ASKED = {
    "resource": {"type": "customer", "id": "c1"},
    "context": {"scene": "segmentation", "fields": ["age"]},
}


@pytest.fixture
def bank(tmp_path: Path) -> World:
    bank = world(tmp_path)
    for who in ("c1", "c2"):
        bank.says(who, Granted("segmentation", ("age",), None))
    return bank


@pytest.fixture
def answer(bank: World) -> Answer:
    question = Question("analytics", "segmentation", ("c1",), ("age",))
    (ruling,) = bank.gate.decide_in_writing([question], NOON)
    entry = bank.gate.journal.record(ruling, "c1")
    return Answer("analytics", ASKED, json.loads(ruling.answer()) | {"entry": entry}, 10.0, 11.0)


def entries(bank: World) -> list[dict[str, Any]]:
    log = bank.gate.journal.log
    return [json.loads(each) for each in log.entries(0, log.size)]


LIES: dict[str, Callable[[dict[str, Any]], object]] = {
    "it is not there": lambda entry: entry.clear(),
    "another service": lambda entry: entry.update(service="crm"),
    "another scene": lambda entry: entry.update(scene="nearest-branch"),
    "other fields": lambda entry: entry.update(fields=["age", "job"]),
    "other views": lambda entry: entry["views"].update(age="synthetic"),
    "another reason": lambda entry: entry.update(reason="withdrawn"),
    "another ledger size": lambda entry: entry["consent"].update(size=1),
    "another determining entry": lambda entry: entry.update(determined_by="0" * 16),
    "another customer": lambda entry: entry.update(subject="00" * 24),
}


@pytest.mark.parametrize("why", LIES)
def test_an_entry_that_does_not_say_what_was_answered_is_found(
    bank: World, answer: Answer, why: str
) -> None:
    written = entries(bank)
    require_entry(bank.ledger, written, {}, answer)
    LIES[why](written[0])
    with pytest.raises(AssertionError):
        require_entry(bank.ledger, [each for each in written if each], {}, answer)


GONE = {
    "before the question, and until after the answer": (9.0, 12.0, True),
    "the receipt came after the question": (10.5, 12.0, False),
    "a new grant was under way before the answer": (9.0, 10.5, False),
}


@pytest.mark.parametrize("why", GONE)
def test_a_permit_after_a_withdrawals_receipt_is_found(answer: Answer, why: str) -> None:
    receipt, granted, late = GONE[why]
    known = Known(gone=[("c1", receipt, granted), ("c2", 0.0, 99.0)])
    if not late:
        require_grant(known, answer)
        return
    with pytest.raises(AssertionError, match="had withdrawn"):
        require_grant(known, answer)

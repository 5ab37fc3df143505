"""Explained decisions (X1–X5): what a service decided, from what it was answered, and why (M17)."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gate.reads.request import Answer, ReadRequest
from ledger.events.envelope import Granted
from steward.oversight.explanations import (
    Explanation,
    ExplanationError,
    Explanations,
    Reference,
    StoredReadLogs,
)
from steward.oversight.register import Register, UnsealableError
from tests.gate.world import NOON, World, world


@pytest.fixture
def bank(tmp_path: Path) -> World:
    bank = world(tmp_path)
    for subject in ("c1", "c2"):
        bank.says(subject, Granted("segmentation", ("age",), None))
    return bank


@pytest.fixture
def explanations(bank: World, tmp_path: Path) -> Explanations:
    register = Register(tmp_path, bank.ledger)
    return Explanations(register, StoredReadLogs(tmp_path), bank.ledger)


def read(bank: World, subject: str = "c1", service: str = "analytics") -> Answer:
    fields = ("age", "job")
    return bank.gate.read(ReadRequest(service, "segmentation", subject, fields, NOON))


def explanation(answer: Answer) -> Explanation:
    return Explanation(
        service="analytics",
        outcome="segment: steady savers",
        inputs=dict(answer.values),
        reasons=("age between 30 and 45", "职业稳定"),
        model="segments",
        model_version="3.2",
        prompt_version="",
        reading=Reference(answer.read_log, answer.entry),
    )


def test_the_customer_reads_inputs_reasons_model_and_where_they_came_from(
    explanations: Explanations, bank: World
) -> None:
    first, second = read(bank), read(bank)
    for answer in (first, second):
        explanations.attach(explanation(answer), "c1", NOON)
    newest, oldest = explanations.of("c1")
    assert (newest.explanation, oldest.explanation) == (explanation(second), explanation(first))
    assert (newest.scene, newest.at) == ("segmentation", NOON)
    assert newest.views == {"age": "personal", "job": "synthetic"}
    assert explanations.of("c2") == []


def test_an_explanation_dies_with_the_customers_key(
    explanations: Explanations, bank: World, tmp_path: Path
) -> None:
    explanations.attach(explanation(read(bank)), "c1", NOON)
    raw = b"".join(path.read_bytes() for path in tmp_path.glob("register.sqlite*"))
    assert b"steady savers" not in raw
    bank.ledger.erase("c1", NOON)
    assert explanations.of("c1") == []


def test_an_explanation_rests_on_ones_own_reading_of_this_customer(
    explanations: Explanations, bank: World
) -> None:
    mine, others, theirs = read(bank), read(bank, "c2"), read(bank, service="crm")
    for answer in (others, theirs):
        with pytest.raises(ExplanationError, match="not answered to analytics about this customer"):
            explanations.attach(explanation(answer), "c1", NOON)
    nowhere = explanation(mine)
    for place in (
        Reference(mine.read_log, 99),
        Reference(mine.read_log, -1),
        Reference("test.example/reads-9", mine.entry),
        Reference("other.example/reads-1", mine.entry),
        Reference("test.example/../reads", mine.entry),
        Reference("test.example/..", mine.entry),
    ):
        with pytest.raises(ExplanationError, match="name the answer's entry"):
            explanations.attach(replace(nowhere, reading=place), "c1", NOON)
    assert explanations.of("c1") == []


def test_inputs_are_only_what_the_reading_answered(explanations: Explanations, bank: World) -> None:
    bank.gate._served.clear()
    bank.gate._plans.clear()
    answer = read(bank)
    assert answer.values["job"] is None  # withheld
    with pytest.raises(ExplanationError, match=r"inputs \['job'\] were not answered"):
        explanations.attach(explanation(answer), "c1", NOON)
    claimed = replace(explanation(answer), inputs={"age": 31, "income": 9})
    with pytest.raises(ExplanationError, match=r"inputs \['income'\] were not answered"):
        explanations.attach(claimed, "c1", NOON)
    explanations.attach(replace(claimed, inputs={"age": 31}), "c1", NOON)


BAD: dict[str, dict[str, Any]] = {
    "no reason": {"reasons": ()},
    "a blank reason": {"reasons": ("  ",)},
    "too many reasons": {"reasons": ("because",) * 21},
    "a reason without end": {"reasons": ("so " * 1000,)},
    "no outcome": {"outcome": ""},
    "no model": {"model": ""},
    "no version of the model": {"model_version": " "},
    "an input that is no plain value": {"inputs": {"age": [31]}},
    "a broken number": {"inputs": {"age": 31.5}},
    "an input without end": {"inputs": {"age": "x" * 2001}},
}


@pytest.mark.parametrize("why", BAD)
def test_an_explanation_that_explains_nothing_is_refused(
    why: str, explanations: Explanations, bank: World
) -> None:
    with pytest.raises(ExplanationError, match="want"):
        explanations.attach(replace(explanation(read(bank)), **BAD[why]), "c1", NOON)
    assert explanations.of("c1") == []


def test_for_a_customer_without_a_key_nothing_is_kept(
    explanations: Explanations, bank: World
) -> None:
    with pytest.raises((ExplanationError, UnsealableError)):
        explanations.attach(explanation(read(bank, "nobody")), "nobody", NOON)

"""17.2: a check that hangs holds up nobody, and is asked once at a time."""

import asyncio
import logging
from threading import Event
from time import monotonic

import pytest

from portal.operations.readiness.checks import NotReadyError
from portal.operations.readiness.outcomes import FRESH_S, WAIT_S, CheckOutcome, CheckOutcomes


def test_a_check_that_hangs_is_no_answer_and_runs_once() -> None:
    over, begun = Event(), []

    def hangs() -> None:
        begun.append(1)
        over.wait()

    outcomes = CheckOutcomes({"hangs": hangs, "good": lambda: None})
    try:
        for _ in range(2):
            before = monotonic()
            found = asyncio.run(outcomes.now())
            assert monotonic() - before < WAIT_S + 5  # a busy machine
            assert found == {"good": CheckOutcome.OK, "hangs": CheckOutcome.NO_ANSWER}
        assert len(begun) == 1
    finally:
        over.set()


def test_an_outcome_is_given_again_for_a_moment() -> None:
    asked: list[int] = []
    outcomes = CheckOutcomes({"counted": lambda: asked.append(1)})
    began = monotonic()
    for _ in range(5):
        assert asyncio.run(outcomes.now()) == {"counted": CheckOutcome.OK}
    assert len(asked) <= 1 + (monotonic() - began) // FRESH_S


def test_why_a_check_failed_is_logged_once_and_quotes_no_value(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken() -> None:
        raise ValueError("c00007 Zhang")

    def known() -> None:
        raise NotReadyError("every scene is suspended")

    with caplog.at_level(logging.WARNING, "sovereign"):
        found = asyncio.run(CheckOutcomes({"broken": broken, "known": known}).now())
    assert found == {"broken": CheckOutcome.FAILED, "known": CheckOutcome.FAILED}
    assert sorted(caplog.messages) == [
        "not ready: broken: ValueError",
        "not ready: known: every scene is suspended",
    ]

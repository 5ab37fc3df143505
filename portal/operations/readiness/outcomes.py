"""Runs checks so that whoever asks waits a second at most, and no hung check holds a request.

Each check runs in a thread of its own, at most one at a time, when somebody asks and its last
outcome is older than FRESH_S. While one hangs, its outcome is `no answer`.
"""

import asyncio
import logging
from collections.abc import Mapping
from enum import StrEnum
from threading import Lock, Thread
from time import monotonic

from sqlalchemy.exc import SQLAlchemyError

from gate.reads.sources.interface import SourceUnavailableError, without_values
from ledger.storage.database import DatabaseError
from portal.operations.job_results import JobResultsError
from portal.operations.readiness.checks import Check, NotReadyError

FRESH_S = 2.0  # for which an outcome is given again
WAIT_S = 1.0  # that an answer waits for outcomes
LOOK_S = 0.02
_SPEAKING = (NotReadyError, SourceUnavailableError, DatabaseError, JobResultsError)
_LOG = logging.getLogger("sovereign")


class CheckOutcome(StrEnum):
    OK = "ok"
    FAILED = "failed"
    NO_ANSWER = "no answer"


class CheckOutcomes:
    """The outcomes of checks, by name. Thread-safe."""

    def __init__(self, checks: Mapping[str, Check]) -> None:
        self._checks = {name: _Running(name, check) for name, check in sorted(checks.items())}

    async def now(self) -> dict[str, CheckOutcome]:
        """The outcome of each check, none older than FRESH_S + WAIT_S."""
        until = monotonic() + WAIT_S
        for each in self._checks.values():
            each.begin()
        while monotonic() < until and any(each.is_due for each in self._checks.values()):  # noqa: ASYNC110 - set by threads, not by the loop
            await asyncio.sleep(LOOK_S)
        return {name: each.outcome() for name, each in self._checks.items()}


class _Running:
    """One check with its last outcome."""

    def __init__(self, name: str, check: Check) -> None:
        self._name, self._check = name, check
        self._guard = Lock()
        self._runs = False
        self._ended = float("-inf")
        self._outcome = CheckOutcome.NO_ANSWER
        self._why = ""

    @property
    def is_due(self) -> bool:
        return monotonic() - self._ended > FRESH_S

    def begin(self) -> None:
        with self._guard:
            if self._runs or not self.is_due:
                return
            self._runs = True
        Thread(target=self._run, name=f"check {self._name}", daemon=True).start()

    def outcome(self) -> CheckOutcome:
        return CheckOutcome.NO_ANSWER if self._is_hung else self._outcome

    @property
    def _is_hung(self) -> bool:
        return self._runs and monotonic() - self._ended > FRESH_S + WAIT_S

    def _run(self) -> None:
        outcome, why = CheckOutcome.OK, ""
        try:
            self._check()
        except Exception as error:  # noqa: BLE001 - whatever it was, the check failed
            outcome, why = CheckOutcome.FAILED, _reason(error)
        if outcome is CheckOutcome.FAILED and why != self._why:  # log the same failure once
            _LOG.warning("not ready: %s: %s", self._name, why)
        with self._guard:
            self._outcome, self._why, self._ended, self._runs = outcome, why, monotonic(), False


def _reason(error: Exception) -> str:
    """Why a check failed. Messages of other libraries may quote values: they are left out."""
    if isinstance(error, SQLAlchemyError):
        return without_values(error)
    return str(error) if isinstance(error, _SPEAKING) else type(error).__name__

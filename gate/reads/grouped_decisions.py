"""Decides questions that arrive together in one call, and logs them in one commit.

A decision costs a few microseconds alone, and a fraction of one beside others: they share the
ledger's size, the plan, the moment and the quota's counting.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import NamedTuple, TypeVar

from gate.readlog.entry import Question, WrittenDecision
from gate.readlog.group_commit import Commits
from gate.reads.point import Gate
from gate.storage.deliveries import Logged

Decided = TypeVar("Decided")


class DurableDecision(NamedTuple):
    """A decision that is durable in the read log."""

    decision: WrittenDecision
    logged: Logged


class _Waiting(NamedTuple):
    question: Question  # about one customer
    done: asyncio.Future[DurableDecision]


class GroupedDecisions:
    """Await `logged`: then the decision's entry is durable, and its answer may leave."""

    def __init__(self, gate: Gate, commits: Commits, clock: Callable[[], datetime]) -> None:
        self._gate, self._commits, self._clock = gate, commits, clock
        self._waiting: list[_Waiting] = []
        self._running: asyncio.Task[None] | None = None

    def logged(self, question: Question) -> asyncio.Future[DurableDecision]:
        """The decision of a question about one customer.

        The future raises StaleStateError, JournalError, or what the ledger raises.
        """
        loop = asyncio.get_running_loop()
        done: asyncio.Future[DurableDecision] = loop.create_future()
        self._waiting.append(_Waiting(question, done))
        if self._running is None:
            self._running = loop.create_task(self._decide())
        return done

    async def _decide(self) -> None:
        try:
            while self._waiting:
                waiting, self._waiting = self._waiting, []
                # One that asks for a position may be refused for it, and must not refuse others.
                apart = [each for each in waiting if each.question.minimum_size]
                together = [each for each in waiting if not each.question.minimum_size]
                for group in ([together] if together else []) + [[each] for each in apart]:
                    await self._log(group)
        finally:
            self._running = None

    async def _log(self, group: Sequence[_Waiting]) -> None:
        alike = _alike(group)
        questions = [
            Question(service, scene, [each.question.subjects[0] for each in asking], fields, size)
            for (service, scene, fields, size), asking in alike.items()
        ]
        order = [each for asking in alike.values() for each in asking]
        try:
            decisions = await waiting_elsewhere(
                self._gate, lambda: self._gate.decide_in_writing(questions, self._clock())
            )
        except Exception as error:  # noqa: BLE001 - every waiting caller must get the error
            _fail(order, error)
            return
        durable = self._commits.record([(each, each.customer) for each in decisions])
        durable.add_done_callback(lambda done: _tell(order, decisions, done))


_Alike = dict[tuple[str, str, tuple[str, ...], int], list[_Waiting]]


def _alike(group: Sequence[_Waiting]) -> _Alike:
    """Who waits for the same answer about another customer, in the order of arrival."""
    found: _Alike = {}
    for each in group:
        asked = each.question
        key = asked.service, asked.scene, asked.fields, asked.minimum_size
        if (asking := found.get(key)) is None:
            asking = found[key] = []
        asking.append(each)
    return found


def _tell(
    order: Sequence[_Waiting], decisions: Sequence[WrittenDecision], durable: asyncio.Future[Logged]
) -> None:
    if durable.cancelled():
        for each in order:
            each.done.cancel()
        return
    if (error := durable.exception()) is not None:
        _fail(order, error)
        return
    deliveries, entries, log = durable.result()
    for each, decision, entry in zip(order, decisions, entries, strict=True):
        if not each.done.done():  # its client may have left
            logged = Logged(deliveries, range(entry, entry + 1), log)
            each.done.set_result(DurableDecision(decision, logged))


def _fail(order: Sequence[_Waiting], error: BaseException) -> None:
    for each in order:
        if not each.done.done():
            each.done.set_exception(error)


async def waiting_elsewhere(
    gate: Gate, decide: Callable[[], Decided], *, is_long: bool = False
) -> Decided:
    """Decide; wait for others in another thread, so that requests are answered meanwhile."""
    options = gate.options
    if is_long or options.asks_server or options.quotas.waits:
        return await asyncio.to_thread(decide)
    if not gate.decides_at_once():
        await asyncio.to_thread(gate.catch_up)
    return decide()

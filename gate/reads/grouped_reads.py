"""Answers reads of one customer that arrive together: one query of the source, one commit.

A read alone costs a query and a commit, each some hundred microseconds; beside others it shares
them. While a group is read, those that arrive are the next one. Only a group that takes long, for a
source that is slow, is not waited for: then another begins, up to MAX_GROUPS at once.
"""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from gate.reads.point import Gate
from gate.reads.request import Answer, ReadRequest

MAX_GROUP = 256  # reads of one group
MAX_GROUPS = 8  # groups at once: each has a thread
SLOW_S = 0.02  # after this time another group begins


class _Waiting(NamedTuple):
    request: ReadRequest
    done: asyncio.Future[Answer]


class GroupedReads:
    """Await `answer`: then the read's entry is durable, and its answer may leave."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._waiting: list[_Waiting] = []
        self._threads = ThreadPoolExecutor(MAX_GROUPS, "point-reads")
        self._running = set[asyncio.Task[None]]()
        self._eager: asyncio.Task[None] | None = None  # the task that takes the next group

    def answer(self, request: ReadRequest) -> asyncio.Future[Answer]:
        """The answer to a read.

        The future raises StaleStateError, JournalError, or what the ledger raises.
        """
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Answer] = loop.create_future()
        self._waiting.append(_Waiting(request, done))
        self._begin(loop)
        return done

    def _begin(self, loop: asyncio.AbstractEventLoop) -> None:
        """Let a task read what waits, if none is about to and there may be another.

        It begins in the loop's next round, so what has arrived by then is in its first group.
        """
        if self._waiting and self._eager is None and len(self._running) < MAX_GROUPS:
            self._eager = loop.create_task(self._read(loop))
            self._running.add(self._eager)

    async def _read(self, loop: asyncio.AbstractEventLoop) -> None:
        me = asyncio.current_task()
        try:
            while self._waiting and self._eager is me:
                await self._answer(loop, self._next())
        finally:
            if self._eager is me:
                self._eager = None
            self._running.discard(me)
            self._begin(loop)

    def _next(self) -> list[_Waiting]:
        """The next group, in the order of arrival.

        A read that asks for a position may be refused for it, and must not refuse others.
        """
        apart = (n for n, each in enumerate(self._waiting) if each.request.minimum_size)
        count = max(1, min(next(apart, MAX_GROUP), MAX_GROUP))
        group, self._waiting = self._waiting[:count], self._waiting[count:]
        return group

    async def _answer(self, loop: asyncio.AbstractEventLoop, group: Sequence[_Waiting]) -> None:
        slow = loop.call_later(SLOW_S, self._pass_on, loop, self._eager)
        requests = [each.request for each in group]
        try:
            answers = await loop.run_in_executor(self._threads, self._gate.read_all, requests)
        except Exception as error:  # noqa: BLE001 - every waiting caller must get the error
            for each in group:
                if not each.done.done():  # its client may have left
                    each.done.set_exception(error)
        else:
            for each, answer in zip(group, answers, strict=True):
                if not each.done.done():
                    each.done.set_result(answer)
        finally:
            slow.cancel()

    def _pass_on(self, loop: asyncio.AbstractEventLoop, slow: asyncio.Task[None] | None) -> None:
        """Let another task take the next group: this one waits for a source that is slow."""
        if self._eager is slow:
            self._eager = None
            self._begin(loop)

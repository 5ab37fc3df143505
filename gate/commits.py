"""Group commit on the event loop: who waits while the disk works is written together.

Decisions are made on the event loop, in microseconds, and so are their entries in the read log;
only the wait for the disk is spent in a thread, one hand-over a commit.
"""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from gate.authzen import Asked
from gate.journal import Journal, Line


class Commits:
    """Journals what is asked while one commit is under way together with the next one.

    An answer leaves after what `record` gave was awaited: then its entry is durable.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._waiting: list[tuple[Sequence[Asked], asyncio.Future[int]]] = []
        self._running: asyncio.Task[None] | None = None
        self._disk = ThreadPoolExecutor(1, "read-log")

    def record(self, asked: Sequence[Asked]) -> asyncio.Future[int]:
        """The first one's index in the read log, once all are durable; the others' follow it."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[int] = loop.create_future()
        self._waiting.append((asked, done))
        if self._running is None:
            self._running = loop.create_task(self._commit())
        return done

    async def _commit(self) -> None:
        try:
            while self._waiting:
                together, self._waiting = self._waiting, []
                flat = [(each.ruling, each.customer) for asked, _ in together for each in asked]
                try:
                    first = (await self._durable(flat)).start
                except Exception as error:  # noqa: BLE001 - who waits must hear of it, whatever it is
                    _tell(together, error)
                    continue
                for asked, done in together:
                    if not done.done():
                        done.set_result(first)
                    first += len(asked)
        finally:
            self._running = None

    async def _durable(self, flat: Sequence[tuple[Line, str]]) -> range:
        loop = asyncio.get_running_loop()
        if (begun := self._journal.begin(flat)) is None:  # a read in another thread is committing
            return await loop.run_in_executor(self._disk, self._journal.record_all, flat)
        await loop.run_in_executor(self._disk, self._journal.finish)
        return begun


def _tell(
    together: Sequence[tuple[Sequence[Asked], asyncio.Future[int]]], error: Exception
) -> None:
    for _, done in together:
        if not done.done():
            done.set_exception(error)

"""Group commit on the event loop: who waits while the disk works is written together.

Decisions are made on the event loop, in microseconds, and so are their entries in the read log. A
disk that answers at once is waited for on the loop as well: a hand-over to a thread and back costs
more than that. A slower one is waited for in a thread, one hand-over a commit.
"""

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from gate.readlog.writer import Asked, Journal

WAIT_HERE_S = 0.005
TRY_AGAIN = 100  # commits, after which a slow disk is tried on the loop again


class Commits:
    """Journals what is asked while one commit is under way together with the next one.

    An answer leaves after what `record` gave was awaited: then its entry is durable.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._waiting: list[tuple[Sequence[Asked], asyncio.Future[int]]] = []
        self._running: asyncio.Task[None] | None = None
        self._disk = ThreadPoolExecutor(1, "read-log")
        self._waited_s = 0.0  # for the disk, when it was last waited for on the loop
        self._tried = 0

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
                flat = [each for asked, _ in together for each in asked]
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

    async def _durable(self, flat: Sequence[Asked]) -> range:
        loop = asyncio.get_running_loop()
        if (begun := self._journal.begin(flat)) is None:  # a read in another thread is committing
            return await loop.run_in_executor(self._disk, self._journal.record_all, flat)
        self._tried = (self._tried + 1) % TRY_AGAIN
        if self._waited_s < WAIT_HERE_S or not self._tried:
            start = time.perf_counter()
            self._journal.finish()
            self._waited_s = time.perf_counter() - start
        else:
            await loop.run_in_executor(self._disk, self._journal.finish)
        return begun


def _tell(
    together: Sequence[tuple[Sequence[Asked], asyncio.Future[int]]], error: Exception
) -> None:
    for _, done in together:
        if not done.done():
            done.set_exception(error)

"""Group commit on the event loop: entries that arrive during a commit are written with the next.

Decisions and their read-log entries are computed on the event loop in microseconds. While the disk
is fast, the loop itself waits for it, because switching to a thread and back would take longer. For
a slow disk, each commit waits in a thread.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from gate.readlog.writer import Asked, Journal
from gate.storage.deliveries import Logged

WAIT_HERE_S = 0.005
TRY_AGAIN = 100  # commits after which a slow disk is tried on the loop again


class Commits:
    """Writes entries to a journal in groups, one group per commit.

    Await the future of `record` before sending the answer: then its entry is durable.
    """

    def __init__(self, journal: Callable[[], Journal], *, on_loop: bool = True) -> None:
        """`journal`: the present one; a running gate may go on in another.

        `on_loop`: whether the loop may wait for a fast disk; never for a server.
        """
        self._journal, self._on_loop = journal, on_loop
        self._waiting: list[tuple[Sequence[Asked], asyncio.Future[Logged]]] = []
        self._running: asyncio.Task[None] | None = None
        self._disk = ThreadPoolExecutor(1, "read-log")
        self._waited_s = 0.0  # duration of the last commit on the loop
        self._tried = 0

    def record(self, asked: Sequence[Asked]) -> asyncio.Future[Logged]:
        """A future of where the entries stand, done once all are durable."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Logged] = loop.create_future()
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
                    journal = self._journal()
                    first = (await self._durable(journal, flat)).start
                except Exception as error:  # noqa: BLE001 - every waiting caller must get the error
                    _tell(together, error)
                    continue
                for asked, done in together:
                    if not done.done():
                        done.set_result(journal.logged(first, len(asked)))
                    first += len(asked)
        finally:
            self._running = None

    async def _durable(self, journal: Journal, flat: Sequence[Asked]) -> range:
        loop = asyncio.get_running_loop()
        begun = journal.begin(flat) if self._on_loop else None
        if begun is None:  # another thread is committing, or it is a server that does
            return await loop.run_in_executor(self._disk, journal.record_all, flat)
        self._tried = (self._tried + 1) % TRY_AGAIN
        if self._waited_s < WAIT_HERE_S or not self._tried:
            start = time.perf_counter()
            journal.finish()
            self._waited_s = time.perf_counter() - start
        else:
            await loop.run_in_executor(self._disk, journal.finish)
        return begun


def _tell(
    together: Sequence[tuple[Sequence[Asked], asyncio.Future[Logged]]], error: Exception
) -> None:
    for _, done in together:
        if not done.done():
            done.set_exception(error)

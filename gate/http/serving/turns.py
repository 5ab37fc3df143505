"""Lets short requests go first, one long request be worked at a time, and services take turns.

A batch of 10,000 evaluations takes some ten milliseconds to read, and more to decide and to log. It
is worked in pieces, and between two of them it waits until no short request is being answered, but
WAIT_S at most: so that it ends, however many of them come.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

LONG = 1 << 14  # bytes of a body from which a request waits for its turn
WAIT_S = 0.02  # between two pieces, at most
ROUNDS = 3  # of the event loop, in which a request that has arrived begins to be answered
Pause = Callable[[], Awaitable[None]]


class ShortRequests:
    """Those that are being answered: a request enters the context, and leaves it answered."""

    def __init__(self) -> None:
        self._inside = 0
        self._nobody = asyncio.Event()
        self._nobody.set()

    def __enter__(self) -> None:
        self._inside += 1
        self._nobody.clear()

    def __exit__(self, *_: object) -> None:
        self._inside -= 1
        if not self._inside:
            self._nobody.set()

    async def first(self) -> None:
        """Let them go first: awaited between two pieces of a long request."""
        for _ in range(ROUNDS):
            await asyncio.sleep(0)
        if self._inside:
            with suppress(TimeoutError):
                async with asyncio.timeout(WAIT_S):
                    await self._nobody.wait()


class ServiceTurns:
    """For one event loop: services in the order of arrival, each with one long request."""

    def __init__(self) -> None:
        self.short = ShortRequests()
        self._now = asyncio.Lock()
        self._own: dict[str, asyncio.Lock] = {}

    @asynccontextmanager
    async def turn(self, service: str, size: int) -> AsyncIterator[Pause]:
        """The turn of a request with a body of so many bytes; at once for one that is short.

        Gives what the request awaits between two pieces of its work.
        """
        if size < LONG:
            with self.short:
                yield _let_others
            return
        async with self._own.setdefault(service, asyncio.Lock()), self._now:
            yield self.short.first


async def _let_others() -> None:
    await asyncio.sleep(0)

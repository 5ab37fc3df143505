"""Lets one long request be worked at a time, and the services take turns.

A batch of 10,000 evaluations takes some ten milliseconds to read, and as much to log. Many of them
at once would leave others no room between.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

LONG = 1 << 14  # bytes of a body from which a request waits for its turn


class ServiceTurns:
    """For one event loop: services in the order of arrival, each with one request."""

    def __init__(self) -> None:
        self._now = asyncio.Lock()
        self._own: dict[str, asyncio.Lock] = {}

    @asynccontextmanager
    async def turn(self, service: str, size: int) -> AsyncIterator[None]:
        """The turn of a request with a body of so many bytes; at once for one that is short."""
        if size < LONG:
            yield
            return
        async with self._own.setdefault(service, asyncio.Lock()), self._now:
            yield

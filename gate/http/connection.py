"""What the server knows of a client's connection: whether it took an answer whole.

ASGI does not say. The product's servers (gate.http.serving) put a `Connection` into the scope of
each request. Its transport has no buffer to speak of: `drained` returns once the operating
system's socket has every byte. Under another server nothing is known, so answers are *unknown*.
"""

import asyncio
import select
from collections.abc import Mapping
from typing import Any

from uvicorn.protocols.http.flow_control import FlowControl

from gate.storage.deliveries import Delivery

EXTENSION = "sovereign.connection"  # its name among the scope's extensions
AGENT = "sovereign.agent"  # set where a tool of /mcp asks in this process; no client can set it
DRAIN_TIMEOUT_S = 30.0
POLLED_S, POLLED_MOST_S = 0.001, 0.02  # seconds between looks whether a socket has room


class Connection:
    """One client's connection, on the event loop that serves it."""

    def __init__(self, transport: asyncio.Transport, flow: FlowControl) -> None:
        self._transport, self._flow = transport, flow
        self.lost = False  # also if it was closed as it should be
        self.failed = False  # with bytes that the client did not take
        self.stopping = asyncio.Event()  # the server ends: answer what waits

    async def room(self) -> None:
        """Wait until the socket takes a piece of an answer whole, or the connection is lost.

        Linux calls a socket writable when a third of its buffer is free.
        """
        taken, wait = self._transport.get_extra_info("socket"), POLLED_S
        if taken is None or self.lost:
            return
        ready = select.poll()
        ready.register(taken.fileno(), select.POLLOUT)
        while not self.lost and not ready.poll(0):
            await asyncio.sleep(wait)
            wait = min(2 * wait, POLLED_MOST_S)

    def abort(self) -> None:
        """Close at once, without what this process still has to send."""
        self._transport.abort()

    async def drained(self) -> bool | None:
        """Wait until the socket has all that was sent; False: it failed, None: not in time."""
        if self._flow.write_paused:
            try:
                async with asyncio.timeout(DRAIN_TIMEOUT_S):
                    await self._flow.drain()
            except TimeoutError:
                return None
        if self._transport.is_closing():
            await asyncio.sleep(0)  # a failed write is reported in the loop's next round
        return not self.failed


def known(scope: Mapping[str, Any]) -> Connection | None:
    """The connection of a request, if the server says."""
    found = (scope.get("extensions") or {}).get(EXTENSION)
    return found if isinstance(found, Connection) else None


def by_agent(scope: Mapping[str, Any]) -> bool:
    """Whether a tool of this process's `/mcp` sent the request."""
    return AGENT in (scope.get("extensions") or {})


async def delivery(client: Connection | None, *, was_lost: bool) -> Delivery:
    """What became of an answer that was sent to its end. `was_lost`: before its last bytes."""
    if client is None:
        return Delivery.UNKNOWN
    if was_lost:
        return Delivery.CUT
    taken = await client.drained()
    if taken is None:
        return Delivery.UNKNOWN
    return Delivery.DELIVERED if taken else Delivery.CUT

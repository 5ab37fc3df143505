"""Reads HTTP request bodies, with limits on size and time."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

MAX_BYTES = 1 << 20
TIMEOUT_S = 10.0
LOOKS = 5  # checks for slow bodies per TIMEOUT_S
Receive = Callable[[], Awaitable[Mapping[str, Any]]]


class BodyTooLargeError(Exception):
    """The body has more than MAX_BYTES."""


class BodyTooSlowError(Exception):
    """The body did not arrive within TIMEOUT_S."""


async def whole(receive: Receive) -> bytes:
    """Read one body. Raises BodyTooLargeError and BodyTooSlowError."""
    return await Bodies().whole(receive)


class Bodies:
    """Reads bodies with one shared timeout.

    A timeout per request would cost more than the rest of most requests, whose body is already
    there. So one timer checks all waiting requests LOOKS times per TIMEOUT_S, and runs only while
    there are any.
    """

    def __init__(self) -> None:
        self._since: dict[asyncio.Task[Any], float] = {}  # waiting task -> its start
        self._late: set[asyncio.Task[Any]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None  # the loop with an active timer

    async def whole(self, receive: Receive) -> bytes:
        """Read one body. Raises BodyTooLargeError and BodyTooSlowError."""
        loop = asyncio.get_running_loop()
        if (task := asyncio.current_task(loop)) is None:
            raise AssertionError("a request must run in a task")
        self._since[task] = loop.time()
        if self._loop is not loop:
            self._look_again(loop)
        try:
            return await _collected(receive)
        except asyncio.CancelledError:
            if task in self._late and task.uncancel() == 0:  # not cancelled otherwise
                raise BodyTooSlowError(f"send the whole body within {TIMEOUT_S:.0f} s") from None
            raise
        finally:
            del self._since[task]
            self._late.discard(task)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = None
        latest = loop.time() - TIMEOUT_S
        for task, since in self._since.items():
            if since <= latest and task not in self._late:
                self._late.add(task)
                task.cancel()
        if self._since:
            self._look_again(loop)

    def _look_again(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        loop.call_later(TIMEOUT_S / LOOKS, self._look, loop)


async def _collected(receive: Receive) -> bytes:
    message = await receive()
    chunk: bytes = message.get("body", b"")
    chunks, size = [chunk], len(chunk)
    while message.get("more_body", False) and size <= MAX_BYTES:
        message = await receive()
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
    if size > MAX_BYTES:
        raise BodyTooLargeError(f"send at most {MAX_BYTES} bytes; split a batch")
    return b"".join(chunks)

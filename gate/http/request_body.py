"""The body of an HTTP request: not too large, and there in time."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

MAX_BYTES = 1 << 20
TIMEOUT_S = 10.0
LOOKS = 5  # after the slow, in TIMEOUT_S
Receive = Callable[[], Awaitable[Mapping[str, Any]]]


class BodyTooLargeError(Exception):
    """More than MAX_BYTES."""


class BodyTooSlowError(Exception):
    """Not all of it arrived within TIMEOUT_S."""


async def whole(receive: Receive) -> bytes:
    """One body, for those who seldom wait. Raises BodyTooLargeError, BodyTooSlowError."""
    return await Bodies().whole(receive)


class Bodies:
    """Waits for bodies, and lets nobody wait for ever.

    A timeout for each would cost more than all the rest of most requests, whose body is there when
    they begin. So one timer looks after all who wait, a few times in TIMEOUT_S, and runs only while
    somebody does.
    """

    def __init__(self) -> None:
        self._since: dict[asyncio.Task[Any], float] = {}  # who waits, by the loop's clock
        self._late: set[asyncio.Task[Any]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None  # whose timer is set

    async def whole(self, receive: Receive) -> bytes:
        """The body. Raises BodyTooLargeError, BodyTooSlowError."""
        loop = asyncio.get_running_loop()
        if (task := asyncio.current_task(loop)) is None:
            raise AssertionError("a request is a task")
        self._since[task] = loop.time()
        if self._loop is not loop:
            self._look_again(loop)
        try:
            return await _collected(receive)
        except asyncio.CancelledError:
            if task in self._late and task.uncancel() == 0:  # else somebody else cancelled it, too
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

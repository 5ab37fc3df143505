"""The body of an HTTP request: not too large, and there in time."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

MOST_BYTES = 1 << 20
TIMEOUT_S = 10.0
Receive = Callable[[], Awaitable[Mapping[str, Any]]]


class BodyTooLargeError(Exception):
    """More than MOST_BYTES."""


class BodyTooSlowError(Exception):
    """Not all of it arrived within TIMEOUT_S."""


async def whole(receive: Receive) -> bytes:
    """The body. Raises BodyTooLargeError, BodyTooSlowError."""
    try:
        async with asyncio.timeout(TIMEOUT_S):
            return await _collected(receive)
    except TimeoutError as error:
        raise BodyTooSlowError(f"send the whole body within {TIMEOUT_S:.0f} s") from error


async def _collected(receive: Receive) -> bytes:
    message = await receive()
    chunk: bytes = message.get("body", b"")
    chunks, size = [chunk], len(chunk)
    while message.get("more_body", False) and size <= MOST_BYTES:
        message = await receive()
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
    if size > MOST_BYTES:
        raise BodyTooLargeError(f"send at most {MOST_BYTES} bytes; split a batch")
    return b"".join(chunks)

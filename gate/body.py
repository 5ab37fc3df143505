"""The body of an HTTP request: not too large, and there in time."""

import asyncio
from collections.abc import Awaitable, Callable, Generator, Mapping
from typing import Any

MOST_BYTES = 1 << 20
TIMEOUT_S = 10.0
Receive = Callable[[], Awaitable[Mapping[str, Any]]]


class BodyTooLargeError(Exception):
    """More than MOST_BYTES."""


class BodyTooSlowError(Exception):
    """Not all of it arrived within TIMEOUT_S."""


async def whole(receive: Receive) -> bytes:
    """The body. Raises BodyTooLargeError, BodyTooSlowError.

    Most bodies are there when they are looked for, and are taken at once: setting a timeout costs
    more than the rest of such a request.
    """
    steps = receive().__await__()
    message: Mapping[str, Any] | None = None
    try:
        waiting = _Resumed(steps, next(steps))
    except StopIteration as there:
        message = there.value
        chunk: bytes = message.get("body", b"")
        if not message.get("more_body", False) and len(chunk) <= MOST_BYTES:
            return chunk
    try:
        async with asyncio.timeout(TIMEOUT_S):
            return await _collected(message or await waiting, receive)
    except TimeoutError as error:
        raise BodyTooSlowError(f"send the whole body within {TIMEOUT_S:.0f} s") from error


class _Resumed:
    """What has begun to be awaited, awaited to its end."""

    def __init__(self, steps: Generator[Any, Any, Mapping[str, Any]], waits_for: Any) -> None:
        self._steps, self._waits_for = steps, waits_for

    def __await__(self) -> Generator[Any, Any, Mapping[str, Any]]:
        waits_for, steps = self._waits_for, self._steps
        try:
            while True:
                try:
                    given = yield waits_for
                except GeneratorExit:
                    steps.close()
                    raise
                except BaseException as error:  # noqa: BLE001 - what is awaited may go on all the same
                    waits_for = steps.throw(error)
                else:
                    waits_for = steps.send(given)
        except StopIteration as there:
            message: Mapping[str, Any] = there.value
            return message


async def _collected(message: Mapping[str, Any], receive: Receive) -> bytes:
    """All of a body that begins with `message`."""
    chunks: list[bytes] = [message.get("body", b"")]
    size = len(chunks[0])
    while message.get("more_body", False) and size <= MOST_BYTES:
        message = await receive()
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
    if size > MOST_BYTES:
        raise BodyTooLargeError(f"send at most {MOST_BYTES} bytes; split a batch")
    return b"".join(chunks)

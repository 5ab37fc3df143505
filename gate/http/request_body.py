"""Reads HTTP request bodies, with limits on size and time, and finds members that occur twice."""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any

import msgspec

MAX_BYTES = 1 << 20
TIMEOUT_S = 10.0
LOOKS = 5  # checks for slow bodies per TIMEOUT_S
Receive = Callable[[], Awaitable[Mapping[str, Any]]]


_SPACED = re.compile(rb'"[ \t\r\n]+:')  # a name with white space before its colon


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


def repeated_member(body: bytes) -> str | None:
    """The name of a member that occurs twice in one object of the JSON text; None if none does.

    Parsers differ in which one they take (RFC 8259, section 4), so whoever reads the request before
    the gate may see another question. Raises RecursionError for a text that is nested too deeply.
    """
    if b"\\" not in body and not _SPACED.search(body):
        # A quote and a colon stand at the end of each name, and at the beginning of some values.
        # Written again, the text has fewer of them exactly if a member was dropped.
        with suppress(msgspec.ValidationError):  # of a number that is too large
            again = msgspec.json.encode(msgspec.json.decode(body))
            if body.count(b'":') == again.count(b'":'):
                return None
    twice: list[str] = []

    def members(pairs: list[tuple[str, Any]]) -> None:
        known = set[str]()
        for name, _ in pairs:
            if name in known:
                twice.append(name)
            known.add(name)

    json.loads(
        body.decode(), object_pairs_hook=members, parse_int=len, parse_float=len, parse_constant=len
    )
    return twice[0] if twice else None

"""What leaves the gate over HTTP: one body, a stream of chunks, or a problem (RFC 9457)."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """RFC 9457. `detail` says what to do next."""

    type: str
    title: str
    status: int
    detail: str = ""
    reason: str = ""
    read_log: str = ""
    entry: int = -1


class Response(msgspec.Struct, frozen=True):  # made for every request: quicker than a dataclass
    status: int
    body: bytes
    content_type: bytes = b"application/json"
    retry_after: int = 0  # seconds; 0: not said


@dataclass(frozen=True, slots=True)
class Stream:
    """An answer of 200 that leaves piece by piece; whoever sends it closes `chunks`."""

    chunks: Iterator[bytes]
    content_type: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()  # besides those that every answer has


class HttpError(Exception):
    """A request that ends in a problem. `retry_after`: seconds after which to try again."""

    def __init__(
        self, status: int, slug: str, title: str, detail: str, *, retry_after: int = 0, **more: Any
    ) -> None:
        super().__init__(title)
        self.problem = Problem(f"urn:sovereign:problem:{slug}", title, status, detail, **more)
        self.retry_after = retry_after

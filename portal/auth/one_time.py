"""Stores values of exchanges that a browser begins and must finish once, within a time limit.

The browser has a random name in a cookie. The value never leaves the server, which stores only the
name's digest.
"""

import secrets
from datetime import datetime, timedelta
from hashlib import sha256
from threading import Lock
from typing import Generic, TypeVar

MAX_STORED = 100_000  # unfinished; beyond it the oldest are dropped

T = TypeVar("T")


class OneTimeStore(Generic[T]):
    """Values that can be taken once, until `lasts` is over. Thread-safe."""

    def __init__(self, lasts: timedelta) -> None:
        self.lasts = lasts
        self._lock = Lock()
        self._begun: dict[bytes, tuple[datetime, T]] = {}  # oldest first

    def begin(self, value: T, at: datetime) -> str:
        """Store a value; returns the name for `finish`."""
        name = secrets.token_urlsafe(32)
        with self._lock:
            while self._begun and (len(self._begun) >= MAX_STORED or self._oldest() <= at):
                del self._begun[next(iter(self._begun))]
            self._begun[_digest(name)] = at + self.lasts, value
        return name

    def finish(self, name: str | None, at: datetime) -> T | None:
        """The value, if its time is not over. It is removed."""
        with self._lock:
            stored = self._begun.pop(_digest(name or ""), None)
        return stored[1] if stored and at < stored[0] else None

    def _oldest(self) -> datetime:
        return next(iter(self._begun.values()))[0]


def _digest(name: str) -> bytes:
    return sha256(b"sovereign/once/v1\0" + name.encode()).digest()

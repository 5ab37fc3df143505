"""What was begun in a browser and has to be finished there: once, and soon.

The browser holds a random name in a cookie; what it stands for never leaves the server, and only
the name's digest is kept.
"""

import secrets
from datetime import datetime, timedelta
from hashlib import sha256
from threading import Lock
from typing import Generic, TypeVar

MOST = 100_000  # begun and not finished; then the oldest go

T = TypeVar("T")


class OneTimeStore(Generic[T]):
    """Thread-safe."""

    def __init__(self, lasts: timedelta) -> None:
        self.lasts = lasts
        self._lock = Lock()
        self._begun: dict[bytes, tuple[datetime, T]] = {}  # oldest first

    def begin(self, value: T, at: datetime) -> str:
        """The name under which `finish` finds the value."""
        name = secrets.token_urlsafe(32)
        with self._lock:
            while self._begun and (len(self._begun) >= MOST or self._oldest() <= at):
                del self._begun[next(iter(self._begun))]
            self._begun[_digest(name)] = at + self.lasts, value
        return name

    def finish(self, name: str | None, at: datetime) -> T | None:
        """The value, if its time is not over; it is not found again."""
        with self._lock:
            found = self._begun.pop(_digest(name or ""), None)
        return found[1] if found and at < found[0] else None

    def _oldest(self) -> datetime:
        return next(iter(self._begun.values()))[0]


def _digest(name: str) -> bytes:
    return sha256(b"sovereign/once/v1\0" + name.encode()).digest()

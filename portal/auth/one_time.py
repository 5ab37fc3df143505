"""Stores values of exchanges that a browser begins and must finish once, within a time limit.

The browser has a random name in a cookie. The value never leaves the server, which stores it in the
database under the name's digest, sealed under the name: any process may finish the exchange.
"""

import secrets
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar

import msgspec

from portal.auth import sealing
from portal.storage.sessions import SessionTable

T = TypeVar("T")


class OneTimeStore(Generic[T]):
    """Values that can be taken once, until `lasts` is over. Thread-safe."""

    def __init__(self, table: SessionTable, kind: str, type_: Any, lasts: timedelta) -> None:
        """`kind` separates what is stored for different ends. `type_`: T, for msgspec."""
        self.lasts = lasts
        self._table, self._kind = table, kind
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder: msgspec.msgpack.Decoder[T] = msgspec.msgpack.Decoder(type_)

    def begin(self, value: T, at: datetime) -> str:
        """Store a value; returns the name for `finish`."""
        name = secrets.token_urlsafe(32)
        digest = sealing.digest(name, self._kind)
        key = sealing.key(name, self._kind)
        sealed = sealing.seal(key, self._encoder.encode(value), digest)
        self._table.put(digest, self._kind, sealed, at + self.lasts)
        return name

    def finish(self, name: str | None, at: datetime) -> T | None:
        """The value, if its time is not over. It is removed."""
        if not name:
            return None
        digest = sealing.digest(name, self._kind)
        row = self._table.take(digest, self._kind)
        if row is None or at >= row.expires:
            return None
        content = sealing.unseal(sealing.key(name, self._kind), row.content, digest)
        return None if content is None else self._decoder.decode(content)

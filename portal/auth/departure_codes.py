"""Codes by mail for customers who leave without the key that they lost: the second channel.

A code works once, for half an hour, and for the customer it was made for. The database has only its
digest, and the customer sealed under it.
"""

import secrets
from datetime import datetime, timedelta

from portal.auth import sealing
from portal.auth.handoff import ALPHABET
from portal.storage.sessions import SessionTable

KIND = "departure"
LENGTH = 12  # 60 bits
LASTS = timedelta(minutes=30)


class DepartureCodes:
    """Codes that were mailed. Thread-safe."""

    def __init__(self, table: SessionTable) -> None:
        self._table = table

    def open(self, subject: str, at: datetime) -> str:
        """A new code, `XXXX-XXXX-XXXX`."""
        code = "".join(secrets.choice(ALPHABET) for _ in range(LENGTH))
        digest = sealing.digest(code, KIND)
        sealed = sealing.seal(sealing.key(code, KIND), subject.encode(), digest)
        self._table.put(digest, KIND, sealed, at + LASTS)
        return "-".join(code[place : place + 4] for place in range(0, LENGTH, 4))

    def redeem(self, code: str, at: datetime) -> str | None:
        """Whose code it is, if it is valid. It never works again."""
        code = "".join(sign for sign in code.upper() if sign in ALPHABET)
        digest = sealing.digest(code, KIND)
        row = self._table.take(digest, KIND)
        if row is None or at >= row.expires:
            return None
        content = sealing.unseal(sealing.key(code, KIND), row.content, digest)
        return None if content is None else content.decode()

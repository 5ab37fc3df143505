"""Codes in links by mail that sign a customer in, once, in the browser that asked, within 15 min.

A code is worth nothing without the random name in that browser's cookie: whoever sends a customer a
link of their own signs nobody in as somebody else, and whoever asks for a link in a customer's name
cannot use what the customer receives. The database has only a digest of both, and the customer
sealed under them.
"""

import secrets
from datetime import datetime, timedelta
from threading import Lock

from portal.auth import sealing
from portal.auth.handoff import ALPHABET
from portal.storage.sessions import SessionTable

KIND = "mailed-link"
LENGTH = 16  # 80 bits
LASTS = timedelta(minutes=15)
PAUSE = timedelta(minutes=1)  # between two letters to one customer


class MailedLinks:
    """Thread-safe."""

    def __init__(self, table: SessionTable) -> None:
        self._table = table
        self._asked: dict[str, datetime] = {}  # when each customer last got one
        self._lock = Lock()

    def may_ask(self, subject: str, at: datetime) -> bool:
        """Whether a letter may go to this customer now. Noted, if so."""
        with self._lock:
            self._asked = {name: last for name, last in self._asked.items() if at - last < PAUSE}
            if subject in self._asked:
                return False
            self._asked[subject] = at
            return True

    def open(self, subject: str, browser: str, at: datetime) -> str:
        """A new code for the browser of this name."""
        code = "".join(secrets.choice(ALPHABET) for _ in range(LENGTH))
        digest = sealing.digest(f"{code} {browser}", KIND)
        sealed = sealing.seal(sealing.key(f"{code} {browser}", KIND), subject.encode(), digest)
        self._table.put(digest, KIND, sealed, at + LASTS)
        return code

    def redeem(self, code: str, browser: str, at: datetime) -> str | None:
        """Whose code it is, if it is valid in this browser. It never works again."""
        code = "".join(sign for sign in code.upper() if sign in ALPHABET)
        digest = sealing.digest(f"{code} {browser}", KIND)
        row = self._table.take(digest, KIND)
        if row is None or at >= row.expires:
            return None
        content = sealing.unseal(sealing.key(f"{code} {browser}", KIND), row.content, digest)
        return None if content is None else content.decode()

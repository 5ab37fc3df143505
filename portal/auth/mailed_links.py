"""Codes in links by mail that sign a customer in, once, in the browser that asked, within 15 min.

A code is worth nothing without the random name in that browser's cookie: whoever sends a customer a
link of their own signs nobody in as somebody else, and whoever asks for a link in a customer's name
cannot use what the customer receives. The database has only a digest of both, and the customer
sealed under them.
"""

import secrets
from collections import deque
from datetime import datetime, timedelta
from threading import Lock
from typing import NamedTuple

from portal.auth import sealing
from portal.auth.handoff import ALPHABET
from portal.storage.sessions import SessionTable

KIND = "mailed-link"
LENGTH = 16  # 80 bits
LASTS = timedelta(minutes=15)
PAUSE = timedelta(minutes=1)  # between two letters to one customer that one browser asks for
TO_ONE, TO_ALL = 6, 60  # letters within LASTS to one customer, and within PAUSE to all


class _Asked(NamedTuple):
    subject: str
    browser: str
    at: datetime


class MailedLinks:
    """Thread-safe."""

    def __init__(self, table: SessionTable) -> None:
        self._table = table
        self._asked: deque[_Asked] = deque()  # for the last LASTS, oldest first
        self._lock = Lock()

    def may_ask(self, subject: str, browser: str, at: datetime) -> bool:
        """Whether a letter may go to this customer now. Noted, if so.

        Whoever asks in a customer's name delays the customer's own link, by LASTS at most.
        """
        with self._lock:
            while self._asked and at - self._asked[0].at >= LASTS:
                self._asked.popleft()
            lately = [each for each in self._asked if at - each.at < PAUSE]
            mine = any((each.subject, each.browser) == (subject, browser) for each in lately)
            to_one = sum(each.subject == subject for each in self._asked)
            if mine or to_one >= TO_ONE or len(lately) >= TO_ALL:
                return False
            self._asked.append(_Asked(subject, browser, at))
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

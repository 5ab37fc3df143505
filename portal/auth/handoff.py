"""Finish on the phone: a code that signs another device in, once, within two minutes.

The code is bound to the session that made it: signing out there ends it. It travels in the
fragment of the address inside the QR code, which no browser sends to a server, so that it stands
in no log; typed by hand it works too. Only its digest is kept.
"""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from io import BytesIO
from threading import Lock

from portal.auth.session import Session

ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"  # 32 signs that are hard to confuse
LENGTH = 12  # 60 bits: ten million guesses a second for two minutes find it once in 10^9
LASTS = timedelta(minutes=2)


@dataclass(frozen=True, slots=True)
class Handoff:
    by: Session
    deadline: datetime


class Handoffs:
    """Thread-safe. At most one open code a session."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._open: dict[bytes, Handoff] = {}

    def open(self, session: Session, at: datetime) -> str:
        """A fresh code, `XXXX-XXXX-XXXX`. An earlier one of the same session ends."""
        code = "".join(secrets.choice(ALPHABET) for _ in range(LENGTH))
        with self._lock:
            live = {k: each for k, each in self._open.items() if at < each.deadline}
            self._open = {k: each for k, each in live.items() if each.by is not session}
            self._open[_digest(code)] = Handoff(session, at + LASTS)
        return "-".join(code[place : place + 4] for place in range(0, LENGTH, 4))

    def redeem(self, code: str, at: datetime) -> Session | None:
        """The session that made this code, if it may still be used; it never works again."""
        with self._lock:
            found = self._open.pop(_digest(_normal(code)), None)
        if found is None or at >= found.deadline or not found.by.live(at):
            return None
        return found.by


def picture(address: str) -> str:
    """`address` as a QR code: SVG markup without script or style, which scales as a whole."""
    import segno

    drawn = BytesIO()
    segno.make(address, error="m").save(
        drawn,
        kind="svg",
        xmldecl=False,
        svgns=True,
        omitsize=True,
        border=4,
        dark="#111",
        light="#fff",
    )
    return drawn.getvalue().decode()


def _normal(code: str) -> str:
    return "".join(sign for sign in code.upper() if sign in ALPHABET)


def _digest(code: str) -> bytes:
    return sha256(b"sovereign/handoff/v1\0" + code.encode()).digest()

"""Sign-in on a phone: a code that signs another device in, once, within two minutes.

The code is bound to the session that made it: signing out there invalidates it. The QR code carries
it in the fragment of a URL, which browsers do not send to servers, so it appears in no log; typing
it works too. Only its digest is stored.
"""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from io import BytesIO
from threading import Lock

from portal.auth.session import Session

ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"  # 32 characters that are hard to confuse
LENGTH = 12  # 60 bits: ten million guesses a second for two minutes find it once in 10^9
LASTS = timedelta(minutes=2)


@dataclass(frozen=True, slots=True)
class Handoff:
    by: Session
    deadline: datetime


class Handoffs:
    """Open codes. Thread-safe. At most one per session."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._open: dict[bytes, Handoff] = {}

    def open(self, session: Session, at: datetime) -> str:
        """A new code, `XXXX-XXXX-XXXX`. An earlier one of the same session becomes invalid."""
        code = "".join(secrets.choice(ALPHABET) for _ in range(LENGTH))
        with self._lock:
            live = {k: each for k, each in self._open.items() if at < each.deadline}
            self._open = {k: each for k, each in live.items() if each.by is not session}
            self._open[_digest(code)] = Handoff(session, at + LASTS)
        return "-".join(code[place : place + 4] for place in range(0, LENGTH, 4))

    def redeem(self, code: str, at: datetime) -> Session | None:
        """The session that made this code, if the code is valid. It never works again."""
        with self._lock:
            handoff = self._open.pop(_digest(_normal(code)), None)
        if handoff is None or at >= handoff.deadline or not handoff.by.live(at):
            return None
        return handoff.by


def picture(address: str) -> str:
    """`address` as a QR code: scalable SVG markup without script or style."""
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

"""Sign-in on a phone: a code that signs another device in, once, within two minutes.

The code is bound to the session that made it: signing out there invalidates it. The QR code carries
it in the fragment of a URL, which browsers do not send to servers, so it appears in no log; typing
it works too. Only its digest is stored, and who signs in with it, sealed under the code.
"""

import secrets
from datetime import datetime, timedelta
from io import BytesIO

import msgspec

from portal.auth import sealing
from portal.auth.session import Identity, Session, Sessions
from portal.storage.sessions import SessionTable

KIND = "handoff"
ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"  # 32 characters that are hard to confuse
LENGTH = 12  # 60 bits: ten million guesses a second for two minutes find it once in 10^9
LASTS = timedelta(minutes=2)


class Handoffs:
    """Open codes. Thread-safe. At most one per session."""

    def __init__(self, table: SessionTable, sessions: Sessions) -> None:
        """`sessions`: those that make codes."""
        self._table, self._sessions = table, sessions

    def open(self, session: Session, at: datetime) -> str:
        """A new code, `XXXX-XXXX-XXXX`. An earlier one of the same session becomes invalid."""
        code = "".join(secrets.choice(ALPHABET) for _ in range(LENGTH))
        digest = sealing.digest(code, KIND)
        content = msgspec.msgpack.encode(session.identity)
        sealed = sealing.seal(sealing.key(code, KIND), content, digest)
        self._table.put(digest, KIND, sealed, at + LASTS, owner=session.digest, replaces=True)
        return "-".join(code[place : place + 4] for place in range(0, LENGTH, 4))

    def redeem(self, code: str, at: datetime) -> Identity | None:
        """Who made this code, if the code is valid. It never works again."""
        code = _normal(code)
        digest = sealing.digest(code, KIND)
        row = self._table.take(digest, KIND)
        if row is None or row.owner is None or at >= row.expires:
            return None
        content = sealing.unseal(sealing.key(code, KIND), row.content, digest)
        if content is None or not self._sessions.is_live(row.owner, at):
            return None
        return msgspec.msgpack.decode(content, type=Identity)


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

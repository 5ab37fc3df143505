"""Server-side sessions of people who are signed in. The cookie contains a random token only.

A session ends at sign-out, after half an hour without use, or after twelve hours. Signing in always
makes a new one, which prevents session fixation. Sessions are in memory: a restart signs everybody
out and loses no instruction.
"""

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from threading import Lock

from starlette.requests import Request
from starlette.responses import Response

from ledger.events.envelope import Instruction
from portal.auth.session_history import Agreement

COOKIE = "sovereign-session"
IDLE = timedelta(minutes=30)
LONGEST = timedelta(hours=12)
MAX_SESSIONS = 100_000
SWEEP_EVERY = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Undo:
    """The act that reverses the last one, offered for a few seconds."""

    scene: str
    fields: tuple[str, ...]  # to be allowed again; empty: to be withdrawn
    until: datetime | None
    deadline: datetime


@dataclass(frozen=True, slots=True)
class Notice:
    """The result of the last act, shown once, next to the scene."""

    scene: str
    key: str  # of the message
    receipt: int | None = None


@dataclass(frozen=True, slots=True)
class Draft:
    """An instruction that waits for the customer's signature, and what follows once signed."""

    instruction: Instruction
    notice: Notice
    undo: Undo | None
    deadline: datetime


@dataclass(slots=True)
class Session:
    subject: str
    name: str | None  # None: none is known, or it could not be read
    began: datetime
    used: datetime
    agreement: Agreement
    proved: datetime  # when they last authenticated; a handoff code carries it over
    notice: Notice | None = None
    undo: Undo | None = None
    signal: tuple[int, ...] | None = (
        None  # receipts of what the GPC signal withdrew; None: not yet processed
    )
    draft: Draft | None = None
    closed: bool = False

    @property
    def label(self) -> str:
        """How the customer recognises the account in a list of passkeys."""
        return self.name or self.subject

    def take_draft(self, at: datetime) -> Draft | None:
        """The last draft, if it may still be signed. It is removed."""
        draft, self.draft = self.draft, None
        return draft if draft and at < draft.deadline else None

    def take_notice(self) -> Notice | None:
        notice, self.notice = self.notice, None
        return notice

    def live(self, at: datetime) -> bool:
        return not self.closed and at - self.used < IDLE and at - self.began < LONGEST


class Sessions:
    """All sessions. Thread-safe. Tokens are stored as digests, so the table signs nobody in."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._sessions: dict[bytes, Session] = {}
        self._swept = datetime.min.replace(tzinfo=UTC)

    def open(
        self, subject: str, name: str | None, at: datetime, proved: datetime | None = None
    ) -> str:
        """Begin a session; returns the token. `proved`: when they authenticated, if not now."""
        token = secrets.token_urlsafe(32)
        with self._lock:
            self._sweep(at)
            agreement = Agreement(subject)
            made = Session(subject, name, at, at, agreement, proved or at)
            self._sessions[_digest(token)] = made
        return token

    def find(self, token: str | None, at: datetime) -> Session | None:
        """The live session of this token, marked as used."""
        if not token:
            return None
        with self._lock:
            session = self._sessions.get(_digest(token))
            if session is None or not session.live(at):
                return None
            session.used = at
            return session

    def close(self, token: str | None) -> None:
        with self._lock:
            session = self._sessions.pop(_digest(token or ""), None)
        if session is not None:
            session.closed = True

    def reopen(self, subject: str) -> None:
        """Drop the cached history in every session of this customer."""
        with self._lock:
            for each in self._sessions.values():
                if each.subject == subject:
                    each.agreement, each.notice, each.undo = Agreement(subject), None, None

    def end(self, subject: str) -> int:
        """End every session of this customer; returns how many."""
        with self._lock:
            ended = {key: each for key, each in self._sessions.items() if each.subject == subject}
            self._sessions = {k: v for k, v in self._sessions.items() if k not in ended}
        for each in ended.values():
            each.closed = True
        return len(ended)

    def _sweep(self, at: datetime) -> None:
        """Drop ended sessions once a minute; beyond MAX_SESSIONS also the least used tenth."""
        if at - self._swept < SWEEP_EVERY and len(self._sessions) < MAX_SESSIONS:
            return
        self._swept = at
        live = [(key, each) for key, each in self._sessions.items() if each.live(at)]
        live.sort(key=lambda pair: pair[1].used)
        surplus = len(live) // 10 if len(live) >= MAX_SESSIONS else 0
        self._sessions = dict(live[surplus:])


def put_cookie(response: Response, request: Request, token: str) -> None:
    response.set_cookie(
        COOKIE,
        token,
        max_age=int(LONGEST.total_seconds()),
        httponly=True,
        samesite="lax",
        secure=request.url.scheme == "https",
    )


def _digest(token: str) -> bytes:
    return sha256(token.encode()).digest()

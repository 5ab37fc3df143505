"""Server-side sessions of people who are signed in. The cookie contains a random token only.

A session ends at sign-out, after half an hour without use, or after twelve hours; settings can
change both. Signing in always
makes a new one, which prevents session fixation. Sessions are in the database (portal.storage), so
processes share them and a restart signs nobody out; their content is sealed under the token. A
request reads its session once. It writes only what changed, and the time of use once a minute: a
session that another process finds may end up to a minute early.
"""

import secrets
from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from threading import Lock

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from ledger.events import envelope
from ledger.events.envelope import Instruction
from portal.auth import sealing
from portal.auth.session_history import Agreement
from portal.configuration.session_length import LONGEST, USUAL, SessionLength
from portal.storage.sessions import SessionRow, SessionTable

COOKIE = "sovereign-session"
MAX_SESSIONS = 100_000
MAX_CACHED = 10_000  # histories in the memory of a process
SWEEP_EVERY = timedelta(minutes=1)
NOTE_USE_EVERY = timedelta(minutes=1)
CUSTOMER, STEWARD = "customer", "steward"  # kinds of sessions
_USE = "session"


@dataclass(frozen=True, slots=True)
class Undo:
    """The act that reverses the last one, offered until another act, or until it is dismissed."""

    scene: str
    fields: tuple[str, ...]  # to be allowed again; empty: to be withdrawn
    until: datetime | None


UNPROVEN = datetime(1970, 1, 1, tzinfo=UTC)  # when such a session was proven: never


@dataclass(frozen=True, slots=True)
class Notice:
    """The result of the last act, shown next to what was pressed."""

    scene: str
    key: str  # of the message
    receipt: int | None = None
    part: str = ""  # what was pressed of the scene: an item, or `condition-<place>`; "": its switch


@dataclass(frozen=True, slots=True)
class Draft:
    """An instruction that waits for the customer's signature, and what follows once signed."""

    instruction: Instruction
    notice: Notice
    undo: Undo | None
    deadline: datetime


@dataclass(frozen=True, slots=True)
class Identity:
    """Who signed in, and when they proved it."""

    subject: str
    name: str | None
    proved: datetime


class _Draft(msgspec.Struct, frozen=True):
    instruction: bytes
    notice: Notice
    undo: Undo | None
    deadline: datetime


class _Content(msgspec.Struct, frozen=True):
    """The sealed part of a session."""

    identity: Identity
    began: datetime
    generation: int
    notice: Notice | None
    undo: Undo | None
    signal: tuple[int, ...] | None
    draft: _Draft | None


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
    digest: bytes = b""  # of its token
    stored: "_Stored | None" = field(default=None, repr=False)

    @property
    def label(self) -> str:
        """How the customer recognises the account in a list of passkeys."""
        return self.name or self.subject

    @property
    def identity(self) -> Identity:
        return Identity(self.subject, self.name, self.proved)

    @property
    def is_proven(self) -> bool:
        """Whether the customer ever proved who they are: a link by mail proves a mailbox alone."""
        return self.proved > UNPROVEN

    def take_draft(self, at: datetime) -> Draft | None:
        """The last draft, if it may still be signed. It is removed."""
        draft, self.draft = self.draft, None
        return draft if draft and at < draft.deadline else None

    def take_notice(self, *scenes: str) -> Notice | None:
        """The result of the last act, if it was on one of these. It is shown once, or, while the
        act can be undone, until it is dismissed."""
        notice = self.notice
        if notice is None or notice.scene not in scenes:
            return None
        if self.undo is None:
            self.notice = None
        return notice


@dataclass(frozen=True, slots=True)
class _Stored:
    """What the database has of a session, and the key of its content."""

    key: bytes = field(repr=False)
    generation: int
    used: datetime
    content: bytes = field(repr=False)


@dataclass(slots=True)
class _Cached:
    """What this process remembers of a session: it costs too much to read at every request."""

    generation: int
    agreement: Agreement
    used: datetime


class Sessions:
    """All sessions of one kind. Thread-safe. Tokens are stored as digests: nobody can use them."""

    def __init__(
        self, table: SessionTable, kind: str = CUSTOMER, length: SessionLength = USUAL
    ) -> None:
        self._table, self._kind, self.length = table, kind, length
        self._lock = Lock()
        self._cache: OrderedDict[bytes, _Cached] = OrderedDict()
        self._swept = datetime.min.replace(tzinfo=UTC)

    def open(
        self, subject: str, name: str | None, at: datetime, proved: datetime | None = None
    ) -> str:
        """Begin a session; returns the token. `proved`: when they authenticated, if not now."""
        self._sweep(at)
        token = secrets.token_urlsafe(32)
        digest, key = sealing.digest(token, _USE), sealing.key(token, _USE)
        made = Session(subject, name, at, at, Agreement(subject), proved or at, digest=digest)
        sealed = sealing.seal(key, _encode(made, 0), self._context(digest, subject))
        self._table.add(SessionRow(digest, self._kind, subject, at, at, 0, sealed))
        return token

    def find(self, token: str | None, at: datetime) -> Session | None:
        """The live session of this token, marked as used. `save` it at the end of the request."""
        if not token:
            return None
        digest, key = sealing.digest(token, _USE), sealing.key(token, _USE)
        if (row := self._table.find(digest, self._kind)) is None:
            return None
        content = sealing.unseal(key, row.content, self._context(digest, row.subject))
        if content is None:
            return None
        cached = self._cached(row)
        session = _decode(content, row, cached)
        if not self.length.is_live(session.began, max(row.used, cached.used), at):
            return None
        session.used = cached.used = at
        session.stored = _Stored(key, row.generation, row.used, content)
        return session

    def save(self, session: Session) -> None:
        """Store what the request changed. Durable on return; nothing if the session has ended."""
        if (stored := session.stored) is None or not self.is_unsaved(session):
            return
        content = _encode(session, stored.generation)
        changed = content != stored.content
        context = self._context(session.digest, session.subject)
        sealed = sealing.seal(stored.key, content, context) if changed else None
        self._table.update(session.digest, session.used, sealed)
        session.stored = _Stored(stored.key, stored.generation, session.used, content)

    def is_unsaved(self, session: Session) -> bool:
        """Whether `save` would write."""
        if (stored := session.stored) is None:
            return False
        late = session.used - stored.used >= NOTE_USE_EVERY
        return late or _encode(session, stored.generation) != stored.content

    def is_live(self, digest: bytes, at: datetime) -> bool:
        """Whether the session whose token has this digest has not ended."""
        if (ages := self._table.ages(digest)) is None:
            return False
        with self._lock:
            cached = self._cache.get(digest)
        began, used = ages
        return self.length.is_live(began, max(used, cached.used) if cached else used, at)

    def close(self, token: str | None) -> None:
        if token:
            digest = sealing.digest(token, _USE)
            self._table.remove(digest, self._kind)
            with self._lock:
                self._cache.pop(digest, None)

    def end(self, subject: str) -> int:
        """End every session of this customer; returns how many."""
        ended = self._table.remove_of(subject, self._kind)
        with self._lock:
            for digest in [k for k, each in self._cache.items() if _is_of(each, subject)]:
                del self._cache[digest]
        return ended

    def _cached(self, row: SessionRow) -> _Cached:
        with self._lock:
            cached = self._cache.pop(row.digest, None)
            if cached is None or cached.generation != row.generation:
                cached = _Cached(row.generation, Agreement(row.subject), row.used)
            self._cache[row.digest] = cached
            if len(self._cache) > MAX_CACHED:
                self._cache.popitem(last=False)
            return cached

    def _sweep(self, at: datetime) -> None:
        """Drop ended sessions once a minute; beyond MAX_SESSIONS also the least used tenth."""
        with self._lock:
            if at - self._swept < SWEEP_EVERY:
                return
            self._swept = at
            ended = [k for k, each in self._cache.items() if at - each.used >= self.length.idle]
            for digest in ended:
                del self._cache[digest]
        # The database may be a minute behind what another process knows of a session's use.
        idle, longest = self.length.idle + NOTE_USE_EVERY, self.length.longest
        self._table.sweep(self._kind, at - idle, at - longest, MAX_SESSIONS)

    def _context(self, digest: bytes, subject: str) -> bytes:
        """What a content belongs to: in another row it cannot be opened."""
        return self._kind.encode() + digest + subject.encode()


def _is_of(cached: _Cached, subject: str) -> bool:
    return cached.agreement.subject == subject


def _encode(session: Session, generation: int) -> bytes:
    """The sealed content. The same content gives the same bytes."""
    pending = None
    if (draft := session.draft) is not None:
        instruction = envelope.encode(draft.instruction)
        pending = _Draft(instruction, draft.notice, draft.undo, draft.deadline)
    return _ENCODER.encode(
        _Content(
            session.identity,
            session.began,
            generation,
            session.notice,
            session.undo,
            session.signal,
            pending,
        )
    )


def _decode(content: bytes, row: SessionRow, cached: _Cached) -> Session:
    """The session of a row. What was pending before its generation is dropped."""
    found = _DECODER.decode(content)
    who, draft = found.identity, found.draft
    session = Session(
        who.subject,
        who.name,
        found.began,
        row.used,
        cached.agreement,
        who.proved,
        digest=row.digest,
        signal=found.signal,
    )
    if found.generation == row.generation:
        session.notice, session.undo = found.notice, found.undo
    if draft is not None:
        instruction = envelope.decode(draft.instruction)
        if isinstance(instruction, Instruction):
            session.draft = Draft(instruction, draft.notice, draft.undo, draft.deadline)
    return session


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(_Content)


def put_cookie(
    response: Response, request: Request, token: str, longest: timedelta = LONGEST
) -> None:
    response.set_cookie(
        COOKIE,
        token,
        max_age=int(longest.total_seconds()),
        httponly=True,
        samesite="lax",
        secure=request.url.scheme == "https",
    )

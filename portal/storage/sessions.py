"""The tables of sessions and of values that can be taken once; processes share them.

    home/sessions.sqlite     SQLite; in PostgreSQL the schema sessions

Rows are found by the digest of a token, and their content is sealed under a key that only the token
gives (portal.auth.sealing). They are short-lived, so no backup contains them.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import (
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    bindparam,
    delete,
    func,
    insert,
    select,
    update,
)

from ledger.storage import database
from ledger.storage.database import Schema, writing
from ledger.storage.log_rows import Number
from portal.storage.people import clear_deleted

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
_METADATA = MetaData()
SESSION = Table(
    "session",
    _METADATA,
    Column("digest", LargeBinary, primary_key=True),  # of the token
    Column("kind", String, nullable=False),
    Column("subject", String, nullable=False),
    Column("began", Number, nullable=False),  # in microseconds since 1970, like all times here
    Column("used", Number, nullable=False, index=True),
    Column("generation", Integer, nullable=False),
    Column("content", LargeBinary, nullable=False),
    Index("ix_session_subject", "kind", "subject"),
)
ONE_TIME = Table(
    "one_time",
    _METADATA,
    Column("digest", LargeBinary, primary_key=True),  # of the name
    Column("kind", String, nullable=False),
    Column("owner", LargeBinary, index=True),  # the session it ends with
    Column("expires", Number, nullable=False, index=True),
    Column("content", LargeBinary, nullable=False),
)
SESSIONS = Schema(
    "sessions", "sessions.sqlite", _METADATA, "0001", "portal.storage.migrations.sessions"
)
_FIND = select(SESSION).where(
    SESSION.c.digest == bindparam("wanted"), SESSION.c.kind == bindparam("wanted_kind")
)
_AGES = select(SESSION.c.began, SESSION.c.used).where(SESSION.c.digest == bindparam("wanted"))
_UPDATE = update(SESSION).where(SESSION.c.digest == bindparam("wanted"))
_TAKE = (
    delete(ONE_TIME)
    .where(ONE_TIME.c.digest == bindparam("wanted"), ONE_TIME.c.kind == bindparam("wanted_kind"))
    .returning(ONE_TIME.c.owner, ONE_TIME.c.expires, ONE_TIME.c.content)
)


class SessionRow(NamedTuple):
    digest: bytes
    kind: str
    subject: str
    began: datetime
    used: datetime
    generation: int  # counts how often what is cached of the customer became invalid
    content: bytes


class OneTimeRow(NamedTuple):
    owner: bytes | None
    expires: datetime
    content: bytes


class SessionTable:
    """Stored sessions and values. Thread-safe. Writes are durable on return."""

    def __init__(self, home: Path) -> None:
        """Raises SchemaVersionError, DatabaseError."""
        self._database = database.of(home)
        self._engine = self._database.engine(SESSIONS)

    def add(self, row: SessionRow) -> None:
        values = row._asdict() | {"began": _number(row.began), "used": _number(row.used)}
        with writing(self._engine) as connection:
            connection.execute(insert(SESSION), values)

    def find(self, digest: bytes, kind: str) -> SessionRow | None:
        with self._engine.connect() as connection:
            row = connection.execute(_FIND, {"wanted": digest, "wanted_kind": kind}).first()
        if row is None:
            return None
        began, used = _moment(row.began), _moment(row.used)
        return SessionRow(
            row.digest, row.kind, row.subject, began, used, row.generation, row.content
        )

    def ages(self, digest: bytes) -> tuple[datetime, datetime] | None:
        """When a session began and was last used; None if there is none."""
        with self._engine.connect() as connection:
            row = connection.execute(_AGES, {"wanted": digest}).first()
        return None if row is None else (_moment(row[0]), _moment(row[1]))

    def update(self, digest: bytes, used: datetime, content: bytes | None) -> None:
        """Note a session's use and, unless it is None, its new content, if it still exists."""
        values: dict[str, Any] = {"used": _number(used)}
        if content is not None:
            values["content"] = content
        with writing(self._engine) as connection:
            connection.execute(_UPDATE.values(values), {"wanted": digest})

    def remove(self, digest: bytes, kind: str) -> bool:
        """Delete a session and what ends with it; returns whether it existed."""
        gone = delete(SESSION).where(SESSION.c.digest == digest, SESSION.c.kind == kind)
        with writing(self._engine) as connection:
            connection.execute(delete(ONE_TIME).where(ONE_TIME.c.owner == digest))
            return connection.execute(gone).rowcount == 1

    def remove_of(self, subject: str, kind: str) -> int:
        """Delete every session of one person; returns how many. No bytes of them remain."""
        theirs = (SESSION.c.kind == kind) & (SESSION.c.subject == subject)
        owned = ONE_TIME.c.owner.in_(select(SESSION.c.digest).where(theirs))
        with writing(self._engine) as connection:
            connection.execute(delete(ONE_TIME).where(owned))
            ended = connection.execute(delete(SESSION).where(theirs)).rowcount
        clear_deleted(self._engine)
        return ended

    def invalidate(self, subject: str, kind: str) -> None:
        """Begin a new generation in every session of one person."""
        following = update(SESSION).where(SESSION.c.kind == kind, SESSION.c.subject == subject)
        with writing(self._engine) as connection:
            connection.execute(following.values(generation=SESSION.c.generation + 1))

    def sweep(self, kind: str, used: datetime, began: datetime, limit: int) -> None:
        """Delete sessions that were last used or began before; beyond `limit` the least used tenth.

        Values whose time was over when the oldest of these sessions was last used go as well.
        """
        old = (SESSION.c.used <= _number(used)) | (SESSION.c.began <= _number(began))
        ours = SESSION.c.kind == kind
        with writing(self._engine) as connection:
            connection.execute(delete(ONE_TIME).where(ONE_TIME.c.expires <= _number(used)))
            connection.execute(delete(SESSION).where(ours, old))
            stored = connection.execute(select(func.count()).where(ours)).scalar_one()
            if stored >= limit:
                oldest = select(SESSION.c.digest).where(ours).order_by(SESSION.c.used)
                surplus = oldest.limit(stored // 10).scalar_subquery()
                connection.execute(delete(SESSION).where(SESSION.c.digest.in_(surplus)))

    def put(
        self,
        digest: bytes,
        kind: str,
        content: bytes,
        expires: datetime,
        *,
        owner: bytes | None = None,
        replaces: bool = False,
    ) -> None:
        """Store a value to be taken once. `replaces`: the earlier one of this kind and owner."""
        row: Mapping[str, Any] = {
            "digest": digest,
            "kind": kind,
            "owner": owner,
            "expires": _number(expires),
            "content": content,
        }
        earlier = delete(ONE_TIME).where(ONE_TIME.c.kind == kind, ONE_TIME.c.owner == owner)
        with writing(self._engine) as connection:
            if replaces:
                connection.execute(earlier)
            connection.execute(insert(ONE_TIME), row)

    def take(self, digest: bytes, kind: str) -> OneTimeRow | None:
        """A value, to whoever asks first."""
        with writing(self._engine) as connection:
            row = connection.execute(_TAKE, {"wanted": digest, "wanted_kind": kind}).first()
        return None if row is None else OneTimeRow(row[0], _moment(row[1]), row[2])


def end_sessions(home: Path, subject: str, kind: str) -> int:
    """End every session of one person, in whatever process; returns how many."""
    if not database.of(home).exists(SESSIONS):
        return 0
    return SessionTable(home).remove_of(subject, kind)


def invalidate_sessions(home: Path, subject: str, kind: str) -> None:
    """Drop what sessions of one person have pending or cached, in whatever process."""
    if database.of(home).exists(SESSIONS):
        SessionTable(home).invalidate(subject, kind)


def _number(at: datetime) -> int:
    return (at - EPOCH) // MICROSECOND


def _moment(number: int) -> datetime:
    return EPOCH + number * MICROSECOND

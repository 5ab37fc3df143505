"""API keys of services that have no OAuth issuer: stored as a hash, scoped, and revoked at once.

    home/api_keys.sqlite     SQLite; in PostgreSQL the schema api_keys

    sovereign_sk_4f1d09c2b7aa_Vt3…     a key: prefix, id, and 32 random bytes in base64url

Every gate looks a key up at each request, so a revocation is obeyed from its commit on. A hash
without a salt is enough: nobody tries 2^256 keys. `use` says which entries of a read log each key
was used for.
"""

import json
import re
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256
from hmac import compare_digest
from pathlib import Path
from typing import Any

from sqlalchemy import Column, MetaData, String, Table, func, insert, select, update
from sqlalchemy.exc import SQLAlchemyError

from gate.storage.deliveries import Logged
from ledger.storage import database
from ledger.storage.database import DatabaseError, Schema, writing
from ledger.storage.log_rows import Number

PREFIX = "sovereign_sk_"  # by which scanners for secrets find a key
_SHAPE = re.compile(PREFIX + r"([0-9a-f]{12})_[A-Za-z0-9_-]{43}")
_NOBODY = sha256(b"").hexdigest()  # what an unknown id is compared with, which takes as long
_METADATA = MetaData()
KEYS = Table(
    "api_key",
    _METADATA,
    Column("id", String, primary_key=True),
    Column("service", String, nullable=False),
    Column("digest", String, nullable=False),
    Column("scenes", String, nullable=False),  # a JSON list; empty: every scene of the service
    Column("endpoints", String, nullable=False),  # a JSON list of paths; empty: every one
    Column("created", String, nullable=False),
    Column("expires", String, nullable=False),
    Column("revoked", String),
    Column("replaces", String),
)
USES = Table(
    "use",
    _METADATA,
    Column("log", String, primary_key=True),
    Column("first", Number, primary_key=True, autoincrement=False),
    Column("count", Number, nullable=False),
    Column("api_key", String, nullable=False),
    Column("at", String, nullable=False),
)
API_KEYS = Schema(
    "api_keys", "api_keys.sqlite", _METADATA, "0001", "gate.storage.migrations.api_keys"
)


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as it is stored. Empty `scenes` or `endpoints`: all that the service may ask for."""

    id: str
    service: str
    digest: str
    scenes: tuple[str, ...]
    endpoints: tuple[str, ...]
    created: datetime
    expires: datetime
    revoked: datetime | None = None
    replaces: str | None = None

    def is_live(self, at: datetime) -> bool:
        return at < self.expires and (self.revoked is None or at < self.revoked)


@dataclass(frozen=True, slots=True)
class KeyUse:
    """How often a key was used, and when last."""

    entries: int
    last: datetime | None


class UnknownKeyError(LookupError):
    """No key has this id, or it is over already. The message says which."""


class ApiKeyStore:
    """The keys of one data directory. Thread-safe."""

    def __init__(self, home: Path) -> None:
        """Raises SchemaVersionError, DatabaseError."""
        self._engine = database.of(home).engine(API_KEYS)

    def issue(
        self,
        service: str,
        at: datetime,
        expires: datetime,
        scenes: Sequence[str] = (),
        endpoints: Sequence[str] = (),
        replaces: str | None = None,
    ) -> tuple[ApiKey, str]:
        """A new key, and its text, which is stored nowhere."""
        name = secrets.token_hex(6)
        text = f"{PREFIX}{name}_{secrets.token_urlsafe(32)}"
        ends = expires.replace(microsecond=0)
        scope = tuple(scenes), tuple(endpoints)
        made = ApiKey(name, service, _digest(text), *scope, at, ends, None, replaces)
        with _reported(), writing(self._engine) as connection:
            connection.execute(insert(KEYS).values(**_row(made)))
        return made, text

    def rotate(
        self, name: str, at: datetime, until: datetime, expires: datetime
    ) -> tuple[ApiKey, str]:
        """A new key with the scope of another, which ends at `until`. Raises UnknownKeyError.

        If we crash between the two, both keys are valid until the old one ends by itself.
        """
        old = self.live(name, at)
        made = self.issue(old.service, at, expires, old.scenes, old.endpoints, old.id)
        self._end(replace(old, expires=min(old.expires, until.replace(microsecond=0))))
        return made

    def revoke(self, name: str, at: datetime) -> ApiKey:
        """End a key now: from the commit on no gate accepts it. Raises UnknownKeyError."""
        ended = replace(self.live(name, at), revoked=at.replace(microsecond=0))
        self._end(ended)
        return ended

    def live(self, name: str, at: datetime) -> ApiKey:
        """The key with this id, if it is not over. Raises UnknownKeyError."""
        known = self._one(name)
        if known is None:
            raise UnknownKeyError(f"no key has the id {name[:40]!r}; see `sovereign keys list`")
        if not known.is_live(at):
            raise UnknownKeyError(f"the key {name} is over already; see `sovereign keys list`")
        return known

    def is_live(self, name: str, at: datetime) -> bool:
        """Whether a key that was accepted still is. Raises DatabaseError."""
        known = self._one(name)
        return known is not None and known.is_live(at)

    def all(self) -> list[ApiKey]:
        with _reported(), self._engine.connect() as connection:
            return [_key(row) for row in connection.execute(select(KEYS).order_by(KEYS.c.created))]

    def of(self, text: str, at: datetime) -> ApiKey | None:
        """The live key that this text is; compares in constant time. Raises DatabaseError."""
        shape = _SHAPE.fullmatch(text)
        known = self._one(shape[1]) if shape else None
        same = compare_digest(_digest(text), known.digest if known else _NOBODY)
        return known if known is not None and same and known.is_live(at) else None

    def used(self, key: str, logged: Sequence[Logged], at: datetime) -> None:
        """Note for which entries of a read log a key was used. Raises DatabaseError."""
        rows = [
            {
                "log": each.log,
                "first": each.entries.start,
                "count": len(each.entries),
                "api_key": key,
                "at": _text(at),
            }
            for each in logged
        ]
        with _reported(), writing(self._engine) as connection:
            connection.execute(insert(USES), rows)

    def uses(self, key: str) -> KeyUse:
        asked = select(func.sum(USES.c.count), func.max(USES.c.at)).where(USES.c.api_key == key)
        with _reported(), self._engine.connect() as connection:
            number, last = connection.execute(asked).one()
        return KeyUse(int(number or 0), None if last is None else _time(last))

    def entries(self, key: str) -> Iterator[tuple[str, int, int]]:
        """Read log, first entry and number of entries, for which a key was used, in order."""
        asked = select(USES.c.log, USES.c.first, USES.c.count).where(USES.c.api_key == key)
        with _reported(), self._engine.connect() as connection:
            for log, first, count in connection.execute(asked.order_by(USES.c.log, USES.c.first)):
                yield log, int(first), int(count)

    def _one(self, name: str) -> ApiKey | None:
        with _reported(), self._engine.connect() as connection:
            row = connection.execute(select(KEYS).where(KEYS.c.id == name)).first()
        return None if row is None else _key(row)

    def _end(self, key: ApiKey) -> None:
        row = _row(key)
        ends = {name: row[name] for name in ("expires", "revoked")}
        with _reported(), writing(self._engine) as connection:
            connection.execute(update(KEYS).where(KEYS.c.id == key.id).values(**ends))


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def _row(key: ApiKey) -> dict[str, Any]:
    return {
        "id": key.id,
        "service": key.service,
        "digest": key.digest,
        "scenes": json.dumps(key.scenes),
        "endpoints": json.dumps(key.endpoints),
        "created": _text(key.created),
        "expires": _text(key.expires),
        "revoked": None if key.revoked is None else _text(key.revoked),
        "replaces": key.replaces,
    }


def _key(row: Any) -> ApiKey:
    return ApiKey(
        row.id,
        row.service,
        row.digest,
        tuple(json.loads(row.scenes)),
        tuple(json.loads(row.endpoints)),
        _time(row.created),
        _time(row.expires),
        None if row.revoked is None else _time(row.revoked),
        row.replaces,
    )


def _text(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _time(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)


@contextmanager
def _reported() -> Iterator[None]:
    try:
        yield
    except SQLAlchemyError as error:
        raise DatabaseError(
            "the API keys cannot be read, so none is accepted: check the database, or the disk"
        ) from error

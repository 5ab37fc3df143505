r"""The register: what people and services did around decisions. Append-only, chained, erasable.

An entry has an open part, which names nobody, and a sealed part under the customer's own key:

    number  7
    at      2026-11-21T12:00:00Z
    kind    proposed
    about   4be1…                  the customer's pseudonym, under their key; empty: about nobody
    open    {"operations":["refund"],"service":"care-desk"}
    sealed  nonce(12) ‖ AES-256-GCM(private part; number and kind as associated data)
    digest  SHA-256("sovereign/register/v1\0" ‖ digest before ‖ canonical JSON of all of the above,
            with SHA-256 of `sealed` in its place)

SQLite triggers refuse UPDATE and DELETE; the chain shows it if somebody goes round them. Cutting
off the end shows only to those who noted a later `head`. Destroying a customer's key leaves the
chain as it is and the sealed parts closed for ever.
"""

import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ledger.vault.commitments import canonical, parse

_NAME = "stewardship"  # the name under which customers' keys are derived from
_DOMAIN = b"sovereign/register/v1\0"
_NONCE_SIZE = 12
EMPTY = bytes(32)  # the digest before the first entry

_SCHEMA = """
PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;
CREATE TABLE IF NOT EXISTS entry (
  number INTEGER PRIMARY KEY, at TEXT NOT NULL, kind TEXT NOT NULL, about TEXT NOT NULL,
  open TEXT NOT NULL, sealed BLOB NOT NULL, digest BLOB NOT NULL) STRICT;
CREATE INDEX IF NOT EXISTS entry_about ON entry (about, kind, number);
CREATE INDEX IF NOT EXISTS entry_kind ON entry (kind, number);
CREATE TRIGGER IF NOT EXISTS entry_stays BEFORE UPDATE ON entry
  BEGIN SELECT raise(ABORT, 'the register is append-only'); END;
CREATE TRIGGER IF NOT EXISTS entry_remains BEFORE DELETE ON entry
  BEGIN SELECT raise(ABORT, 'the register is append-only'); END;
"""


class TamperedError(Exception):
    """The register is not what was written. `number`: the first entry that does not follow."""

    def __init__(self, number: int, why: str) -> None:
        super().__init__(f"entry {number} of the register: {why}; restore it from a backup")
        self.number = number


class UnsealableError(Exception):
    """The customer has no data key, so nothing about them can be kept. Nothing was recorded."""


class SubjectTagger(Protocol):
    """Derives secrets from a customer's data key: see `Ledger.read_log_tag`."""

    def read_log_tag(self, subject: str, log_origin: str, index: int) -> bytes: ...


@dataclass(frozen=True, slots=True)
class RegisterEntry:
    number: int
    at: datetime
    kind: str
    about: str
    open: Mapping[str, Any]


class Writing:
    """One transaction: entries, and tables of others beside them. All of it lasts, or nothing."""

    def __init__(self, database: sqlite3.Connection, tagger: SubjectTagger) -> None:
        self.database = database
        self._tagger = tagger

    def append(
        self,
        kind: str,
        subject: str | None,
        shown: Mapping[str, Any],
        private: Mapping[str, Any] | None,
        at: datetime,
    ) -> int:
        """Add one entry; its number. Raises UnsealableError for a customer without a key."""
        number, before = _head(self.database)
        about = "" if subject is None else pseudonym(self._tagger, subject)
        sealed = b""
        if private is not None:
            if subject is None:
                raise AssertionError("a private part belongs to somebody")
            sealed = _seal(self._tagger, subject, number, kind, private)
        row = (number, _stamp(at), kind, about, canonical(dict(shown)).decode(), sealed)
        digest = _digest(before, *row)
        self.database.execute("INSERT INTO entry VALUES (?, ?, ?, ?, ?, ?, ?)", [*row, digest])
        return number


class Register:
    """Thread-safe. Several processes may write; each transaction sees all before it.

    `schema`: tables of the callers', made beside the register's own.
    """

    def __init__(self, path: Path, tagger: SubjectTagger, schema: str = "") -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        self._path, self._tagger = path, tagger
        with self.reading() as database:
            database.executescript(_SCHEMA + schema)

    @property
    def path(self) -> Path:
        return self._path

    @contextmanager
    def writing(self) -> Iterator[Writing]:
        """A transaction; durable when the context ends without an error."""
        with self.reading() as database:
            database.execute("BEGIN IMMEDIATE")
            with database:
                yield Writing(database, self._tagger)
                # Crash before here: nothing of it happened.

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self._path, isolation_level=None, timeout=30)) as database:
            database.execute("PRAGMA secure_delete=ON")
            yield database

    def entries(self, kind: str | None = None, since: int = 0) -> list[RegisterEntry]:
        """Entries in order; all kinds, or one."""
        sql = "SELECT number, at, kind, about, open FROM entry WHERE number >= ?"
        with self.reading() as database:
            if kind is None:
                rows = database.execute(f"{sql} ORDER BY number", [since])
            else:
                rows = database.execute(f"{sql} AND kind = ? ORDER BY number", [since, kind])
            return [_entry(*row) for row in rows]

    def of(self, subject: str, kind: str) -> list[tuple[RegisterEntry, Mapping[str, Any]]]:
        """One customer's entries of a kind, oldest first, opened with their key."""
        sql = "SELECT number, at, kind, about, open FROM entry WHERE about = ? AND kind = ?"
        with self.reading() as database:
            rows = database.execute(f"{sql} ORDER BY number", [self.about(subject), kind])
            found = [_entry(*row) for row in rows]
        return [(each, self.private(each.number, subject) or {}) for each in found]

    def private(self, number: int, subject: str) -> Mapping[str, Any] | None:
        """The sealed part of an entry; None if it does not open: another's, or erased."""
        with self.reading() as database:
            sql = "SELECT kind, sealed FROM entry WHERE number = ?"
            found = database.execute(sql, [number]).fetchone()
        return None if found is None else _unseal(self._tagger, subject, number, *found)

    def about(self, subject: str) -> str:
        """The customer's pseudonym; for one without a key, one that is never used again."""
        return pseudonym(self._tagger, subject)

    def head(self) -> tuple[int, bytes]:
        """How many entries there are, and the digest of the last: note it somewhere else."""
        with self.reading() as database:
            number, digest = _head(database)
        return number - 1, digest

    def verify(self, noted: tuple[int, bytes] = (0, EMPTY)) -> None:
        """Recompute the chain, which must pass through `noted`. Raises TamperedError."""
        before = EMPTY
        number = 0
        with self.reading() as database:
            for row in database.execute("SELECT * FROM entry ORDER BY number"):
                number += 1
                if row[0] != number:
                    raise TamperedError(number, f"found number {row[0]}")
                if row[-1] != (before := _digest(before, *row[:-1])):
                    raise TamperedError(number, "its digest is another")
                if number == noted[0] and before != noted[1]:
                    raise TamperedError(number, "it is not the one that was noted")
        if number < noted[0]:
            raise TamperedError(number + 1, f"it is missing, {noted[0]} were noted")


def pseudonym(tagger: SubjectTagger, subject: str) -> str:
    return tagger.read_log_tag(subject, f"{_NAME}#index", 0).hex()


def _head(database: sqlite3.Connection) -> tuple[int, bytes]:
    """The number of the next entry, and the digest of the last."""
    last = database.execute("SELECT number, digest FROM entry ORDER BY number DESC LIMIT 1")
    number, digest = last.fetchone() or (0, EMPTY)
    return number + 1, digest


def _digest(
    before: bytes, number: int, at: str, kind: str, about: str, shown: str, sealed: bytes
) -> bytes:
    whole = {
        "number": number,
        "at": at,
        "kind": kind,
        "about": about,
        "open": shown,
        "sealed": sha256(sealed).hexdigest(),
    }
    return sha256(_DOMAIN + before + canonical(whole)).digest()


def _key(tagger: SubjectTagger, subject: str, number: int) -> bytes:
    """A key for one entry. Raises UnsealableError if the customer has none to derive it from."""
    secret = tagger.read_log_tag(subject, f"{_NAME}#seal", number)
    if secret != tagger.read_log_tag(subject, f"{_NAME}#seal", number):  # random: there is no key
        raise UnsealableError("the customer has no data key; decide by hand and keep nothing")
    return sha256(_DOMAIN + secret).digest()


def _seal(
    tagger: SubjectTagger, subject: str, number: int, kind: str, private: Mapping[str, Any]
) -> bytes:
    nonce = os.urandom(_NONCE_SIZE)
    key = _key(tagger, subject, number)
    return nonce + AESGCM(key).encrypt(nonce, canonical(dict(private)), _bound(number, kind))


def _unseal(
    tagger: SubjectTagger, subject: str, number: int, kind: str, sealed: bytes
) -> Mapping[str, Any] | None:
    try:
        key = _key(tagger, subject, number)
        nonce, rest = sealed[:_NONCE_SIZE], sealed[_NONCE_SIZE:]
        found: Mapping[str, Any] = parse(AESGCM(key).decrypt(nonce, rest, _bound(number, kind)))
    except (InvalidTag, UnsealableError, ValueError):
        return None
    return found


def _bound(number: int, kind: str) -> bytes:
    return f"{number}/{kind}".encode()


def _entry(number: int, at: str, kind: str, about: str, shown: str) -> RegisterEntry:
    moment = datetime.strptime(at, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    return RegisterEntry(number, moment, kind, about, parse(shown.encode()))


def _stamp(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

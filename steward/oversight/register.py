r"""The register: an append-only, hash-chained record of what people and services did.

An entry has an open part, which names nobody, and a sealed part encrypted under the customer's key:

    number  7
    at      2026-11-21T12:00:00Z
    kind    proposed
    about   4be1…                  the customer's pseudonym, under their key; empty: about nobody
    open    {"operations":["refund"],"service":"care-desk"}
    sealed  nonce(12) ‖ AES-256-GCM(private part; number and kind as associated data)
    digest  SHA-256("sovereign/register/v1\0" ‖ digest before ‖ canonical JSON of all of the above,
            with SHA-256 of `sealed` in its place)

SQLite triggers refuse UPDATE and DELETE; the hash chain reveals changes that bypass them.
Truncation is detected only with a later `head` noted elsewhere. Destroying a customer's key leaves
the chain valid and makes the sealed parts unreadable.
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

_NAME = "stewardship"  # the origin in the derivation of keys
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
    """The register was altered. `number`: the first entry that does not match the chain."""

    def __init__(self, number: int, why: str) -> None:
        super().__init__(f"entry {number} of the register: {why}; restore it from a backup")
        self.number = number


class UnsealableError(Exception):
    """The customer has no data key, so nothing can be sealed. Nothing was recorded."""


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
    """One transaction over the register and the callers' tables in its database."""

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
        """Append one entry and return its number. Raises UnsealableError without a data key."""
        number, before = _head(self.database)
        about = "" if subject is None else pseudonym(self._tagger, subject)
        sealed = b""
        if private is not None:
            if subject is None:
                raise AssertionError("a private part needs a subject")
            sealed = _seal(self._tagger, subject, number, kind, private)
        row = (number, _stamp(at), kind, about, canonical(dict(shown)).decode(), sealed)
        digest = _digest(before, *row)
        self.database.execute("INSERT INTO entry VALUES (?, ?, ?, ?, ?, ?, ?)", [*row, digest])
        return number


class Register:
    """The register in one database. Thread-safe; several processes may write.

    `schema`: SQL that creates the callers' own tables in the same database.
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
        """A transaction: durable after the block, rolled back on an exception."""
        with self.reading() as database:
            database.execute("BEGIN IMMEDIATE")
            with database:
                yield Writing(database, self._tagger)
                # Crash before this line: nothing is written.

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self._path, isolation_level=None, timeout=30)) as database:
            database.execute("PRAGMA secure_delete=ON")
            yield database

    def entries(self, kind: str | None = None, since: int = 0) -> list[RegisterEntry]:
        """Entries from number `since` on, in order; of one `kind`, or of all."""
        sql = "SELECT number, at, kind, about, open FROM entry WHERE number >= ?"
        with self.reading() as database:
            if kind is None:
                rows = database.execute(f"{sql} ORDER BY number", [since])
            else:
                rows = database.execute(f"{sql} AND kind = ? ORDER BY number", [since, kind])
            return [_entry(*row) for row in rows]

    def of(self, subject: str, kind: str) -> list[tuple[RegisterEntry, Mapping[str, Any]]]:
        """One customer's entries of a kind, oldest first, with their decrypted private part."""
        sql = "SELECT number, at, kind, about, open FROM entry WHERE about = ? AND kind = ?"
        with self.reading() as database:
            rows = database.execute(f"{sql} ORDER BY number", [self.about(subject), kind])
            entries = [_entry(*row) for row in rows]
        return [(each, self.private(each.number, subject) or {}) for each in entries]

    def private(self, number: int, subject: str) -> Mapping[str, Any] | None:
        """The decrypted private part of an entry; None if it is another customer's or erased."""
        with self.reading() as database:
            sql = "SELECT kind, sealed FROM entry WHERE number = ?"
            row = database.execute(sql, [number]).fetchone()
        return None if row is None else _unseal(self._tagger, subject, number, *row)

    def about(self, subject: str) -> str:
        """The customer's pseudonym; a random one for a customer without a key."""
        return pseudonym(self._tagger, subject)

    def head(self) -> tuple[int, bytes]:
        """The number of entries and the last digest; note them elsewhere to detect truncation."""
        with self.reading() as database:
            number, digest = _head(database)
        return number - 1, digest

    def verify(self, noted: tuple[int, bytes] = (0, EMPTY)) -> None:
        """Recompute the chain, which must include the head `noted`. Raises TamperedError."""
        with self.reading() as database:
            require_chain(database, noted)


def require_chain(database: sqlite3.Connection, noted: tuple[int, bytes] = (0, EMPTY)) -> None:
    """Recompute the chain in a register's database, as `Register.verify`. Raises TamperedError."""
    before = EMPTY
    number = 0
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
    """The encryption key of one entry. Raises UnsealableError without the customer's data key."""
    secret = tagger.read_log_tag(subject, f"{_NAME}#seal", number)
    if secret != tagger.read_log_tag(subject, f"{_NAME}#seal", number):  # random: there is no key
        raise UnsealableError("the customer has no data key; decide manually and store nothing")
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
        private: Mapping[str, Any] = parse(AESGCM(key).decrypt(nonce, rest, _bound(number, kind)))
    except (InvalidTag, UnsealableError, ValueError):
        return None
    return private


def _bound(number: int, kind: str) -> bytes:
    return f"{number}/{kind}".encode()


def _entry(number: int, at: str, kind: str, about: str, shown: str) -> RegisterEntry:
    moment = datetime.strptime(at, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    return RegisterEntry(number, moment, kind, about, parse(shown.encode()))


def _stamp(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

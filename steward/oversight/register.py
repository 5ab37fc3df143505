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

Triggers refuse UPDATE and DELETE; the hash chain reveals changes that bypass them.
Truncation is detected only with a later `head` noted elsewhere. Destroying a customer's key leaves
the chain valid and makes the sealed parts unreadable.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import bindparam, insert, select
from sqlalchemy.engine import Connection

from ledger.storage import database
from ledger.vault.commitments import canonical, parse
from steward.storage.register import ENTRY, REGISTER

_NAME = "stewardship"  # the origin in the derivation of keys
_DOMAIN = b"sovereign/register/v1\0"
_NONCE_SIZE = 12
EMPTY = bytes(32)  # the digest before the first entry

_ADD = insert(ENTRY)
_LAST = select(ENTRY.c.number, ENTRY.c.digest).order_by(ENTRY.c.number.desc()).limit(1)
_OPEN = select(ENTRY.c.number, ENTRY.c.at, ENTRY.c.kind, ENTRY.c.about, ENTRY.c.open)
_SINCE = _OPEN.where(ENTRY.c.number >= bindparam("since")).order_by(ENTRY.c.number)
_NUMBERED = _OPEN.where(ENTRY.c.number.in_(bindparam("numbers", expanding=True)))
_OF_KIND = _SINCE.where(ENTRY.c.kind == bindparam("kind"))
_ABOUT = _OPEN.where(ENTRY.c.about == bindparam("about"), ENTRY.c.kind == bindparam("kind"))
_ABOUT = _ABOUT.order_by(ENTRY.c.number)
_SEALED = select(ENTRY.c.kind, ENTRY.c.sealed).where(ENTRY.c.number == bindparam("number"))
_STREAMED = 1000  # entries read at once
_CHAIN = select(ENTRY).order_by(ENTRY.c.number).execution_options(yield_per=_STREAMED)


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
    """One transaction over the register and the other tables of its schema."""

    def __init__(self, database: Connection, tagger: SubjectTagger) -> None:
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
        values = dict(zip(ENTRY.c.keys(), (*row, _digest(before, *row)), strict=True))
        self.database.execute(_ADD, values)
        return number

    def about(self, subject: str, kind: str) -> list[RegisterEntry]:
        """One customer's entries of a kind, oldest first."""
        return _about(self.database, pseudonym(self._tagger, subject), kind)

    def about_nobody(self, kind: str) -> list[RegisterEntry]:
        """The entries of a kind that are about no customer, oldest first."""
        return _about(self.database, "", kind)


class Register:
    """The register of the data directory `home`. Thread-safe; several processes may write.

    Raises SchemaVersionError, DatabaseError.
    """

    def __init__(self, home: Path, tagger: SubjectTagger) -> None:
        self._database, self._tagger = database.of(home), tagger
        self._engine = self._database.engine(REGISTER)

    @contextmanager
    def writing(self) -> Iterator[Writing]:
        """A transaction: durable after the block, rolled back on an exception."""
        with database.exclusive(self._engine) as connection:
            yield Writing(connection, self._tagger)
            # Crash before this line: nothing is written.

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection with a consistent snapshot."""
        with database.reading(self._engine) as connection:
            yield connection

    def truncate_log(self) -> None:
        """Remove from SQLite's write-ahead log what was overwritten in the tables."""
        database.truncate_log(self._engine)

    def entries(self, kind: str | None = None, since: int = 0) -> list[RegisterEntry]:
        """Entries from number `since` on, in order; of one `kind`, or of all."""
        with self.reading() as connection:
            if kind is None:
                rows = connection.execute(_SINCE, {"since": since})
            else:
                rows = connection.execute(_OF_KIND, {"since": since, "kind": kind})
            return [_entry(*row) for row in rows]

    def numbered(self, numbers: Sequence[int]) -> list[RegisterEntry]:
        """The entries with these numbers, in no order."""
        found: list[RegisterEntry] = []
        with self.reading() as connection:
            for start in range(0, len(numbers), _STREAMED):
                some = numbers[start : start + _STREAMED]
                rows = connection.execute(_NUMBERED, {"numbers": some})
                found += [_entry(*row) for row in rows]
        return found

    def of(self, subject: str, kind: str) -> list[tuple[RegisterEntry, Mapping[str, Any]]]:
        """One customer's entries of a kind, oldest first, with their decrypted private part."""
        with self.reading() as connection:
            entries = _about(connection, self.about(subject), kind)
        return [(each, self.private(each.number, subject) or {}) for each in entries]

    def private(self, number: int, subject: str) -> Mapping[str, Any] | None:
        """The decrypted private part of an entry; None if it is another customer's or erased."""
        with self.reading() as connection:
            row = connection.execute(_SEALED, {"number": number}).first()
        return None if row is None else _unseal(self._tagger, subject, number, *row)

    def about(self, subject: str) -> str:
        """The customer's pseudonym; a random one for a customer without a key."""
        return pseudonym(self._tagger, subject)

    def head(self) -> tuple[int, bytes]:
        """The number of entries and the last digest; note them elsewhere to detect truncation."""
        with self.reading() as connection:
            number, digest = _head(connection)
        return number - 1, digest

    def verify(self, noted: tuple[int, bytes] = (0, EMPTY)) -> None:
        """Recompute the chain, which must include the head `noted`. Raises TamperedError."""
        with self.reading() as connection:
            require_chain(connection, noted)


def require_chain(connection: Connection, noted: tuple[int, bytes] = (0, EMPTY)) -> None:
    """Recompute the chain in a register's database, as `Register.verify`. Raises TamperedError."""
    before = EMPTY
    number = 0
    with connection.execute(_CHAIN) as rows:
        for row in rows:
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


def _about(connection: Connection, about: str, kind: str) -> list[RegisterEntry]:
    rows = connection.execute(_ABOUT, {"about": about, "kind": kind})
    return [_entry(*row) for row in rows]


def _head(connection: Connection) -> tuple[int, bytes]:
    """The number of the next entry, and the digest of the last."""
    number, digest = connection.execute(_LAST).first() or (0, EMPTY)
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

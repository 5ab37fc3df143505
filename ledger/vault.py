"""Per-customer keys, sealed events, and erasure by destroying keys.

    keys/kek            32 random bytes, owner only: wraps every customer's data key (RFC 3394)
    keys/customers.db   subject -> wrapped data key; the only place where a name meets a key

A sealed event lies beside the log, AES-256-GCM under a key used once, with its log entry as
associated data. GCM does not bind the key; the SHA-256 commitment in the leaf does, and is checked
on every opening. Without its customer's data key a sealed event can be neither opened nor found.
"""

import secrets
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from threading import Lock

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap

from ledger import durable
from ledger.commitment import KEY_SIZE, ReadingTags, Secrets

PADDED = 512  # bytes; an event is JSON, which never ends in a zero byte
MOST_TAGS = 65_536  # customers whose tags are quick at a time
_NONCE = bytes(12)  # each sealing key seals one event


class VaultError(Exception):
    """A sealed event or a wrapped key cannot be opened. It was altered, or the key is another."""


class Vault:
    """The customers' data keys. Thread-safe. A key is durable before it is used.

    Raises VaultError if there are customers but the key-encryption key is missing or cut off.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        database = folder / "customers.db"
        self._kek = _kek(folder / "kek", begun=database.exists() and database.stat().st_size > 0)
        database.touch(mode=0o600)
        self._lock = Lock()
        self._database = sqlite3.connect(database, check_same_thread=False)
        # Not WAL: a deleted key must not survive in a side file.
        for pragma in ("journal_mode=DELETE", "synchronous=FULL", "secure_delete=ON"):
            self._database.execute(f"PRAGMA {pragma}")
        self._database.execute(
            "CREATE TABLE IF NOT EXISTS customer (subject TEXT PRIMARY KEY, wrapped BLOB NOT NULL)"
        )
        self._keys: dict[str, bytes] = {}
        self._tags: dict[str, ReadingTags] = {}

    def key(self, subject: str) -> bytes | None:
        """The customer's data key, or None if there is none (any more)."""
        if (key := self._keys.get(subject)) is not None:
            return key
        with self._lock:  # to the end: a key that is destroyed meanwhile must not be kept again
            row = self._database.execute(
                "SELECT wrapped FROM customer WHERE subject = ?", [subject]
            ).fetchone()
            if row is None:
                return None
            key = self._keys[subject] = self._unwrap(row[0])
        return key

    def reading_tags(self, subject: str, origin: str) -> ReadingTags | None:
        """What names the customer in one read log, or None without a data key."""
        found = self._tags.get(subject)
        if found is not None and found.origin == origin:
            return found
        if self.key(subject) is None:
            return None
        with self._lock:  # as in `key`: what is destroyed meanwhile must not be kept again
            if (key := self._keys.get(subject)) is None:
                return None
            if len(self._tags) >= MOST_TAGS:
                self._tags.clear()
            found = self._tags[subject] = ReadingTags(key, origin)
        return found

    def create(self, subjects: Iterable[str]) -> set[str]:
        """Make a data key for each subject that has none; whose were made. Durable on return."""
        new = {subject for subject in set(subjects) if self.key(subject) is None}
        made = {subject: secrets.token_bytes(KEY_SIZE) for subject in new}
        rows = [(subject, aes_key_wrap(self._kek, key)) for subject, key in made.items()]
        with self._lock, self._database:
            self._database.executemany("INSERT INTO customer VALUES (?, ?)", rows)
        # Crash here: keys without events. They open nothing and hurt nobody.
        self._keys |= made
        return new

    def everybody(self) -> Iterator[tuple[str, bytes]]:
        """Every customer with a data key."""
        with self._lock:
            rows = self._database.execute("SELECT subject, wrapped FROM customer").fetchall()
        for subject, wrapped in rows:
            yield subject, self._keys.get(subject) or self._unwrap(wrapped)

    def renewed(self, known: dict[str, bytes]) -> Iterator[bytes]:
        """The data keys that are not in `known`: subject -> wrapped key, which is brought up to
        date. Who was erased and came back has another key under the same name."""
        with self._lock:
            rows = self._database.execute("SELECT subject, wrapped FROM customer").fetchall()
        for subject, wrapped in rows:
            if known.get(subject) != wrapped:
                known[subject] = wrapped
                self._tags.pop(subject, None)
                key = self._keys[subject] = self._unwrap(wrapped)
                yield key

    def destroy(self, subject: str) -> None:
        """Forget a data key for ever. Durable on return."""
        with self._lock, self._database:
            self._database.execute("DELETE FROM customer WHERE subject = ?", [subject])
            self._keys.pop(subject, None)
            self._tags.pop(subject, None)

    def forget(self) -> None:
        """Drop keys held in memory: what another process destroyed must not live on here."""
        with self._lock:
            self._keys.clear()
            self._tags.clear()

    def close(self) -> None:
        self._database.close()

    def _unwrap(self, wrapped: bytes) -> bytes:
        try:
            return aes_key_unwrap(self._kek, wrapped)
        except InvalidUnwrap as error:
            raise VaultError("a customer key does not open: is keys/kek the right one?") from error


def seal(secrets: Secrets, event: bytes, entry: bytes) -> bytes:
    """Sealed, and padded to a multiple of PADDED bytes: lengths must not tell customers apart."""
    padded = event + bytes(-len(event) % PADDED)
    return AESGCM(secrets.sealing_key).encrypt(_NONCE, padded, entry)


def unseal(secrets: Secrets, sealed: bytes, entry: bytes) -> bytes:
    """The event's bytes. Raises VaultError."""
    try:
        return AESGCM(secrets.sealing_key).decrypt(_NONCE, sealed, entry).rstrip(b"\0")
    except InvalidTag as error:
        raise VaultError("a sealed event does not open under its customer's key") from error


def _kek(path: Path, *, begun: bool) -> bytes:
    if not path.exists():
        if begun:
            raise VaultError(
                f"{path} is missing, and customers' keys are wrapped with it: restore it"
            )
        durable.write(path, secrets.token_bytes(KEY_SIZE), durable.OWNER_ONLY)
    found = path.read_bytes()
    if len(found) != KEY_SIZE:
        raise VaultError(f"{path} has {len(found)} bytes, want {KEY_SIZE}: restore it")
    return found

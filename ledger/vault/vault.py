"""Per-customer keys, sealed events, and erasure by destroying keys.

    keys/kek            wraps every customer's data key (RFC 3394): see
    ledger.vault.key_encryption_key keys/customers.db   subject -> wrapped data key; the only place
    where a name meets a key;
                        the generation of the key-encryption key they are all wrapped with;
                        how many lines of `erased` beside `keys/` it knows: see
                        ledger.vault.erasure_list

A sealed event lies beside the log, AES-256-GCM under a key used once, with its log entry as
associated data. GCM does not bind the key; the SHA-256 commitment in the leaf does, and is checked
on every opening. Without its customer's data key a sealed event can be neither opened nor found.
"""

import os
import secrets
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ledger.vault import commitments, erasure_list, key_encryption_key
from ledger.vault.commitments import KEY_SIZE, ReadingTags, Secrets
from ledger.vault.erasure_list import ErasureList, ErasureRecord
from ledger.vault.key_encryption_key import Kek, KekError, KekProvider, MalformedKekError

PADDED = 512  # bytes; an event is JSON, which never ends in a zero byte
MOST_TAGS = 65_536  # customers whose tags are quick at a time
_NONCE = bytes(12)  # each sealing key seals one event


_WAIT_S = 60.0  # for another process that writes: a rotation of ten million keys
_SCHEMA = """
CREATE TABLE IF NOT EXISTS customer (subject TEXT PRIMARY KEY, wrapped BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS kek (only INTEGER PRIMARY KEY CHECK (only = 1),
  generation TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS erased (only INTEGER PRIMARY KEY CHECK (only = 1),
  lines INTEGER NOT NULL)
"""
_ALL = "SELECT subject, wrapped FROM customer"
_ONE = "SELECT wrapped, (SELECT generation FROM kek) FROM customer WHERE subject = ?"
Progress = Callable[[int, int], None]  # keys wrapped anew, of how many


class VaultError(Exception):
    """A sealed event or a wrapped key cannot be opened. It was altered, or the key is another."""


class Vault:
    """The customers' data keys. Thread-safe. A key is durable before it is used.

    Several processes may hold one vault; one of them may rotate its key meanwhile. Raises
    VaultError if there are customers but the key-encryption key is missing or cut off.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        database = folder / "customers.db"
        self._places = folder / "kek", folder / "kek.next"
        self._erasures = ErasureList(folder.parent / erasure_list.NAME)
        begun = database.exists() and database.stat().st_size > 0
        if not begun:
            self._begin()
        if not database.exists():
            database.touch(mode=0o600)
        self._lock = Lock()
        self._database = sqlite3.connect(
            database, timeout=_WAIT_S, check_same_thread=False, isolation_level=None
        )
        # Not WAL: a deleted key must not survive in a side file.
        for pragma in ("journal_mode=DELETE", "synchronous=FULL", "secure_delete=ON"):
            self._database.execute(f"PRAGMA {pragma}")
        for statement in _SCHEMA.split(";"):
            self._database.execute(statement)
        self._keys: dict[str, bytes] = {}
        self._tags: dict[str, ReadingTags] = {}
        with self._lock:
            self._kek = self._in_force(self._named())
            if self._places[1].exists() and os.access(folder, os.W_OK):
                self._settle()
            self._erase_again()

    def key(self, subject: str) -> bytes | None:
        """The customer's data key, or None if there is none (any more)."""
        if (key := self._keys.get(subject)) is not None:
            return key
        with self._lock:  # to the end: a key that is destroyed meanwhile must not be kept again
            row = self._database.execute(_ONE, [subject]).fetchone()
            if row is None:
                return None
            wrapped, generation = row
            key = self._keys[subject] = _opened(self._current(generation), wrapped)
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
        if not new:
            return new
        made = {subject: secrets.token_bytes(KEY_SIZE) for subject in new}
        with self._lock, self._writing() as current:
            rows = [(subject, current.wrap(key)) for subject, key in made.items()]
            self._database.executemany("INSERT INTO customer VALUES (?, ?)", rows)
        # Crash here: keys without events. They open nothing and hurt nobody.
        self._keys |= made
        return new

    def everybody(self) -> Iterator[tuple[str, bytes]]:
        """Every customer with a data key."""
        with self._lock:
            current, rows = self._rows()
        for subject, wrapped in rows:
            yield subject, self._keys.get(subject) or _opened(current, wrapped)

    def renewed(self, known: dict[str, bytes]) -> Iterator[bytes]:
        """The data keys that are not in `known`: subject -> wrapped key, which is brought up to
        date. Who was erased and came back has another key under the same name."""
        with self._lock:
            current, rows = self._rows()
        for subject, wrapped in rows:
            if known.get(subject) != wrapped:
                known[subject] = wrapped
                self._tags.pop(subject, None)
                key = self._keys[subject] = _opened(current, wrapped)
                yield key

    def destroy(self, subject: str) -> None:
        """Forget a data key for ever, in backups from now on too. Durable on return."""
        if (key := self.key(subject)) is None:
            return
        with self._lock, self._writing():
            self._erasures.key(key)
            # Crash here: the next opening destroys it.
            self._put(subject, None)
            self._known(len(self._erasures))

    def puncture(self, subject: str, seq: int, newest: int, label: bytes) -> None:
        """Forget what yields the customer's event `seq`: see ledger.vault.commitments. Durable on
        return.

        Raises ErasedEntryError, OneHalfError, KeyError if there is no data key.
        """
        if (key := self.key(subject)) is None:
            raise KeyError("there is no data key of this customer")
        newer = commitments.without(key, seq, newest, label)
        with self._lock, self._writing() as current:
            self._erasures.entry(key, ErasureRecord(seq, newest, label))
            # Crash here: the next opening does it.
            self._put(subject, current.wrap(newer))
            self._known(len(self._erasures))

    @property
    def keeper(self) -> str:
        """Who keeps the key-encryption key: a URI, without any secret."""
        with self._lock:
            return self._found(self._named()).keeper.uri

    def rotate(self, keeper: KekProvider, progress: Progress = lambda _done, _of: None) -> None:
        """Wrap every data key with a new key-encryption key, and destroy the old one.

        One transaction says which generation is in force and holds every key wrapped with it, so
        there is never a second truth. Raises VaultError or KekError; then the old key is in force.
        """
        newer = key_encryption_key.made()
        with self._lock:
            with self._writing() as current:
                self._abandon()
                key_encryption_key.write(self._places[1], newer, keeper)
                # Crash here: a key that wraps nothing; the next rotation replaces it.
                self._rewrap(current, newer, progress)
                # Crash before the end of this block: the same; SQLite rolls the wrapping back.
            self._kek = newer
            # Crash here: the newer key is in force and found; the next opening ends the rotation.
            self._settle()

    def forget(self) -> None:
        """Drop keys held in memory: what another process destroyed must not live on here."""
        with self._lock:
            self._keys.clear()
            self._tags.clear()

    def close(self) -> None:
        self._database.close()

    def _put(self, subject: str, wrapped: bytes | None) -> None:
        """Another wrapped key for this customer, or none."""
        self._keys.pop(subject, None)
        self._tags.pop(subject, None)
        if wrapped is None:
            self._database.execute("DELETE FROM customer WHERE subject = ?", [subject])
        else:
            query = "UPDATE customer SET wrapped = ? WHERE subject = ?"
            self._database.execute(query, [wrapped, subject])

    def _known(self, lines: int) -> None:
        self._database.execute("INSERT OR REPLACE INTO erased VALUES (1, ?)", [lines])

    def _erase_again(self) -> None:
        """Destroy what a restored key store brought back, or a crash left."""
        row = self._database.execute("SELECT lines FROM erased").fetchone()
        applied, lines = row[0] if row else 0, len(self._erasures)
        if applied > lines:
            raise VaultError(
                f"the list of erasures beside keys/ has {lines} lines, want {applied}: restore the "
                "newest one, or a backup of the keys would bring back whoever was erased"
            )
        if applied == lines:
            return
        replay = self._erasures.since(applied)
        with self._writing() as current:
            for subject, wrapped in self._database.execute(_ALL).fetchall():
                key = _opened(current, wrapped)
                if (left := replay.left(key)) != key:
                    self._put(subject, None if left is None else current.wrap(left))
            self._known(lines)

    def _rewrap(self, older: Kek, newer: Kek, progress: Progress) -> None:
        rows = self._database.execute(_ALL).fetchall()
        update = "UPDATE customer SET wrapped = ? WHERE subject = ?"
        progress(0, len(rows))
        for done, (subject, wrapped) in enumerate(rows, 1):
            self._database.execute(update, [newer.wrap(_opened(older, wrapped)), subject])
            progress(done, len(rows))
        self._database.execute("UPDATE kek SET generation = ?", [newer.generation])

    def _settle(self) -> None:
        """End a rotation whose key is in force; of one that did not come so far, nothing."""
        kept, newer = self._places
        with self._writing() as current:  # whoever else would end it waits, and finds it ended
            if newer.exists() and key_encryption_key.read(newer).generation == current.generation:
                key_encryption_key.replace(kept, newer)

    def _abandon(self) -> None:
        """Have the key of a rotation that did not come to an end destroyed, if it left one."""
        with suppress(FileNotFoundError, KekError):  # what cannot be opened wraps nothing either
            key_encryption_key.read(self._places[1]).keeper.destroy()

    def _begin(self) -> None:
        """The first key-encryption key, unless somebody put one there."""
        if not self._places[0].exists():
            key_encryption_key.write(
                self._places[0], key_encryption_key.made(), key_encryption_key.File()
            )

    def _named(self) -> str:
        """The generation in force, which the database names from now on."""
        query = "SELECT generation FROM kek"
        if (found := self._database.execute(query).fetchone()) is None:
            made = self._first().generation
            self._database.execute("INSERT OR IGNORE INTO kek VALUES (1, ?)", [made])
            found = self._database.execute(query).fetchone()
        return str(found[0])

    def _first(self) -> Kek:
        """The key of a database that does not name one yet. Raises VaultError."""
        path = self._places[0]
        if not path.exists():
            raise VaultError(
                f"{path} is missing, and customers' keys are wrapped with it: restore it"
            )
        try:
            found = key_encryption_key.read(path).open()
        except KekError as error:
            raise VaultError(str(error)) from error
        some = self._database.execute("SELECT wrapped FROM customer LIMIT 1").fetchone()
        if some is not None:
            _opened(found, some[0])
        return found

    def _found(self, generation: str) -> key_encryption_key.Kept:
        why = [f"want the key of generation {generation}, which customers' keys are wrapped with"]
        for path in self._places:
            try:
                kept = key_encryption_key.read(path)
            except FileNotFoundError:
                why.append(f"{path} is missing")
                continue
            except MalformedKekError as error:
                why.append(str(error))
                continue
            if kept.generation == generation:
                return kept
            why.append(f"{path} is of generation {kept.generation}")
        raise VaultError(f"{'; '.join(why)}; restore it")

    def _in_force(self, generation: str) -> Kek:
        try:
            return self._found(generation).open()
        except KekError as error:
            raise VaultError(str(error)) from error

    def _current(self, generation: str) -> Kek:
        """The key of this generation, which another process may have put in force meanwhile."""
        if self._kek.generation != generation:
            self._kek = self._in_force(generation)
        return self._kek

    def _rows(self) -> tuple[Kek, list[tuple[str, bytes]]]:
        """Everybody's wrapped key, and what they are all wrapped with."""
        self._database.execute("BEGIN")
        try:
            current = self._current(self._named())
            rows = self._database.execute(_ALL).fetchall()
            return current, rows
        finally:
            self._database.execute("COMMIT")

    @contextmanager
    def _writing(self) -> Iterator[Kek]:
        """A transaction, and the key in force in it. Durable when it ends without an error."""
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield self._current(self._named())
        except BaseException:
            self._database.execute("ROLLBACK")
            raise
        self._database.execute("COMMIT")


def _opened(key: Kek, wrapped: bytes) -> bytes:
    try:
        return key.unwrap(wrapped)
    except KekError as error:
        raise VaultError(str(error)) from error


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

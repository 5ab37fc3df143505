"""The vault: one data key per customer, sealed events, and erasure by destroying keys.

    keys/kek            the key-encryption key, which wraps every data key (RFC 3394): see
                        ledger.vault.key_encryption_key
    keys/customers.db   subject -> wrapped data key, the only place that links a name to a key; the
                        generation of the key-encryption key that wraps them all; how many lines of
                        the erasure list were applied: see ledger.vault.erasure_list

Sealed events are stored next to the log. Each is encrypted with AES-256-GCM under a key that is
used once, with its log entry as associated data. GCM does not commit to the key; the SHA-256
commitment in the leaf does, and it is checked at every decryption. Without the customer's data key
a sealed event can be neither found nor decrypted.
"""

import os
import secrets
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ledger.vault import commitments, erasure_list, key_encryption_key
from ledger.vault.commitments import KEY_SIZE, ReadLogTags, Secrets
from ledger.vault.erasure_list import ErasureList, ErasureRecord, MalformedErasureListError
from ledger.vault.key_encryption_key import Kek, KekError, KekProvider, MalformedKekError

PADDED = 512  # bytes; zeros can be stripped because an event is JSON, which never ends in one
MAX_TAGS = 65_536  # customers whose ReadLogTags are cached
_NONCE = bytes(12)  # each sealing key seals one event


_WAIT_S = 60.0  # for another process's write; a rotation of ten million keys takes this long
_SCHEMA = """
CREATE TABLE IF NOT EXISTS customer (subject TEXT PRIMARY KEY, wrapped BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS kek (only INTEGER PRIMARY KEY CHECK (only = 1),
  generation TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS erased (only INTEGER PRIMARY KEY CHECK (only = 1),
  lines INTEGER NOT NULL)
"""
ALL_KEYS = "SELECT subject, wrapped FROM customer"
_ONE = "SELECT wrapped, (SELECT generation FROM kek) FROM customer WHERE subject = ?"
Progress = Callable[[int, int], None]  # (keys rewrapped, keys in total)


class VaultError(Exception):
    """A sealed event or a wrapped key cannot be opened: it was altered, or the key is wrong."""


class Vault:
    """The customers' data keys. Thread-safe. A key is durable before it is used.

    Several processes may open one vault, also while one of them rotates the key-encryption key.
    Raises VaultError if there are customers but the key-encryption key is missing or cut off.
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
        self._tags: dict[str, ReadLogTags] = {}
        with self._lock:
            self._kek = self._open_kek(self._active_generation())
            if self._places[1].exists() and os.access(folder, os.W_OK):
                self._settle()
            self._erase_again()

    def key(self, subject: str) -> bytes | None:
        """The customer's data key, or None if they have none or it was destroyed."""
        if (key := self._keys.get(subject)) is not None:
            return key
        with self._lock:  # so that a key which is destroyed meanwhile is not cached again
            row = self._database.execute(_ONE, [subject]).fetchone()
            if row is None:
                return None
            wrapped, generation = row
            key = self._keys[subject] = _opened(self._current(generation), wrapped)
        return key

    def read_log_tags(self, subject: str, origin: str) -> ReadLogTags | None:
        """Computes the customer's pseudonyms in one read log; None if they have no data key."""
        tags = self._tags.get(subject)
        if tags is not None and tags.origin == origin:
            return tags
        if self.key(subject) is None:
            return None
        with self._lock:  # as in `key`: a key that is destroyed meanwhile must not be cached again
            if (key := self._keys.get(subject)) is None:
                return None
            if len(self._tags) >= MAX_TAGS:
                self._tags.clear()
            tags = self._tags[subject] = ReadLogTags(key, origin)
        return tags

    def create(self, subjects: Iterable[str]) -> set[str]:
        """Create a data key for each subject without one; return those. Durable on return."""
        new = {subject for subject in set(subjects) if self.key(subject) is None}
        if not new:
            return new
        made = {subject: secrets.token_bytes(KEY_SIZE) for subject in new}
        with self._lock, self._writing() as current:
            rows = [(subject, current.wrap(key)) for subject, key in made.items()]
            self._database.executemany("INSERT INTO customer VALUES (?, ?)", rows)
        # Crash here: there are data keys without events, which does no harm.
        self._keys |= made
        return new

    def data_keys(self) -> Iterator[tuple[str, bytes]]:
        """(subject, data key) of every customer with a data key."""
        with self._lock:
            current, rows = self._rows()
        for subject, wrapped in rows:
            yield subject, self._keys.get(subject) or _opened(current, wrapped)

    def changed_keys(self, known: dict[str, bytes]) -> Iterator[bytes]:
        """The data keys that are new or changed since the last call.

        `known`: subject -> wrapped key; it is updated. A customer who was erased and came back has
        a different key under the same name.
        """
        with self._lock:
            current, rows = self._rows()
        for subject, wrapped in rows:
            if known.get(subject) != wrapped:
                known[subject] = wrapped
                self._tags.pop(subject, None)
                key = self._keys[subject] = _opened(current, wrapped)
                yield key

    def destroy(self, subject: str) -> None:
        """Destroy a data key, and list it so that no restored backup brings it back. Durable."""
        if (key := self.key(subject)) is None:
            return
        with self._lock, self._writing():
            self._erasures.add_key(key)
            # Crash here: the key is listed but not destroyed; opening the vault destroys it.
            self._put(subject, None)
            self._record_applied(len(self._erasures))

    def puncture(self, subject: str, seq: int, newest: int, label: bytes) -> None:
        """Destroy the secrets of the customer's event `seq`: see ledger.vault.commitments.

        Durable on return. `newest`: the number of their newest event; `label`: their map label.

        Raises ErasedEntryError, LegacyDataKeyError, KeyError if there is no data key.
        """
        if (key := self.key(subject)) is None:
            raise KeyError("there is no data key of this customer")
        newer = commitments.punctured(key, seq, newest, label)
        with self._lock, self._writing() as current:
            self._erasures.add_entry(key, ErasureRecord(seq, newest, label))
            # Crash here: the event is listed but not erased; opening the vault erases it.
            self._put(subject, current.wrap(newer))
            self._record_applied(len(self._erasures))

    @property
    def kek_provider(self) -> str:
        """The URI of the provider of the key-encryption key. It contains no secret."""
        with self._lock:
            return stored_kek(self._places, self._active_generation()).provider.uri

    def rotate(self, provider: KekProvider, progress: Progress = lambda _done, _of: None) -> None:
        """Wrap every data key with a new key-encryption key, and destroy the old one.

        One transaction changes the active generation and all wrapped keys, so they always match.
        If VaultError or KekError is raised, the old key is still the active one.
        """
        newer = key_encryption_key.generate()
        with self._lock:
            with self._writing() as current:
                self._abandon()
                key_encryption_key.write(self._places[1], newer, provider)
                # Crash here: kek.next is a key that wraps nothing; the next rotation replaces it.
                self._rewrap(current, newer, progress)
                # Crash before the end of this block: the same; SQLite rolls the rewrapping back.
            self._kek = newer
            # Crash here: the new key, in kek.next, is active; opening the vault ends the rotation.
            self._settle()

    def clear_cache(self) -> None:
        """Drop all cached keys, so that a key which another process destroyed is not used here."""
        with self._lock:
            self._keys.clear()
            self._tags.clear()

    def close(self) -> None:
        self._database.close()

    def _put(self, subject: str, wrapped: bytes | None) -> None:
        """Replace or (None) delete the customer's wrapped key, and drop it from the caches."""
        self._keys.pop(subject, None)
        self._tags.pop(subject, None)
        if wrapped is None:
            self._database.execute("DELETE FROM customer WHERE subject = ?", [subject])
        else:
            query = "UPDATE customer SET wrapped = ? WHERE subject = ?"
            self._database.execute(query, [wrapped, subject])

    def _record_applied(self, lines: int) -> None:
        self._database.execute("INSERT OR REPLACE INTO erased VALUES (1, ?)", [lines])

    def _erase_again(self) -> None:
        """Repeat listed erasures that a restored key store undid or a crash left undone."""
        row = self._database.execute("SELECT lines FROM erased").fetchone()
        try:
            applied, lines = row[0] if row else 0, len(self._erasures)
        except MalformedErasureListError as error:
            raise VaultError(str(error)) from error
        if applied > lines:
            raise VaultError(
                f"the erasure list `erased` has {lines} lines, but the key store has applied "
                f"{applied}: restore the newest `erased`, or a restored backup of the keys could "
                "bring back customers who were erased"
            )
        if applied == lines:
            return
        replay = self._erasures.since(applied)
        with self._writing() as current:
            for subject, wrapped in self._database.execute(ALL_KEYS).fetchall():
                key = _opened(current, wrapped)
                if (left := replay.remaining(key)) != key:
                    self._put(subject, None if left is None else current.wrap(left))
            self._record_applied(lines)

    def _rewrap(self, older: Kek, newer: Kek, progress: Progress) -> None:
        rows = self._database.execute(ALL_KEYS).fetchall()
        update = "UPDATE customer SET wrapped = ? WHERE subject = ?"
        progress(0, len(rows))
        for done, (subject, wrapped) in enumerate(rows, 1):
            self._database.execute(update, [newer.wrap(_opened(older, wrapped)), subject])
            progress(done, len(rows))
        self._database.execute("UPDATE kek SET generation = ?", [newer.generation])

    def _settle(self) -> None:
        """End a rotation if its new key is the active one; otherwise do nothing."""
        current_path, newer = self._places
        with self._writing() as current:  # another process waits here, then finds it ended
            if newer.exists() and key_encryption_key.read(newer).generation == current.generation:
                key_encryption_key.replace(current_path, newer)

    def _abandon(self) -> None:
        """Destroy the key of an earlier rotation that was not committed, if there is one."""
        with suppress(FileNotFoundError, KekError):  # it wraps nothing, so it need not be opened
            key_encryption_key.read(self._places[1]).provider.destroy()

    def _begin(self) -> None:
        """Create the first key-encryption key, unless the operator provided one."""
        if not self._places[0].exists():
            key_encryption_key.write(
                self._places[0], key_encryption_key.generate(), key_encryption_key.FileProvider()
            )

    def _active_generation(self) -> str:
        """The active generation; recorded in the database if it was not yet."""
        query = "SELECT generation FROM kek"
        if (row := self._database.execute(query).fetchone()) is None:
            made = self._first().generation
            self._database.execute("INSERT OR IGNORE INTO kek VALUES (1, ?)", [made])
            row = self._database.execute(query).fetchone()
        return str(row[0])

    def _first(self) -> Kek:
        """The key of a database that does not record a generation yet. Raises VaultError."""
        try:
            kek = unrecorded_kek(self._places[0]).open()
        except KekError as error:
            raise VaultError(str(error)) from error
        some = self._database.execute("SELECT wrapped FROM customer LIMIT 1").fetchone()
        if some is not None:
            _opened(kek, some[0])
        return kek

    def _open_kek(self, generation: str) -> Kek:
        try:
            return stored_kek(self._places, generation).open()
        except KekError as error:
            raise VaultError(str(error)) from error

    def _current(self, generation: str) -> Kek:
        """The key of this generation, which another process may just have rotated to."""
        if self._kek.generation != generation:
            self._kek = self._open_kek(generation)
        return self._kek

    def _rows(self) -> tuple[Kek, list[tuple[str, bytes]]]:
        """The active key, and every customer's wrapped data key, read in one transaction."""
        self._database.execute("BEGIN")
        try:
            current = self._current(self._active_generation())
            rows = self._database.execute(ALL_KEYS).fetchall()
            return current, rows
        finally:
            self._database.execute("COMMIT")

    @contextmanager
    def _writing(self) -> Iterator[Kek]:
        """A write transaction; yields the active key. Durable when it ends without an error."""
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield self._current(self._active_generation())
        except BaseException:
            self._database.execute("ROLLBACK")
            raise
        self._database.execute("COMMIT")


def unrecorded_kek(path: Path) -> key_encryption_key.StoredKek:
    """The key of a database that does not record a generation yet. Raises VaultError."""
    try:
        return key_encryption_key.read(path)
    except FileNotFoundError as error:
        raise VaultError(
            f"{path} is missing, but customers' data keys are wrapped with it: restore it"
        ) from error


def stored_kek(places: Sequence[Path], generation: str) -> key_encryption_key.StoredKek:
    """The key of this generation, in one of two files. Raises VaultError."""
    why = [f"want the key of generation {generation}, which wraps the keys in keys/customers.db"]
    for path in places:
        try:
            stored = key_encryption_key.read(path)
        except FileNotFoundError:
            why.append(f"{path} is missing")
            continue
        except MalformedKekError as error:
            why.append(str(error))
            continue
        if stored.generation == generation:
            return stored
        why.append(f"{path} has generation {stored.generation}")
    raise VaultError(f"{'; '.join(why)}; restore it")


def _opened(key: Kek, wrapped: bytes) -> bytes:
    try:
        return key.unwrap(wrapped)
    except KekError as error:
        raise VaultError(str(error)) from error


def seal(secrets: Secrets, event: bytes, entry: bytes) -> bytes:
    """Encrypt an event, padded to a multiple of PADDED bytes so that its length reveals little."""
    padded = event + bytes(-len(event) % PADDED)
    return AESGCM(secrets.sealing_key).encrypt(_NONCE, padded, entry)


def unseal(secrets: Secrets, sealed: bytes, entry: bytes) -> bytes:
    """Decrypt an event. Raises VaultError."""
    try:
        return AESGCM(secrets.sealing_key).decrypt(_NONCE, sealed, entry).rstrip(b"\0")
    except InvalidTag as error:
        raise VaultError("a sealed event cannot be decrypted with its customer's key") from error

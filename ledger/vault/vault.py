"""The vault: one data key per customer, sealed events, and erasure by destroying keys.

    keys/kek            the key-encryption key, which wraps every data key (RFC 3394): see
                        ledger.vault.key_encryption_key
    keys/customers.db   subject -> wrapped data key, the only place that links a name to a key; the
                        generation of the key-encryption key that wraps them all; how many lines of
                        the erasure list were applied: see ledger.vault.erasure_list; which tags are
                        whose: see ledger.vault.owners
    keys/tombstone.key  recognises customers who were erased: see ledger.vault.tombstones

Sealed events are stored next to the log. Each is encrypted with AES-256-GCM under a key that is
used once, with its log entry as associated data. GCM does not commit to the key; the SHA-256
commitment in the leaf does, and it is checked at every decryption. Without the customer's data key
a sealed event can be neither found nor decrypted.
"""

import os
import secrets
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from threading import Lock

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ledger.errors import CorruptLogError
from ledger.vault import commitments, erasure_list, key_encryption_key, owners, tombstones
from ledger.vault.commitments import KEY_SIZE, ReadLogTags, Secrets
from ledger.vault.erasure_list import ErasureList, ErasureRecord, MalformedErasureListError
from ledger.vault.key_encryption_key import Kek, KekError, KekProvider, MalformedKekError
from ledger.vault.owners import Erasures, Owner, Owners
from ledger.vault.tombstones import TombstoneError, TombstoneList, Tombstones

PADDED = 512  # bytes; zeros can be stripped because an event is JSON, which never ends in one
MAX_TAGS = 65_536  # customers whose ReadLogTags are cached
MAX_KEYS = 262_144  # data keys cached; about 60 MB
_NONCE = bytes(12)  # each sealing key seals one event


_WAIT_S = 60.0  # for another process's write; a rotation of ten million keys takes this long
_SCHEMA = """
CREATE TABLE IF NOT EXISTS customer (subject TEXT PRIMARY KEY, wrapped BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS kek (only INTEGER PRIMARY KEY CHECK (only = 1),
  generation TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS erased (only INTEGER PRIMARY KEY CHECK (only = 1),
  lines INTEGER NOT NULL)
"""
_TOMBSTONES = """
CREATE TABLE IF NOT EXISTS tombstone (only INTEGER PRIMARY KEY CHECK (only = 1),
  lines INTEGER NOT NULL)
"""  # made by the first erasure: a gate may open an older key store that it cannot write
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
        self._folder = folder
        self._places = folder / "kek", folder / "kek.next"
        self._erasures = ErasureList(folder.parent / erasure_list.NAME)
        self._buried = TombstoneList(folder.parent / tombstones.NAME)
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
            self._index = self._opened_index()
            self._erase_again()

    def key(self, subject: str) -> bytes | None:
        """The customer's data key, or None if they have none or it was destroyed."""
        if (key := self._keys.get(subject)) is not None:
            return key
        with self._lock:  # so that a key which is destroyed meanwhile is not cached again
            return self._stored_key(subject)

    def _stored_key(self, subject: str) -> bytes | None:
        """As `key`, not from the cache. The caller has the lock."""
        if (row := self._database.execute(_ONE, [subject]).fetchone()) is None:
            return None
        wrapped, generation = row
        key = _opened(self._current(generation), wrapped)
        if len(self._keys) >= MAX_KEYS:
            self._keys.clear()
        self._keys[subject] = key
        return key

    def read_log_tags(self, subject: str, origin: str) -> ReadLogTags | None:
        """Computes the customer's pseudonyms in one read log; None if they have no data key."""
        tags = self._tags.get(subject)
        if tags is not None and tags.origin == origin:
            return tags
        with self._lock:  # as in `key`: a key that is destroyed meanwhile must not be cached again
            if (key := self._keys.get(subject) or self._stored_key(subject)) is None:
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
            for subject, key in made.items():
                self._owners.put(subject, key, range(1, owners.FIRST + 1))
        # Crash here: there are data keys without events, which does no harm.
        self._keys |= made
        return new

    def expect(self, newest: Mapping[str, tuple[int, int]]) -> None:
        """Index the events that customers are about to give. Durable on return.

        `newest`: the number of their newest event, before and after. Mostly they are indexed
        already, and nothing is written.
        """
        if not (growing := owners.growing(newest)):
            return
        keys = {subject: self._required(subject) for subject in growing}
        with self._lock, self._writing():
            for subject, seqs in growing.items():
                self._owners.put(subject, keys[subject], seqs)
        # Crash here: events are indexed that did not happen, which does no harm.

    def owners_of(self, tags: Sequence[bytes]) -> dict[bytes, Owner]:
        """The owner of each tag. Raises CorruptLogError if the index lacks one."""
        owned = self.indexed_owners(tags)
        if missing := [each for each in tags if each not in owned]:
            raise CorruptLogError(
                f"{len(missing)} entries of the log are not in the index of owners (the first has "
                f"the tag {missing[0].hex()}): the key store is older than the log. Restore the "
                "newest key store, or run `sovereign vault reindex`"
            )
        return owned

    def indexed_owners(self, tags: Sequence[bytes]) -> dict[bytes, Owner]:
        """Tag -> owner, for the tags that the index has."""
        with self._lock:
            return self._owners.of(tags)

    @property
    def indexed(self) -> bool:
        """Whether the index of owners covers the log; it does not in an old data directory."""
        if self._index is None:
            return False
        row = self._database.execute("SELECT complete FROM owner_key").fetchone()
        return bool(row[0])

    def complete_index(self, tags: Callable[[], set[bytes]]) -> None:
        """Make the index of owners if it does not cover the log, as in an old data directory.

        `tags`: those of all sealed events in the log. Raises VaultError if the key store cannot be
        written.
        """
        if not self.indexed:
            self._rebuild(tags, only_if_incomplete=True)

    def rebuild_index(self, tags: Callable[[], set[bytes]]) -> None:
        """Rebuild the index of owners, as `complete_index` does. Durable on return."""
        self._rebuild(tags, only_if_incomplete=False)

    def _rebuild(self, tags: Callable[[], set[bytes]], *, only_if_incomplete: bool) -> None:
        with self._lock, self._writing() as current:  # from here on no writer extends the index
            if only_if_incomplete and self.indexed:
                return
            rows = self._database.execute(ALL_KEYS).fetchall()
            self._database.execute("DELETE FROM owner")
            keys = ((subject, _opened(current, wrapped)) for subject, wrapped in rows)
            self._owners.put_all(owners.rebuilt(keys, tags()))
            self._database.execute("UPDATE owner_key SET complete = 1")

    def data_keys(self) -> Iterator[tuple[str, bytes]]:
        """(subject, data key) of every customer with a data key."""
        with self._lock:
            current, rows = self._rows()
        for subject, wrapped in rows:
            yield subject, self._keys.get(subject) or _opened(current, wrapped)

    def bury(self, subject: str, at: datetime) -> None:
        """List a tombstone of a customer who is erased at `at`. Durable on return.

        Do it before `destroy`: a crash in between leaves a customer of whom no import takes
        consents from before `at`. Does nothing without a data key. Raises VaultError.
        """
        if self.key(subject) is None:
            return
        with self._lock, self._writing(), _reported():
            self._buried.add(tombstones.ensure(self._folder), subject, at)
            # Crash here: one line more than are counted, which does no harm.
            self._database.execute(_TOMBSTONES)
            count = "INSERT OR REPLACE INTO tombstone VALUES (1, ?)"
            self._database.execute(count, [len(self._buried)])

    def tombstones(self) -> Tombstones:
        """The tombstones of all erased customers. Raises VaultError if a line or key is missing."""
        with self._lock, _reported():
            counted, lines = self._counted_tombstones(), len(self._buried)
            if counted > lines:
                raise TombstoneError(
                    f"the list `{tombstones.NAME}` has {lines} lines, want {counted} or more: "
                    "restore the newest one, or an import could bring back who was erased"
                )
            return self._buried.tombstones(tombstones.read(self._folder))

    def destroy(self, subject: str) -> None:
        """Destroy a data key, and list it so that no restored backup brings it back. Durable."""
        if (key := self.key(subject)) is None:
            return
        with self._lock, self._writing():
            self._erasures.add_key(key)
            # Crash here: the key is listed but not destroyed; opening the vault destroys it.
            lines = len(self._erasures)
            self._owners.forget(subject, key, lines)
            self._put(subject, None)
            self._record_applied(lines)

    def erasures(self, since: int) -> Erasures:
        """Customers who were erased after the first `since` lines of the erasure list."""
        with self._lock:
            return self._owners.erasures(since)

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
            self._owners.replace(subject, key, newer)
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

    def reloaded(self, subject: str) -> bytes | None:
        """As `key`, not from the cache: another process may have replaced the customer's key."""
        with self._lock:
            self._keys.pop(subject, None)
            self._tags.pop(subject, None)
        return self.key(subject)

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

    def _required(self, subject: str) -> bytes:
        if (key := self.key(subject)) is None:
            raise VaultError("a customer's data key disappeared while their event was recorded")
        return key

    @property
    def _owners(self) -> Owners:
        if self._index is None:
            raise VaultError(
                "the key store is of an earlier version of the product and cannot be written here: "
                "start the ledger's writer once"
            )
        return self._index

    def _opened_index(self) -> Owners | None:
        """The index of owners; None if none can be made. The caller has the lock."""
        try:
            for statement in owners.SCHEMA.split(";"):
                self._database.execute(statement)
            return Owners(self._database, self._owner_key())
        except sqlite3.OperationalError:
            if os.access(self._folder, os.W_OK):
                raise
            return None

    def _owner_key(self) -> bytes:
        """The secret of the index of owners; made if there is none yet. The caller has the lock."""
        query = "SELECT wrapped FROM owner_key"
        if self._database.execute(query).fetchone() is None:
            with self._writing() as current:  # another process may be faster
                none = self._database.execute("SELECT 1 FROM customer LIMIT 1").fetchone() is None
                row = [current.wrap(owners.new_key()), none]
                self._database.execute("INSERT OR IGNORE INTO owner_key VALUES (1, ?, ?)", row)
        _, wrapped = self._database.execute(f"SELECT 1, ({query})").fetchone()
        return _opened(self._kek, wrapped)

    def _counted_tombstones(self) -> int:
        made = "SELECT 1 FROM sqlite_master WHERE name = 'tombstone'"
        if self._database.execute(made).fetchone() is None:
            return 0
        row = self._database.execute("SELECT max(lines) FROM tombstone").fetchone()
        return int(row[0] or 0)

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
                if (left := replay.remaining(key)) is None:
                    self._owners.forget(subject, key, lines)
                    self._put(subject, None)
                elif left != key:
                    self._owners.replace(subject, key, left)
                    self._put(subject, current.wrap(left))
            self._record_applied(lines)

    def _rewrap(self, older: Kek, newer: Kek, progress: Progress) -> None:
        rows = self._database.execute(ALL_KEYS).fetchall()
        update = "UPDATE customer SET wrapped = ? WHERE subject = ?"
        progress(0, len(rows))
        for done, (subject, wrapped) in enumerate(rows, 1):
            self._database.execute(update, [newer.wrap(_opened(older, wrapped)), subject])
            progress(done, len(rows))
        (wrapped,) = self._database.execute("SELECT wrapped FROM owner_key").fetchone()
        wrapped = newer.wrap(_opened(older, wrapped))
        self._database.execute("UPDATE owner_key SET wrapped = ?", [wrapped])
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
        """Create the first key-encryption key, unless the operator provided one.

        The key of the tombstones is made here, so that every backup of the keys has it.
        """
        with _reported():
            tombstones.ensure(self._folder)
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


@contextmanager
def _reported() -> Iterator[None]:
    """Translate TombstoneError to VaultError."""
    try:
        yield
    except TombstoneError as error:
        raise VaultError(str(error)) from error


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

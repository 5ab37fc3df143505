"""The vault: one data key per customer, sealed events, and erasure by destroying keys.

    keys/kek            the key-encryption key, which wraps every data key (RFC 3394): see
                        ledger.vault.key_encryption_key
    keys/customers.db   (or the schema `vault` of a database in PostgreSQL)
                        subject -> wrapped data key, the only place that links a name to a key; the
                        generation of the key-encryption key that wraps them all; how many lines of
                        the erasure list were applied: see ledger.vault.erasure_list; which tags are
                        whose: see ledger.vault.owners
    keys/tombstone.key  recognises customers who were erased: see ledger.vault.tombstones

Sealed events are stored next to the log: see ledger.vault.sealing. Without the customer's data key
a sealed event can be neither found nor decrypted.
"""

import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from threading import Lock

from ledger.errors import CorruptLogError
from ledger.storage import database
from ledger.storage.database import ReadOnlyError
from ledger.storage.vault_store import OwnerKey, VaultStore, schema_in
from ledger.vault import active_kek, commitments, erasure_list, owner_index, owners, tombstones
from ledger.vault.active_kek import ActiveKek, Progress, unwrapped
from ledger.vault.commitments import KEY_SIZE, ReadLogTags
from ledger.vault.erasure_list import ErasureList, ErasureRecord, MalformedErasureListError
from ledger.vault.errors import VaultError
from ledger.vault.key_encryption_key import KekProvider
from ledger.vault.owner_index import OwnerIndex
from ledger.vault.owners import Erasures, Owner
from ledger.vault.read_log_tags import ReadLogTagCache
from ledger.vault.tombstones import TombstoneError, TombstoneList, Tombstones

__all__ = ["Vault", "VaultError"]
MAX_KEYS = 262_144  # data keys cached; about 60 MB


class Vault:
    """The customers' data keys. Thread-safe. A key is durable before it is used.

    Several processes may open one vault, also while one of them rotates the key-encryption key.
    Raises VaultError if there are customers but the key-encryption key is missing or cut off.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._folder = folder
        self._erasures = ErasureList(folder.parent / erasure_list.NAME)
        self._buried = TombstoneList(folder.parent / tombstones.NAME)
        self._lock = Lock()
        self._keys: dict[str, bytes] = {}
        self._store = self._opened_store()
        self._tags = ReadLogTagCache(self._lock, self._stored_key, self._last_number)
        try:
            with self._lock:
                self._kek = ActiveKek(folder, self._store)
                self._index = self._opened_index()
                self._erase_again()
        except BaseException:
            self._store.close()
            raise

    def key(self, subject: str) -> bytes | None:
        """The customer's data key, or None if they have none or it was destroyed."""
        if (key := self._keys.get(subject)) is not None:
            return key
        with self._lock:  # so that a key which is destroyed meanwhile is not cached again
            return self._stored_key(subject)

    def _stored_key(self, subject: str) -> bytes | None:
        """As `key`, not from the cache, and as long without one. The caller has the lock."""
        if (row := self._store.wrapped(subject)) is None:
            self._kek.unwrap_nothing()
            return None
        wrapped, generation = row
        key = unwrapped(self._kek.of(generation), wrapped)
        if len(self._keys) >= MAX_KEYS:
            self._keys.clear()
        self._keys[subject] = key
        return key

    def read_log_tags(self, subject: str, origin: str) -> ReadLogTags | None:
        """Computes the customer's pseudonyms in one read log; None if they have no data key."""
        return self._tags.of(subject, origin)

    def entry_tags(self, subjects: Sequence[str], origin: str) -> list[ReadLogTags]:
        """Tags for entries about these ids, whether or not they are customers'."""
        return self._tags.for_entries(subjects, origin)

    def create(self, subjects: Iterable[str]) -> set[str]:
        """Create a data key and a number for each subject without one; return those.

        Durable on return.
        """
        new = {subject for subject in set(subjects) if self.key(subject) is None}
        if not new:
            return new
        made = {subject: secrets.token_bytes(KEY_SIZE) for subject in sorted(new)}
        with self._lock, self._kek.writing() as current:
            for subject, _ in [*self._store.numbers([*made])]:  # made meanwhile, by another thread
                del made[subject]
            last = self._store.last_number
            rows = enumerate(made.items(), last + 1)
            self._store.add_keys((who, current.wrap(key), number) for number, (who, key) in rows)
            self._store.set_last_number(last + len(made))
        # Crash here: there are data keys without events, which does no harm.
        self._keys |= made
        return {*made}

    def numbers(self, subjects: Sequence[str]) -> dict[str, int]:
        """The numbers of those of these customers who have a data key.

        A number is from 1 on, never changes, and is never given to a second customer. It is
        destroyed with the data key.
        """
        with self._lock:
            return dict(self._store.numbers(subjects))

    def named(self, numbers: Sequence[int]) -> dict[int, str]:
        """The customers who have these numbers; nobody has the number of an erased customer."""
        with self._lock:
            return {number: subject for subject, number in self._store.named(numbers)}

    def awaited(self, subjects: Sequence[str]) -> list[str]:
        """Those of these customers who have no data key, and were not erased.

        Where the list of tombstones is not, as with a gate on another host, also erased ones.
        """
        known = self.numbers(subjects)
        if not (unknown := [each for each in subjects if each not in known]):
            return unknown
        try:
            erased = self.tombstones()  # whoever is erased from now on had a key just now
        except VaultError:
            return unknown
        return [each for each in unknown if erased.erased_at(each) is None]

    def reserve_numbers(self, last: int) -> None:
        """Give no customer a number up to `last`: sets of customers name others by them.

        An older key store that was restored may have forgotten that it gave them. Durable.
        """
        if self._store.last_number >= last:
            return
        with self._lock, self._kek.writing():
            self._store.set_last_number(max(last, self._store.last_number))

    def expect(self, newest: Mapping[str, tuple[int, int]]) -> None:
        """Index the events that customers are about to give. Durable on return.

        `newest`: the number of their newest event, before and after. Mostly they are indexed
        already, and nothing is written.
        """
        if not (growing := owners.growing(newest)):
            return
        keys = {subject: self._required(subject) for subject in growing}
        with self._lock, self._kek.writing():
            self._owners.put_all(
                (commitments.tag(keys[subject], seq), subject, seq)
                for subject, seqs in growing.items()
                for seq in seqs
            )
        # Crash here: events are indexed that did not happen, which does no harm.

    def owners_of(self, tags: Sequence[bytes]) -> dict[bytes, Owner]:
        """The owner of each tag. Raises CorruptLogError if the index lacks one."""
        owned = self.indexed_owners(tags)
        if missing := [each for each in tags if each not in owned]:
            raise CorruptLogError(
                f"{len(missing)} entries of the log are not in the index of owners (the first has "
                f"the tag {missing[0].hex()}): the key store is older than the log. Restore the "
                "newest key store; if it is the newest, run `sovereign vault reindex`"
            )
        return owned

    def indexed_owners(self, tags: Sequence[bytes]) -> dict[bytes, Owner]:
        """Tag -> owner, for the tags that the index has."""
        with self._lock:
            return self._owners.of(tags)

    @property
    def indexed(self) -> bool:
        """Whether the index of owners covers the log; it does not in an old data directory."""
        key = self._store.owner_key
        return key is not None and key.complete

    def complete_index(self, tags: Callable[[], set[bytes]]) -> None:
        """Make the index of owners if it does not cover the log, as in an old data directory.

        `tags`: those of all sealed events in the log. Raises VaultError if the key store cannot be
        written.
        """
        if not self.indexed:
            self._rebuild(tags, OwnerIndex.rebuild, only_if_incomplete=True)

    def rebuild_index(self, tags: Callable[[], set[bytes]]) -> None:
        """Rebuild the index of owners from the keys and the log. Durable on return.

        Raises VaultError, and changes nothing, if it would take entries for erased that are not.
        """
        rebuild = OwnerIndex.rebuild_whole if self.indexed else OwnerIndex.rebuild
        self._rebuild(tags, rebuild, only_if_incomplete=False)

    def rebuild_restored_index(self, tags: Callable[[], set[bytes]]) -> None:
        """As `rebuild_index`, with keys of an earlier backup than the log's.

        Entries of customers who came since then are taken for erased: nothing opens them any more.
        """
        self._rebuild(tags, OwnerIndex.rebuild, only_if_incomplete=False)

    def _rebuild(
        self,
        tags: Callable[[], set[bytes]],
        rebuild: Callable[[OwnerIndex, Iterable[tuple[str, bytes]], set[bytes]], int],
        *,
        only_if_incomplete: bool,
    ) -> None:
        with self._lock, self._kek.writing() as current:  # no writer extends the index meanwhile
            key = self._store.owner_key
            if key is None or (only_if_incomplete and key.complete):
                return
            rows = self._store.wrapped_keys()
            keys = ((subject, unwrapped(current, wrapped)) for subject, wrapped in rows)
            if lost := rebuild(self._owners, keys, tags()):
                raise VaultError(
                    f"no data key derives {lost} entries of customers who were not erased, and a "
                    "rebuilt index would take them for erased: restore keys/ from its newest backup"
                )
            self._store.set_owner_key(replace(key, complete=True))

    def data_keys(self) -> Iterator[tuple[str, bytes]]:
        """(subject, data key) of every customer with a data key."""
        with self._lock, self._store.reading():
            current, rows = self._kek.current(), self._store.wrapped_keys()
        for subject, wrapped in rows:
            yield subject, self._keys.get(subject) or unwrapped(current, wrapped)

    def bury(self, subject: str, at: datetime) -> None:
        """List a tombstone of a customer who is erased at `at`. Durable on return.

        Do it before `destroy`: a crash in between leaves a customer of whom no import takes
        consents from before `at`. Does nothing without a data key. Raises VaultError.
        """
        if self.key(subject) is None:
            return
        with self._lock, self._kek.writing(), _reported():
            self._buried.add(tombstones.ensure(self._folder), subject, at)
            # Crash here: one line more than are counted, which does no harm.
            self._store.set_tombstones(len(self._buried))

    def require_tombstones(self) -> None:
        """Raises VaultError if a line of the list of tombstones is missing."""
        with self._lock, _reported():
            counted, lines = self._store.tombstones, len(self._buried)
            if counted > lines:
                raise TombstoneError(
                    f"the list `{tombstones.NAME}` has {lines} lines, want {counted} or more: "
                    "restore the newest one, or an import could bring back who was erased"
                )

    def tombstones(self) -> Tombstones:
        """The tombstones of all erased customers. Raises VaultError if a line or key is missing."""
        self.require_tombstones()
        with self._lock, _reported():
            return self._buried.tombstones(tombstones.read(self._folder))

    def tombstone_secrets(self, subject: str) -> list[bytes]:
        """See `tombstones.secrets_of`; never empty. Raises VaultError."""
        with self._lock, _reported():
            return tombstones.secrets_of(tombstones.ensure(self._folder), subject)

    def destroyed(self) -> int:
        """How many customers were erased, by the erasure list."""
        with self._lock:
            return self._erasures.destroyed()

    def destroy(self, subject: str) -> bool:
        """Destroy a data key, and list it so that no restored backup brings it back. Durable.

        Returns whether there was one.
        """
        if (key := self.key(subject)) is None:
            return False
        with self._lock:
            with self._kek.writing():
                self._erasures.add_key(key)
                # Crash here: the key is listed but not destroyed; opening the vault destroys it.
                lines = len(self._erasures)
                self._owners.forget(subject, key, lines)
                self._put(subject, None)
                self._store.set_erased(lines)
            self._store.clean()
        return True

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
        with self._lock:
            with self._kek.writing() as current:
                self._erasures.add_entry(key, ErasureRecord(seq, newest, label))
                # Crash here: the event is listed but not erased; opening the vault erases it.
                self._owners.replace(subject, key, newer)
                self._put(subject, current.wrap(newer))
                self._store.set_erased(len(self._erasures))
            self._store.clean()

    @property
    def kek_provider(self) -> str:
        """The URI of the provider of the key-encryption key. It contains no secret."""
        with self._lock:
            return self._kek.provider().uri

    def rotate(self, provider: KekProvider, progress: Progress = lambda _done, _of: None) -> None:
        """Wrap every data key with a new key-encryption key, and destroy the old one.

        One transaction changes the active generation and all wrapped keys, so they always match.
        If VaultError or KekError is raised, the old key is still the active one.
        """
        with self._lock:
            self._kek.rotate(provider, progress)

    def reloaded(self, subject: str) -> bytes | None:
        """As `key`, not from the cache: another process may have replaced the customer's key."""
        with self._lock:
            self._keys.pop(subject, None)
            self._tags.forget(subject)
        return self.key(subject)

    def clear_cache(self) -> None:
        """Drop all cached keys, so that a key which another process destroyed is not used here."""
        with self._lock:
            self._keys.clear()
            self._tags.clear()

    def close(self) -> None:
        self._store.close()

    def _put(self, subject: str, wrapped: bytes | None) -> None:
        """Replace or (None) delete the customer's wrapped key, and drop it from the caches."""
        self._keys.pop(subject, None)
        self._tags.forget(subject)
        if wrapped is None:
            self._store.delete_key(subject)
        else:
            self._store.replace_key(subject, wrapped)

    def _last_number(self) -> int:
        return self._store.last_number

    def _required(self, subject: str) -> bytes:
        if (key := self.key(subject)) is None:
            raise VaultError("a customer's data key disappeared while their event was recorded")
        return key

    @property
    def _owners(self) -> OwnerIndex:
        if self._index is None:
            raise VaultError(
                "the key store is of an earlier version of the product and cannot be written here: "
                "start the ledger's writer once"
            )
        return self._index

    def _opened_store(self) -> VaultStore:
        """The key store, created if there is none; first what its rows are sealed with.

        The key of the tombstones is made with it, so that every backup of the keys has it.
        """
        opened, schema = database.of(self._folder.parent), schema_in(self._folder)
        if not opened.exists(schema):
            with _reported():
                tombstones.ensure(self._folder)
            active_kek.ensure(self._folder)
        return VaultStore(opened, schema)

    def _opened_index(self) -> OwnerIndex | None:
        """The index of owners; None if none can be made. The caller has the lock."""
        if self._store.owner_key is None:
            try:
                self._make_owner_key()
            except ReadOnlyError:
                return None
        with self._store.reading():
            current, key = self._kek.current(), self._store.owner_key
        return None if key is None else OwnerIndex(self._store, unwrapped(current, key.wrapped))

    def _make_owner_key(self) -> None:
        """Make the secret of the index of owners, unless another process is faster."""
        with self._kek.writing() as current:
            if self._store.owner_key is None:
                complete = self._store.any_wrapped() is None
                self._store.set_owner_key(OwnerKey(current.wrap(owner_index.new_key()), complete))

    def _erase_again(self) -> None:
        """Repeat listed erasures that a restored key store undid or a crash left undone."""
        try:
            applied, lines = self._store.erased, len(self._erasures)
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
        with self._kek.writing() as current:
            for subject, wrapped in self._store.wrapped_keys():
                key = unwrapped(current, wrapped)
                if (left := replay.remaining(key)) is None:
                    self._owners.forget(subject, key, lines)
                    self._put(subject, None)
                elif left != key:
                    self._owners.replace(subject, key, left)
                    self._put(subject, current.wrap(left))
            self._store.set_erased(lines)
        self._store.clean()


@contextmanager
def _reported() -> Iterator[None]:
    """Translate TombstoneError to VaultError."""
    try:
        yield
    except TombstoneError as error:
        raise VaultError(str(error)) from error

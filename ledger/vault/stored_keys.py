"""What a key store holds, read for checks and restores without opening it as a vault.

Opening a vault creates missing parts and repeats listed erasures; reading it here changes nothing.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from ledger.storage import database, snapshot, vault_store
from ledger.storage.vault_store import StoredRows
from ledger.vault import active_kek, owners
from ledger.vault.errors import VaultError
from ledger.vault.key_encryption_key import Kek, KekError
from ledger.vault.owners import Owner


@dataclass(frozen=True, slots=True)
class StoredKeys:
    """What a key store holds, for checks. `unreadable`: wrapped keys that do not open."""

    keys: Mapping[str, bytes]  # subject -> data key
    unreadable: int
    applied: int  # lines of the erasure list
    buried: int = 0  # lines of the list of tombstones
    owner_key: bytes | None = None  # of the index of owners; None: an earlier version has none
    owners: Mapping[bytes, Owner] = field(default_factory=dict)  # by handle

    def owners_of(self, tags: Sequence[bytes]) -> dict[bytes, Owner] | None:
        """Tag -> owner, for the tags that the index of owners has; None if there is no index."""
        if self.owner_key is None:
            return None
        handles = {tag: owners.handle(self.owner_key, tag) for tag in tags}
        return {tag: self.owners[each] for tag, each in handles.items() if each in self.owners}


def stored_keys(folder: Path, tags: Sequence[bytes] | None = None) -> StoredKeys:
    """Read the key store in `folder`, also while other processes use it. Changes nothing.

    `tags`: only the keys of the customers of these entries; None: all.

    Raises VaultError if the key-encryption key cannot be opened, DamagedDatabaseError,
    UnavailableDatabaseError, and FileNotFoundError if there is no database.
    """
    with snapshot.taken(database.of(folder.parent), vault_store.schema_in(folder)) as taken:
        rows = vault_store.stored(taken, None if tags is None else ())
        kek = _kek(folder, rows)
        opened_key = _owner_key(kek, rows)
        if tags is not None:  # without an index, nothing tells whose they are
            some = [owners.handle(opened_key, each) for each in tags] if opened_key else None
            rows = vault_store.stored(taken, some)
    keys = {}
    for subject, wrapped in rows.wrapped:
        with suppress(KekError, ValueError, TypeError):
            keys[subject] = kek.unwrap(wrapped)
    complete = rows.owner_key is not None and rows.owner_key.complete
    unreadable = len(rows.wrapped) - len(keys) + (complete and opened_key is None)
    indexed = rows.owners if complete else []
    of_handle = {handle: Owner(subject, seq) for handle, subject, seq in indexed}
    return StoredKeys(keys, unreadable, rows.erased, rows.tombstones, opened_key, of_handle)


def _kek(folder: Path, rows: StoredRows) -> Kek:
    """Raises VaultError."""
    places, generation = active_kek.files(folder), rows.generation
    try:
        return (
            active_kek.stored(places, generation)
            if generation
            else active_kek.unrecorded(places[0])
        ).open()
    except KekError as error:
        raise VaultError(str(error)) from error


def _owner_key(kek: Kek, rows: StoredRows) -> bytes | None:
    """The key of the index of owners; None if it is not complete, or does not open."""
    if rows.owner_key is None or not rows.owner_key.complete:
        return None
    try:
        return kek.unwrap(rows.owner_key.wrapped)
    except (KekError, ValueError, TypeError):
        return None

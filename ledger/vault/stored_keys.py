"""What a key store holds, read for checks and restores without opening it as a vault.

Opening a vault creates missing parts and repeats listed erasures; reading it here changes nothing.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ledger.storage import snapshot
from ledger.vault import owners
from ledger.vault.key_encryption_key import KekError
from ledger.vault.owners import Owner
from ledger.vault.vault import ALL_KEYS, VaultError, stored_kek, unrecorded_kek


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


def stored_keys(folder: Path) -> StoredKeys:
    """Read the key store in `folder`, also while other processes use it. Changes nothing.

    Raises VaultError if the key-encryption key cannot be opened, DamagedDatabaseError,
    UnavailableDatabaseError, and FileNotFoundError if there is no database.
    """
    with snapshot.opened(folder / "customers.db") as database:
        rows = database.execute(ALL_KEYS).fetchall()
        named = snapshot.tables(database)  # a key store that an older version wrote has fewer
        generation = _single(database, "SELECT generation FROM kek") if "kek" in named else None
        applied = _single(database, "SELECT lines FROM erased") if "erased" in named else None
        buried = (
            _single(database, "SELECT max(lines) FROM tombstone") if "tombstone" in named else 0
        )
        wrapped_key, rows_of_owners = _index(database) if "owner" in named else (None, [])
    places = folder / "kek", folder / "kek.next"
    try:
        kek = (stored_kek(places, generation) if generation else unrecorded_kek(places[0])).open()
    except KekError as error:
        raise VaultError(str(error)) from error
    keys = {}
    for subject, wrapped in rows:
        with suppress(KekError, ValueError, TypeError):
            keys[subject] = kek.unwrap(wrapped)
    unreadable, owner_key = len(rows) - len(keys), None
    if wrapped_key is not None:
        try:
            owner_key = kek.unwrap(wrapped_key)
        except (KekError, ValueError, TypeError):
            unreadable += 1
    of_handle = {handle: Owner(subject, seq) for handle, subject, seq in rows_of_owners}
    return StoredKeys(keys, unreadable, applied or 0, buried or 0, owner_key, of_handle)


def _index(database: sqlite3.Connection) -> tuple[bytes | None, list[tuple[Any, Any, Any]]]:
    """The wrapped key and the rows of the index of owners; no key if it is not complete."""
    if not _single(database, "SELECT complete FROM owner_key"):
        return None, []
    wrapped = _single(database, "SELECT wrapped FROM owner_key")
    return wrapped, database.execute("SELECT handle, subject, seq FROM owner").fetchall()


def _single(database: sqlite3.Connection, query: str) -> Any:
    row = database.execute(query).fetchone()
    return None if row is None else row[0]

"""What a key store holds, read for checks and restores without opening it as a vault.

Opening a vault creates missing parts and repeats listed erasures; reading it here changes nothing.
"""

import sqlite3
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ledger.storage import snapshot
from ledger.vault.key_encryption_key import KekError
from ledger.vault.vault import ALL_KEYS, VaultError, stored_kek, unrecorded_kek


@dataclass(frozen=True, slots=True)
class StoredKeys:
    """What a key store holds, for checks. `unreadable`: wrapped keys that do not open."""

    keys: Mapping[str, bytes]  # subject -> data key
    unreadable: int
    applied: int  # lines of the erasure list


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
    places = folder / "kek", folder / "kek.next"
    try:
        kek = (stored_kek(places, generation) if generation else unrecorded_kek(places[0])).open()
    except KekError as error:
        raise VaultError(str(error)) from error
    keys = {}
    for subject, wrapped in rows:
        with suppress(KekError, ValueError, TypeError):
            keys[subject] = kek.unwrap(wrapped)
    return StoredKeys(keys, len(rows) - len(keys), applied or 0)


def _single(database: sqlite3.Connection, query: str) -> Any:
    row = database.execute(query).fetchone()
    return None if row is None else row[0]

"""Which key-encryption key is active, and the rotation from one to the next.

    keys/kek         the active key
    keys/kek.next    the next one, until the end of a rotation

The key store records the generation of the active key, in the transaction that wraps every data key
with it. So at any moment one of the two files has the key that opens the key store.
"""

import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from ledger.storage.vault_store import VaultStore
from ledger.vault import key_encryption_key
from ledger.vault.commitments import KEY_SIZE
from ledger.vault.errors import VaultError
from ledger.vault.key_encryption_key import (
    FileProvider,
    Kek,
    KekError,
    KekProvider,
    MalformedKekError,
    StoredKek,
)

Progress = Callable[[int, int], None]  # (keys rewrapped, keys in total)


class ActiveKek:
    """The active key of a key store, in memory. The caller holds the vault's lock.

    Raises VaultError if the key is missing, cannot be opened, or does not open the key store.
    """

    def __init__(self, folder: Path, store: VaultStore) -> None:
        self._places = files(folder)
        self._store = store
        self.key = self._read(self._generation())
        self._nothing: tuple[Kek, bytes] | None = None
        if self._places[1].exists() and os.access(folder, os.W_OK):
            self._settle()

    def of(self, generation: str) -> Kek:
        """The key of this generation, which another process may just have rotated to."""
        if self.key.generation != generation:
            self.key = self._read(generation)
        return self.key

    def unwrap_nothing(self) -> None:
        """Take as long as unwrapping a data key, so that time does not tell who has one."""
        if self._nothing is None or self._nothing[0] is not self.key:
            self._nothing = self.key, self.key.wrap(secrets.token_bytes(KEY_SIZE))
        self.key.unwrap(self._nothing[1])

    def current(self) -> Kek:
        """The active key. Inside a transaction it stays the active one until its end."""
        return self.of(self._generation())

    @contextmanager
    def writing(self) -> Iterator[Kek]:
        """A write transaction; yields the active key. Durable when it ends without an error."""
        with self._store.writing():
            yield self.current()

    def provider(self) -> KekProvider:
        return stored(self._places, self._generation()).provider

    def rotate(self, provider: KekProvider, progress: Progress) -> None:
        """See `Vault.rotate`."""
        newer = key_encryption_key.generate()
        with self.writing() as current:
            self._abandon()
            key_encryption_key.write(self._places[1], newer, provider)
            # Crash here: kek.next is a key that wraps nothing; the next rotation replaces it.
            self._rewrap(current, newer, progress)
            # Crash before the end of this block: the same; the rewrapping is rolled back.
        self.key = newer
        # Crash here: the new key, in kek.next, is active; opening the vault ends the rotation.
        self._settle()

    def _rewrap(self, older: Kek, newer: Kek, progress: Progress) -> None:
        rows = self._store.wrapped_keys()
        progress(0, len(rows))

        def rewrapped() -> Iterator[tuple[bytes, str]]:
            for done, (subject, wrapped) in enumerate(rows, 1):
                yield newer.wrap(unwrapped(older, wrapped)), subject
                progress(done, len(rows))

        self._store.replace_keys(rewrapped())
        if (key := self._store.owner_key) is not None:
            wrapped = newer.wrap(unwrapped(older, key.wrapped))
            self._store.set_owner_key(replace(key, wrapped=wrapped))
        self._store.set_generation(newer.generation)

    def _settle(self) -> None:
        """End a rotation if its new key is the active one; otherwise do nothing."""
        path, newer = self._places
        with self.writing() as current:  # another process waits here, then finds it ended
            if newer.exists() and key_encryption_key.read(newer).generation == current.generation:
                key_encryption_key.replace(path, newer)

    def _abandon(self) -> None:
        """Destroy the key of an earlier rotation that was not committed, if there is one."""
        with suppress(FileNotFoundError, KekError):  # it wraps nothing, so it need not be opened
            key_encryption_key.read(self._places[1]).provider.destroy()

    def _generation(self) -> str:
        """The active generation; recorded in the key store if it was not yet."""
        if (generation := self._store.generation) is None:
            self._store.adopt_generation(self._first().generation)
            generation = self._store.generation
        return str(generation)

    def _first(self) -> Kek:
        """The key of a key store that does not record a generation yet. Raises VaultError."""
        try:
            kek = unrecorded(self._places[0]).open()
        except KekError as error:
            raise VaultError(str(error)) from error
        if (some := self._store.any_wrapped()) is not None:
            unwrapped(kek, some)
        return kek

    def _read(self, generation: str) -> Kek:
        try:
            return stored(self._places, generation).open()
        except KekError as error:
            raise VaultError(str(error)) from error


def ensure(folder: Path) -> None:
    """Create the first key-encryption key, unless the operator provided one."""
    path, _ = files(folder)
    if not path.exists():
        key_encryption_key.write(path, key_encryption_key.generate(), FileProvider())


def files(folder: Path) -> tuple[Path, Path]:
    """The files of the active key and of the next one."""
    return folder / "kek", folder / "kek.next"


def unrecorded(path: Path) -> StoredKek:
    """The key of a key store that does not record a generation yet. Raises VaultError."""
    try:
        return key_encryption_key.read(path)
    except FileNotFoundError as error:
        raise VaultError(
            f"{path} is missing, but customers' data keys are wrapped with it: restore it"
        ) from error


def stored(places: Sequence[Path], generation: str) -> StoredKek:
    """The key of this generation, in one of two files. Raises VaultError."""
    why = [f"want the key of generation {generation}, which wraps the customers' data keys"]
    for path in places:
        try:
            found = key_encryption_key.read(path)
        except FileNotFoundError:
            why.append(f"{path} is missing")
            continue
        except MalformedKekError as error:
            why.append(str(error))
            continue
        if found.generation == generation:
            return found
        why.append(f"{path} has generation {found.generation}")
    raise VaultError(f"{'; '.join(why)}; restore it")


def unwrapped(key: Kek, wrapped: bytes) -> bytes:
    """A data key. Raises VaultError."""
    try:
        return key.unwrap(wrapped)
    except KekError as error:
        raise VaultError(str(error)) from error

"""Restores a backup into a new data directory: `sovereign restore`.

It is put together next to its place and moved there at the end, so that an error leaves nothing
that could be served by mistake. Three rules keep it honest:

- Whoever was erased stays erased. Of the erasure lists of both parts, and of the newest copy that
  the operator gives, the longest counts. A customer whose restored key is in it is erased again,
  with their passkeys, cases, receipts and archives, before the key store is used.
- It does not contradict what was published. With the published directory at hand, an older log is
  refused; the directory is copied, so that every later start compares too. Witnesses are asked when
  the directory is served.
- Nothing is restored that `fsck` finds damaged.
"""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from ledger.events import envelope
from ledger.events.envelope import MalformedEventError, SubjectErased
from ledger.integrity import published, start
from ledger.service import Ledger
from ledger.storage import transfer
from ledger.storage.database import Database, Schema, SchemaVersionError
from ledger.storage.transfer import NotEmptyError
from ledger.tlog import atomic_file, tiles
from ledger.tlog.tiles import MalformedTileError
from ledger.vault import commitments, erasure_list
from ledger.vault.commitments import PERSONAL
from ledger.vault.erasure_list import ErasureList, MalformedErasureListError
from ledger.vault.stored_keys import StoredKeys, stored_keys
from ledger.vault.vault import Vault
from portal.data_directory import backup_manifest, inspection, schemas
from portal.data_directory.backup_manifest import BackupError, BackupManifest
from portal.data_directory.inventory import Part
from portal.operations import databases
from portal.operations.erasure import Eraser
from steward.oversight.register import Register

ENDING = ".restoring"


@dataclass(frozen=True, slots=True)
class Places:
    """The addresses of the databases that a restore fills; empty: files in the data directory."""

    database: str = ""
    vault: str = ""


FILES = Places()


@dataclass(frozen=True, slots=True)
class RestoreResult:
    """`erased_again`: customers whose restored key was destroyed. `published`: entries, or None."""

    manifest: BackupManifest
    keys: BackupManifest | None
    erased_again: int
    published: int | None


def restore(
    folder: Path,
    home: Path,
    keys: Path | None = None,
    *,
    published_log: Path | None = None,
    erased: Path | None = None,
    into: Places = FILES,
) -> RestoreResult:
    """Restore the backup in `folder`, and its `keys`, to the data directory `home`.

    `published_log`: a published `log/` directory to compare with. `erased`: the newest copy of the
    erasure list. `into`: the databases, which must be empty. Raises BackupError, CorruptLogError,
    VaultError, DatabaseError; then `home` and the databases are as they were.
    """
    size = None
    if erased and not erased.is_file():
        raise BackupError(f"{erased} is no file: give the newest copy of the erasure list")
    manifest = backup_manifest.load(folder, Part.LEDGER)
    key_part = backup_manifest.load(keys, Part.KEYS) if keys else None
    if key_part and key_part.origin != manifest.origin:
        raise BackupError(
            f"{keys} has keys of {key_part.origin!r}, the backup is of {manifest.origin!r}: "
            "give the keys of the same ledger"
        )
    with _new_directory(home) as made:
        _copy(folder, made, manifest)
        if keys and key_part:
            _copy(keys, made, key_part)
        if published_log:
            _copy_tree(published_log, made / "log")
            size = _require_extends(made, manifest.size, published_log)
        lists = [each / erasure_list.NAME for each in (folder, keys) if each]
        newest = _newest([*lists, *([erased] if erased else [])])
        _put_list(made, newest)
        again = _erase_again(made, newest) if key_part else 0
        if key_part:
            _reindex(made)
        _require_intact(made, with_keys=key_part is not None)
        if into != FILES:
            _move(made, into, with_keys=key_part is not None)
    return RestoreResult(manifest, key_part, again, size)


def _move(home: Path, into: Places, *, with_keys: bool) -> None:
    """Move the tables of a restored directory from its files to databases, and check them there.

    Raises BackupError, DatabaseError; then the databases are as they were.
    """
    files, target = Database(home), Database(home, into.database, into.vault)
    moved: list[Schema] = []
    try:
        for schema in schemas.every(home):
            if target.address(schema) is not None and files.exists(schema):
                transfer.to_database(files, target, schema)
                moved.append(schema)
        databases.remember(home, into.database, into.vault)
        _require_intact(home, with_keys=with_keys)
    except BaseException as error:
        for schema in moved:
            transfer.remove(target, schema)
        if isinstance(error, NotEmptyError | SchemaVersionError):
            raise BackupError(str(error)) from error
        raise
    finally:
        files.close()
        target.close()
    for schema in moved:
        for ending in ("", "-wal", "-shm"):
            (home / f"{schema.file}{ending}").unlink(missing_ok=True)


@contextmanager
def _new_directory(home: Path) -> Iterator[Path]:
    """A folder that becomes `home` if the context ends without an error."""
    home = home.absolute()
    if home.exists() and (not home.is_dir() or any(home.iterdir())):
        raise BackupError(f"{home} is not empty: restore to a new folder")
    made = home.with_name(f"{home.name}{ENDING}")
    if made.exists():
        raise BackupError(f"{made} is left of a restore that was cut off: remove it, then repeat")
    made.mkdir(parents=True, mode=0o700)
    try:
        yield made
    except BaseException:
        shutil.rmtree(made)
        raise
    if home.exists():
        home.rmdir()
    made.rename(home)
    atomic_file.synchronise(home.parent)


def _copy(folder: Path, home: Path, manifest: BackupManifest) -> None:
    for name in manifest.files:
        _copy_file(folder / name, home / name)


def _copy_tree(folder: Path, into: Path) -> None:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            _copy_file(path, into / path.relative_to(folder), atomic_file.PUBLIC)


def _copy_file(path: Path, place: Path, mode: int = atomic_file.OWNER_ONLY) -> None:
    with path.open("rb") as source, atomic_file.writing(place, mode) as copy:
        shutil.copyfileobj(source, copy)


def _newest(lists: list[Path]) -> bytes:
    """The longest of the erasure lists, of which the others must be beginnings."""
    found = [path.read_bytes() for path in lists if path.exists()]
    longest = max(found, key=len, default=b"")
    for path in lists:
        if path.exists() and not longest.startswith(path.read_bytes()):
            raise BackupError(
                f"{path} is no beginning of the longest erasure list: give the newest copy of "
                "this ledger's list"
            )
    return longest


def _put_list(home: Path, data: bytes) -> None:
    path = home / erasure_list.NAME
    if data:
        atomic_file.write(path, data, atomic_file.OWNER_ONLY)
    else:
        path.unlink(missing_ok=True)


def _erase_again(home: Path, data: bytes) -> int:
    """Erase again what the restored key store still has, by the erasure list; returns how many.

    What else identifies a customer is found with their key, so it goes first. Meanwhile the list
    has only the lines that the key store has applied: with all of them, opening it destroys keys.
    """
    _put_list(home, data)
    stored = stored_keys(home / "keys")
    listed = _listed(home, stored)
    if listed:
        lines = data.split(b"\n")[: stored.applied]
        _put_list(home, b"".join(line + b"\n" for line in lines))
        _forget(home, listed)
        _put_list(home, data)
    with closing(Vault(home / "keys")):
        return sum(left is None for left in listed.values())  # it destroyed every listed key


def _reindex(home: Path) -> None:
    """Rebuild the index of owners: the key store of an earlier backup lacks its newest rows."""
    with closing(Ledger.reopen(home)) as ledger:
        ledger.reindex_restored()


def _listed(home: Path, stored: StoredKeys) -> dict[str, bytes | None]:
    """Customers in the key store of whom something is to be erased -> what is left of their key."""
    try:
        replay = ErasureList(home / erasure_list.NAME).since(stored.applied)
    except MalformedErasureListError as error:
        raise BackupError(str(error)) from error
    left = {who: replay.remaining(key) for who, key in stored.keys.items()}
    return {who: key for who, key in left.items() if key != stored.keys[who]}


def _forget(home: Path, listed: Mapping[str, bytes | None]) -> None:
    with closing(Ledger.reopen(home)) as ledger:
        eraser = Eraser(home, ledger, Register(home, ledger))
        for who, left in listed.items():
            if left is None:
                eraser.traces(who)
                continue
            history = ledger.history(who)
            newest = history[-1].event.seq if history else 0
            kept = {*commitments.unerased(left, newest)}
            for each in history:
                if each.event.seq not in kept:
                    eraser.entry_traces(who, each.index)


def _require_extends(home: Path, size: int, published_log: Path) -> int:
    """Compare the restored logs with the published directory; the size of what was published.

    Raises BackupError if it has seen more, CorruptLogError if it has another history.
    """
    try:
        newest = published.newest(published_log / "consent", home / "consent.policy")
    except (OSError, ValueError) as error:
        raise BackupError(
            f"{published_log}/consent cannot be read ({error}): give a `log/` directory"
        ) from error
    if newest is None:
        raise BackupError(f"{published_log}/consent has no checkpoint: give a `log/` directory")
    if newest.size > size:
        erased = _erasures_since(published_log / "consent", size, newest.size)
        raise BackupError(
            f"the published log has {newest.size} entries, this backup {size}; {erased} of the "
            f"newer ones erase a customer. Use a backup made at or after entry {newest.size}: what "
            "is signed after an older one contradicts what was published"
        )
    start.require_published(home)
    return newest.size


def _erasures_since(folder: Path, lo: int, hi: int) -> int:
    """How many of the published entries [lo, hi) erase a customer, as far as they can be read."""
    count = 0
    for index, width in tiles.widths(hi, 0):
        if (index + 1) * tiles.WIDTH <= lo:
            continue
        with suppress(OSError, MalformedTileError):
            entries = tiles.unbundle((folder / tiles.path("entries", index, width)).read_bytes())
            new = entries[max(lo - index * tiles.WIDTH, 0) :]
            count += sum(each[:1] != PERSONAL and _erases(each) for each in new)
    return count


def _erases(entry: bytes) -> bool:
    try:
        return isinstance(envelope.decode(entry[1:]), SubjectErased)
    except MalformedEventError:
        return False


def _require_intact(home: Path, *, with_keys: bool) -> None:
    findings = [
        each
        for each in inspection.inspect(home)
        if with_keys or not each.file.startswith("keys/") or (home / each.file).exists()
    ]
    if findings:
        lines = "\n".join(map(str, findings[:20]))
        raise BackupError(f"the restored directory is damaged, use another backup:\n{lines}")

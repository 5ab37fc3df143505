"""Backs up a data directory while it is served: `sovereign backup`.

Each database is copied as it is at one moment, so what matters is the order of these moments. After
a restore, what is there may know less than what it depends on, never more:

In files:

1.  Read logs, cases, register and the other databases first. An entry in them rests on entries of
    the consent log; a log that is older than they are would lack these.
2.  The consent log next. All these snapshots are opened before any is copied. If the log anchored a
    read log in between, they are opened again: an anchor must not name entries that are not there.
3.  The key store after the log. A key without events does no harm; events without a key are lost.
    Whoever was erased in between has no key any more, as after a crash in the middle of an erasure.
4.  All other files: contracts, policies and cohorts are stored before the log names them.
5.  The erasure list last: it has every erasure that the key store has applied.

In PostgreSQL all of 1 and 2 are read in one transaction. A backup has the same SQLite files
whichever kind it was made of, and is restored to either.

The signing keys must be those of the log's checkpoint, and the key-encryption key that of the key
store. A rotation in between shows in them; then everything is copied again.
"""

import secrets
import shutil
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

from ledger.events import envelope
from ledger.events.envelope import MalformedEventError, ReadLogAnchored, ReadLogClosed
from ledger.integrity.start import DATABASE, READ_LOG
from ledger.service import Ledger
from ledger.storage import database, snapshot, transfer
from ledger.storage.database import Database
from ledger.storage.interface import Head
from ledger.storage.snapshot import (
    DamagedDatabaseError,
    SnapshotStore,
    UnavailableDatabaseError,
)
from ledger.storage.sqlite import LEDGER
from ledger.storage.vault_store import VAULT
from ledger.tlog import atomic_file, checkpoint, signed_note, tiles
from ledger.tlog.checkpoint import Checkpoint
from ledger.vault import erasure_list
from ledger.vault.commitments import PERSONAL
from ledger.vault.stored_keys import stored_keys
from ledger.vault.vault import VaultError
from portal.data_directory import backup_manifest, inspection, inventory, schemas
from portal.data_directory.backup_manifest import NAME, BackupError, BackupManifest
from portal.data_directory.inventory import Part

ATTEMPTS = 5  # at a copy that no rotation of keys disturbs
OPEN_LOGS = 64  # newest read logs, of which a gate may be writing one
DISTRIBUTION = "customer-sovereignty"


class _DisturbedError(Exception):
    """Keys were rotated, or a read log was anchored, while the copy was made. Copy again."""


@dataclass(frozen=True, slots=True)
class _Target:
    """Where the two parts go. `keys`: None if they are left out."""

    ledger: Path
    keys: Path | None

    def place(self, file: str) -> Path | None:
        """Where a file of the data directory is copied to; None if it is not."""
        kind = inventory.kind_of(file)
        match kind.part if kind else Part.NONE:
            case Part.LEDGER:
                return self.ledger / file
            case Part.KEYS:
                return self.keys / file if self.keys else None
            case Part.NONE:
                return None


def backup(home: Path, folder: Path, keys_to: Path | None, at: datetime) -> BackupManifest:
    """Back up the data directory `home` to `folder`, and its keys to `keys_to` unless it is None.

    Both must be new or empty, and neither inside the other or in `home`. The manifest of the ledger
    part is returned. Raises BackupError, CorruptLogError; then no manifest is there.
    """
    Ledger.require(home)
    target = _Target(folder, keys_to)
    _require_apart(home, *filter(None, (folder, keys_to)))
    for _ in range(ATTEMPTS):
        try:
            head = _copied(home, target)
            break
        except _DisturbedError as error:
            reason = error
            _clear(target)
    else:
        raise BackupError(f"{reason}, {ATTEMPTS} times: run the backup again when that has ended")
    return _manifests(target, head, at)


def _manifests(target: _Target, head: Checkpoint, at: datetime) -> BackupManifest:
    root, made = b64encode(head.root).decode(), at.replace(microsecond=0)
    common = (secrets.token_hex(16), made, version(DISTRIBUTION), head.origin, head.size, root)
    parts = [(Part.KEYS, target.keys)] if target.keys else []
    manifests = [
        (place, BackupManifest(part, *common, backup_manifest.measured(place)))
        for part, place in (*parts, (Part.LEDGER, target.ledger))
    ]
    for place, each in manifests:
        atomic_file.write(place / NAME, bytes(each), atomic_file.OWNER_ONLY)
    return manifests[-1][1]


def _require_apart(home: Path, *folders: Path) -> None:
    places = [home.resolve(), *(each.resolve() for each in folders)]
    for one in places:
        for other in places:
            if one is not other and (one == other or one in other.parents):
                raise BackupError(
                    f"{other} is in {one}: want data directory, backup and keys apart"
                )
    for each in folders:
        if each.exists() and (not each.is_dir() or any(each.iterdir())):
            raise BackupError(f"{each} is not empty: want a new folder for each backup")
        each.mkdir(parents=True, exist_ok=True, mode=0o700)


def _clear(target: _Target) -> None:
    for folder in filter(None, (target.ledger, target.keys)):
        for path in folder.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def _copied(home: Path, target: _Target) -> Checkpoint:
    """Copy everything in the order above; returns the checkpoint of the log.

    Raises _DisturbedError, BackupError.
    """
    try:
        signing = _signing_keys(home)
        head = _databases(home, target)
        if target.keys:
            _key_store(home, target.keys)
        _files(home, target)
    except (DamagedDatabaseError, UnavailableDatabaseError) as error:
        raise BackupError(f"a database cannot be copied ({error}): run `sovereign fsck`") from error
    if _signing_keys(home) != signing:
        raise _DisturbedError("the log's keys were rotated meanwhile")
    return head


def _databases(home: Path, target: _Target) -> Checkpoint:
    """Copy all databases but the key store; returns the checkpoint of the log."""
    opened = database.of(home)
    head = _from_postgres(opened, target) if opened.is_postgres else _from_files(home, target)
    return checkpoint.parse(signed_note.parse(head.note).text)


def _from_postgres(opened: Database, target: _Target) -> Head:
    """Copy the schemas as they all are at one moment."""
    with snapshot.taken_whole(opened) as moment:
        if not opened.exists(LEDGER) or (head := moment.of(LEDGER).store().head()) is None:
            raise BackupError(f"{opened.place(LEDGER)} has no entries yet: nothing to back up")
        for schema in (*schemas.read_logs(opened.home), *schemas.OTHERS, LEDGER):
            place = target.place(schema.file)
            if place is not None and opened.exists(schema):
                transfer.to_file(moment.of(schema), schema, place)
    return head


def _from_files(home: Path, target: _Target) -> Head:
    older, newest = _read_logs(home)
    for file in older:
        with snapshot.opened(home / file) as connection:
            snapshot.copy(connection, target.ledger / file)
    with ExitStack() as stack:
        before = _log_size(home)
        opened = {
            file: stack.enter_context(snapshot.opened(home / file))
            for file in (*newest, *_others(home))
        }
        log = opened[DATABASE] = stack.enter_context(snapshot.opened(home / DATABASE))
        head = SnapshotStore(log).head()
        if head is None:
            raise BackupError(f"{home / DATABASE} has no entries yet: there is nothing to back up")
        if _anchored(SnapshotStore(log), before, head.size):
            raise _DisturbedError("a read log was anchored meanwhile")
        for file, connection in opened.items():
            if (place := target.place(file)) is not None:
                snapshot.copy(connection, place)
    return head


def _read_logs(home: Path) -> tuple[list[str], list[str]]:
    """The read logs that nobody writes any more, and the newest ones."""
    paths = sorted(home.glob(f"reads/*/{READ_LOG}"), key=_changed)
    files = [path.relative_to(home).as_posix() for path in paths]
    return files[:-OPEN_LOGS], files[-OPEN_LOGS:]


def _changed(path: Path) -> float:
    sides = [path, path.with_name(f"{path.name}-wal")]
    return max(each.stat().st_mtime for each in sides if each.exists())


def _others(home: Path) -> Iterator[str]:
    """The databases besides the read logs, the consent log and the key store."""
    for kind in inventory.KINDS:
        if kind.is_database and kind.pattern not in {DATABASE, VAULT.file}:
            path = home / kind.pattern
            if path.is_file() and path.stat().st_size:
                yield kind.pattern


def _log_size(home: Path) -> int:
    with snapshot.opened(home / DATABASE) as connection:
        return (SnapshotStore(connection).head() or Head(0, "")).size


def _anchored(store: SnapshotStore, lo: int, hi: int) -> bool:
    """Whether one of the entries [lo, hi) anchors a read log."""
    for index in range(lo // tiles.WIDTH, -(-hi // tiles.WIDTH)):
        entries = tiles.unbundle(store.bundle(index) or b"")
        for at, entry in enumerate(entries, index * tiles.WIDTH):
            if lo <= at < hi and entry[:1] != PERSONAL and _is_anchor(entry):
                return True
    return False


def _is_anchor(entry: bytes) -> bool:
    try:
        return isinstance(envelope.decode(entry[1:]), ReadLogAnchored | ReadLogClosed)
    except MalformedEventError:
        return False


def _key_store(home: Path, into: Path) -> None:
    """Copy the key store and the key that wraps it. Raises _DisturbedError, BackupError."""
    with snapshot.taken(database.of(home), VAULT) as taken:
        transfer.to_file(taken, VAULT, into / VAULT.file)
    for name in ("keys/kek", "keys/kek.next"):
        if (home / name).exists():
            _copy_file(home / name, into / name)
    try:
        unreadable = stored_keys(into / "keys").unreadable
    except VaultError as error:
        raise _DisturbedError(f"the key-encryption key was rotated meanwhile ({error})") from error
    if unreadable:
        raise BackupError(f"{unreadable} customers' keys do not open: run `sovereign fsck`")


def _files(home: Path, target: _Target) -> None:
    """Copy what is not a database, the erasure list last and into both parts."""
    for file in inspection.files(home):
        kind, place = inventory.kind_of(file), target.place(file)
        if kind is None or place is None or kind.is_database or place.exists():
            continue
        if file != erasure_list.NAME:
            _copy_file(home / file, place)
    if (home / erasure_list.NAME).exists():
        for part in filter(None, (target.ledger, target.keys)):
            _copy_file(home / erasure_list.NAME, part / erasure_list.NAME)


def _copy_file(path: Path, place: Path) -> None:
    """Copy one file, durably, for its owner only. One that was removed meanwhile is left out."""
    before = _stamp(path)
    try:
        with path.open("rb") as source, atomic_file.writing(place, atomic_file.OWNER_ONLY) as copy:
            shutil.copyfileobj(source, copy)
    except FileNotFoundError:
        return
    if path.suffix == ".duckdb" and (
        path.with_name(f"{path.name}.wal").exists() or before != _stamp(path)
    ):
        raise _DisturbedError(f"{path} was written meanwhile")


def _stamp(path: Path) -> tuple[int, int]:
    try:
        state = path.stat()
    except FileNotFoundError:
        return 0, 0
    return state.st_size, state.st_mtime_ns


def _signing_keys(home: Path) -> Mapping[str, bytes]:
    """The logs' private keys, and those of an unfinished rotation."""
    return {path.name: path.read_bytes() for path in sorted((home / "keys").glob("*.key"))}

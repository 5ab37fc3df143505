"""Refuses to open a data directory that contradicts itself or what was published of it.

A log that begins again under an old name, or goes on from an older state, forks its own history:
receipts that were given would no longer belong to it. So before anything is opened or created:

- keys without a database, or with an empty one, are refused: its entries are elsewhere, or lost
- a database that is smaller than its published checkpoint, or has another history, is refused;
  the same for the state log and for read logs
- a database with entries, but without the key store of its customers, is refused
- a receipt of a rotation that is missing, damaged or of another log is refused
- a database of another log, or whose pages cannot be read, is refused
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from ledger.errors import CorruptLogError
from ledger.integrity import key_files, published, receipts
from ledger.storage import database, snapshot, vault_store
from ledger.storage.database import Database, DatabaseError, Schema
from ledger.storage.interface import Head
from ledger.storage.snapshot import (
    DamagedDatabaseError,
    SchemaSnapshot,
    SnapshotStore,
    UnavailableDatabaseError,
)
from ledger.storage.sqlite import LEDGER, SqlLog
from ledger.tlog import signed_note
from ledger.tlog.checkpoint import Checkpoint

DATABASE = LEDGER.file
READ_LOG = "log.sqlite"  # in reads/<instance>
VAULT = vault_store.VAULT.file
READS = replace(LEDGER, name="reads", file=f"reads/{READ_LOG}")  # of each read log: READS.named
MAX_CHECKED = 64 << 20  # bytes of a database that a start checks whole; larger ones: fsck
_KEYS = tuple(f"keys/{log}.{end}" for log in ("consent", "state") for end in ("key", "vkey"))
_FSCK = "sovereign fsck lists all damage"
_RESTORE = (
    "restore the directory from its newest backup (`sovereign restore`), or the database (a file "
    "together with its -wal file)"
)


def require(home: Path, origin: str) -> None:
    """Raise CorruptLogError unless the log `origin` may be opened, or begun, in `home`.

    Creates and changes nothing. The message says what to do. Raises DatabaseError if the database
    cannot be asked.
    """
    keys = [name for name in _KEYS if (home / name).exists()]
    _require_origin(home, origin)
    for file in key_files.forgotten(home):
        raise CorruptLogError(
            f"{home / file} is missing or lacks keys that the policy beside keys/ lists: restore "
            "it from a backup, or receipts of their time no longer verify"
        )
    older = _all_published(home)
    opened = database.of(home)
    if not opened.exists(LEDGER):
        _require_nothing_begun(opened, keys, older["consent"])
        _require_no_rotations(home)
        return
    with _opened(opened, LEDGER) as taken:
        store = taken.store()
        if not _is_log(opened, taken, keys):
            return  # a first start that was cut off before there were keys
        _require_checkpoint(opened, store)
        _require_vault(opened, store)
        _require_logs(older, store)
        _require_rotations(home, (store.head() or Head(0, "")).size)
    _require_read_logs(opened)


def require_published(home: Path) -> None:
    """Raise CorruptLogError unless all logs of `home` have what `home/log` has of them."""
    older, opened = _all_published(home), database.of(home)
    with _opened(opened, LEDGER) as taken:
        _require_logs(older, taken.store())
    _require_read_logs(opened)


def require_readable(home: Path, file: str) -> None:
    """Raise CorruptLogError if the pages of a SQLite file cannot be read.

    One of more than MAX_CHECKED bytes is only opened, so that a start does not grow with it.
    """
    with _explained(str(home / file)), snapshot.opened(home / file) as connection:
        if (home / file).stat().st_size <= MAX_CHECKED:
            for each in snapshot.damage(connection):
                _refuse(f"{home / file} is damaged ({each}; {_FSCK})")


def stored_size(home: Path) -> int:
    """The number of entries of the consent log; 0 if none was begun. Raises as `require`."""
    opened = database.of(home)
    if not opened.exists(LEDGER):
        return 0
    with _opened(opened, LEDGER) as taken:
        if "head" not in taken.tables():
            return 0
        return (taken.store().head() or Head(0, "")).size


@contextmanager
def _opened(opened: Database, schema: Schema) -> Iterator[SchemaSnapshot]:
    """A snapshot of a schema; what cannot be read is refused."""
    with _explained(opened.place(schema)), snapshot.taken(opened, schema) as taken:
        yield taken


@contextmanager
def _explained(place: str) -> Iterator[None]:
    try:
        yield
    except DamagedDatabaseError as error:
        _refuse(f"{place} is damaged ({error}; {_FSCK})")
    except UnavailableDatabaseError as error:
        raise CorruptLogError(
            f"{place} cannot be read ({error}): check who uses it, and its permissions"
        ) from error
    except (ValueError, TypeError, LookupError) as error:  # damage may put any value anywhere
        _refuse(f"{place} is damaged ({type(error).__name__}; {_FSCK})")


def _require_origin(home: Path, origin: str) -> None:
    key = home / "keys" / "consent.vkey"
    try:
        name = signed_note.verifier(key.read_text("utf-8").partition("\n")[0]).name
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:
        raise CorruptLogError(f"{key} cannot be read ({error}): restore it") from error
    if name != origin:
        raise CorruptLogError(
            f"{home} has the log {name!r}, the setting origin is {origin!r}: correct the setting, "
            "or use another data directory"
        )


def _published(home: Path, name: str, keys: Path) -> Checkpoint | None:
    """The published checkpoint of a log, whose keys are in the file `keys`."""
    path = home / "log" / name / published.CHECKPOINT
    try:
        return published.newest(path.parent, keys)
    except (OSError, ValueError) as error:
        raise CorruptLogError(
            f"{path} cannot be compared with the log ({error}): run `sovereign fsck`; then restore "
            f"{keys.relative_to(home)} if it is damaged, or else move log/{name} away"
        ) from error


def _all_published(home: Path) -> dict[str, Checkpoint | None]:
    """The published checkpoints of both logs, which are read before the logs, as these may grow."""
    return {name: _published(home, name, home / f"{name}.policy") for name in ("consent", "state")}


def _require_logs(older: Mapping[str, Checkpoint | None], store: SnapshotStore) -> None:
    _require_extends("log/consent", older["consent"], store)
    _require_extends("log/state", older["state"], store.state_store())


def _require_read_logs(opened: Database) -> None:
    for folder in sorted((opened.home / "log").glob("reads-*")):
        _require_read_log(opened, folder.name)


def _require_nothing_begun(opened: Database, keys: list[str], older: Checkpoint | None) -> None:
    place, path = opened.place(LEDGER), opened.home / DATABASE
    state = "is missing" if opened.address(LEDGER) is None and not path.exists() else "is empty"
    if older is not None:
        _refuse(f"{place} {state}, but {older.size} entries were published", older.size)
    if keys:
        _refuse(
            f"{place} {state}, but there are keys ({keys[0]}): a new log under an old "
            "name would contradict what was signed with them. If nothing was ever recorded, move "
            "keys/ away; else"
        )


def _is_log(opened: Database, taken: SchemaSnapshot, keys: list[str]) -> bool:
    """Whether the database has a log. False: it may be begun here."""
    if {"head", "bundle", "tile", "state_head"} <= (named := taken.tables()):
        return True
    if keys or named - {"head", "bundle", "tile", "cosigned", "sealed", "idempotency"}:
        place = opened.place(LEDGER)
        _refuse(f"{place} has no table of a log, but {len(named)} others or keys are there")
    return False


def _require_checkpoint(opened: Database, store: SqlLog) -> None:
    if store.head() is None and store.bundle(0) is not None:
        _refuse(f"{opened.place(LEDGER)} has entries, but its checkpoint is missing")


def _require_vault(opened: Database, store: SqlLog) -> None:
    """A log with entries has a key store; a new one would make every customer look erased."""
    place = opened.place(vault_store.VAULT)
    try:
        there = opened.exists(vault_store.VAULT)
    except DatabaseError as error:
        raise CorruptLogError(
            f"{place} cannot be read ({error}): restore the keys from their newest backup"
        ) from error
    if store.head() is not None and not there:
        raise CorruptLogError(
            f"{place} is missing or empty, but the log has entries: restore the keys from their "
            "newest backup; without one every sealed event is unreadable"
        )


def _require_no_rotations(home: Path) -> None:
    """A first start finds no receipts of rotations, which would be of a log that was here."""
    if found := sorted((home / receipts.ROTATIONS).glob("*")):
        raise CorruptLogError(
            f"{found[0]} is of a log that is not here any more: restore that log from its newest "
            "backup, or move rotations/ away"
        )


def _require_rotations(home: Path, size: int) -> None:
    """The receipts of all rotations are there, and are of this log."""
    for file, what in receipts.wrong_rotations(home, size):
        raise CorruptLogError(
            f"{home / file} {what}: restore it from a backup, or, if it is of another log, move it "
            "away; without it nobody who trusts earlier keys can verify the present ones"
        )


def _require_read_log(opened: Database, name: str) -> None:
    key, schema = opened.home / "keys" / f"{name}.vkey", READS.named(name)
    if (older := _published(opened.home, name, key)) is None:
        return
    if not opened.exists(schema):
        place = opened.place(schema)
        _refuse(f"{place} is missing, but {older.size} entries were published in log/{name}")
    with _opened(opened, schema) as taken:
        _require_extends(f"log/{name}", older, taken.store())


def _require_extends(folder: str, older: Checkpoint | None, store: SqlLog) -> None:
    """The log in `store` has the entries that were published in `folder`."""
    if older is None:
        return
    size = (store.head() or Head(0, "")).size
    if size < older.size:
        _refuse(f"the database has {size} entries, {folder} has {older.size}", older.size)
    if not published.has_root(store, older):
        _refuse(
            f"the first {older.size} entries of the database are not those of {folder}; keep both "
            "as evidence, and",
            older.size,
        )


def _refuse(why: str, entry: int | None = None) -> NoReturn:
    """`entry`: the number of entries that a backup must have."""
    mark = " " if why.endswith(("and", "else")) else ": "
    since = "" if entry is None else f", made at or after entry {entry}"
    raise CorruptLogError(f"{why}{mark}{_RESTORE}{since}")

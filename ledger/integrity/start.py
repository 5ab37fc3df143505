"""Refuses to open a data directory that contradicts itself or what was published of it.

A log that begins again under an old name, or goes on from an older state, forks its own history:
receipts that were given would no longer belong to it. So before anything is opened or created:

- keys without a database, or with an empty one, are refused: its entries are elsewhere, or lost
- a database that is smaller than its published checkpoint, or has another history, is refused;
  the same for the state log and for read logs
- a database with entries, but without the key store of its customers, is refused
- a database of another log, or whose pages cannot be read, is refused
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from sqlite3 import Connection
from typing import NoReturn

from sqlalchemy.exc import DBAPIError

from ledger.errors import CorruptLogError
from ledger.integrity import key_files, published
from ledger.storage import snapshot
from ledger.storage.interface import Head
from ledger.storage.snapshot import DamagedDatabaseError, SnapshotStore, UnavailableDatabaseError
from ledger.storage.sqlite import SqlLog
from ledger.tlog import signed_note
from ledger.tlog.checkpoint import Checkpoint

DATABASE = "ledger.sqlite"
READ_LOG = "log.sqlite"  # in reads/<instance>
VAULT = "keys/customers.db"
MAX_CHECKED = 64 << 20  # bytes of a database that a start checks whole; larger ones: fsck
_KEYS = tuple(f"keys/{log}.{end}" for log in ("consent", "state") for end in ("key", "vkey"))
_FSCK = "sovereign fsck lists all damage"
_RESTORE = (
    "restore the directory from its newest backup (`sovereign restore`), or ledger.sqlite with its "
    "-wal file"
)


def require(home: Path, origin: str) -> None:
    """Raise CorruptLogError unless the log `origin` may be opened, or begun, in `home`.

    Creates and changes nothing. The message says what to do.
    """
    keys = [name for name in _KEYS if (home / name).exists()]
    _require_origin(home, origin)
    for file in key_files.forgotten(home):
        raise CorruptLogError(
            f"{home / file} is missing or lacks keys that the policy beside keys/ lists: restore "
            "it from a backup, or receipts of their time no longer verify"
        )
    older = _all_published(home)
    if not (home / DATABASE).exists() or (home / DATABASE).stat().st_size == 0:
        _require_nothing_begun(home, keys, older["consent"])
        return
    with _opened(home, DATABASE) as connection:
        store = SnapshotStore(connection)
        if not _is_log(connection, keys):
            return  # a first start that was cut off before there were keys
        _require_checkpoint(store)
        _require_vault(home, store)
        _require_logs(older, store)
    _require_read_logs(home)


def require_published(home: Path) -> None:
    """Raise CorruptLogError unless all logs of `home` have what `home/log` has of them."""
    older = _all_published(home)
    with _opened(home, DATABASE) as connection:
        _require_logs(older, SnapshotStore(connection))
    _require_read_logs(home)


def require_readable(home: Path, file: str) -> None:
    """Raise CorruptLogError if the pages of a database cannot be read.

    One of more than MAX_CHECKED bytes is only opened, so that a start does not grow with it.
    """
    with _opened(home, file) as connection:
        if (home / file).stat().st_size <= MAX_CHECKED:
            for each in snapshot.damage(connection):
                _refuse(f"{home / file} is damaged ({each}; {_FSCK})")


def stored_size(home: Path) -> int:
    """The number of entries of the consent log; 0 if none was begun. Raises as `require`."""
    path = home / DATABASE
    if not path.exists() or path.stat().st_size == 0:
        return 0
    with _opened(home, DATABASE) as connection:
        if "head" not in snapshot.tables(connection):
            return 0
        return (SnapshotStore(connection).head() or Head(0, "")).size


@contextmanager
def _opened(home: Path, file: str) -> Iterator[Connection]:
    """A snapshot of a database; what cannot be read is refused."""
    try:
        with snapshot.opened(home / file) as connection:
            yield connection
    except DamagedDatabaseError as error:
        _refuse(f"{home / file} is damaged ({error}; {_FSCK})")
    except UnavailableDatabaseError as error:
        raise CorruptLogError(
            f"{home / file} cannot be read ({error}): check who uses it, and its permissions"
        ) from error
    except DBAPIError as error:
        _refuse(f"{home / file} is damaged ({error.orig}; {_FSCK})")
    except (ValueError, TypeError, LookupError) as error:  # damage may put any value anywhere
        _refuse(f"{home / file} is damaged ({type(error).__name__}; {_FSCK})")


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


def _require_read_logs(home: Path) -> None:
    for folder in sorted((home / "log").glob("reads-*")):
        _require_read_log(home, folder.name)


def _require_nothing_begun(home: Path, keys: list[str], older: Checkpoint | None) -> None:
    state = "is empty" if (home / DATABASE).exists() else "is missing"
    if older is not None:
        _refuse(f"{home / DATABASE} {state}, but {older.size} entries were published", older.size)
    if keys:
        _refuse(
            f"{home / DATABASE} {state}, but there are keys ({keys[0]}): a new log under an old "
            "name would contradict what was signed with them. If nothing was ever recorded, move "
            "keys/ away; else"
        )


def _is_log(connection: Connection, keys: list[str]) -> bool:
    """Whether the database has a log. False: it may be begun here."""
    if {"head", "bundle", "tile", "state_head"} <= (named := snapshot.tables(connection)):
        return True
    if keys or named - {"head", "bundle", "tile", "cosigned", "sealed", "idempotency"}:
        _refuse(f"{DATABASE} has no table of a log, but {len(named)} others or keys are there")
    return False


def _require_checkpoint(store: SqlLog) -> None:
    if store.head() is None and store.bundle(0) is not None:
        _refuse(f"{DATABASE} has entries, but its checkpoint is missing")


def _require_vault(home: Path, store: SqlLog) -> None:
    """A log with entries has a key store; a new one would make every customer look erased."""
    vault = home / VAULT
    if store.head() is not None and not (vault.exists() and vault.stat().st_size):
        raise CorruptLogError(
            f"{vault} is missing or empty, but {DATABASE} has entries: restore keys/ from its "
            "newest backup; without one every sealed event is unreadable"
        )


def _require_read_log(home: Path, name: str) -> None:
    key, file = home / "keys" / f"{name}.vkey", f"reads/{name}/{READ_LOG}"
    if (older := _published(home, name, key)) is None:
        return
    if not (home / file).exists():
        _refuse(f"{home / file} is missing, but {older.size} entries were published in log/{name}")
    with _opened(home, file) as connection:
        _require_extends(f"log/{name}", older, SnapshotStore(connection))


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

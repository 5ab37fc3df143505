"""Read-only access to a SQLite database as it is at one moment, beside the process that writes it.

Nothing is locked, written or created, and what the writer commits later is not seen. In WAL mode
the writer never waits for a snapshot; in the other modes (the vault) it waits until it is closed,
so such a snapshot is read at once and closed.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from sqlalchemy.pool import StaticPool
from sqlmodel import create_engine

from ledger.storage.sqlite import STATE_PREFIX, SqlStore, StateStore

OWNER_ONLY = 0o600
BUSY_MS = 10_000  # for another process's lock
MAX_MESSAGES = 20  # of one integrity check
_UNAVAILABLE = {  # primary result codes that tell nothing about the content
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_AUTH,
    sqlite3.SQLITE_NOMEM,
}


class UnavailableDatabaseError(Exception):
    """The database cannot be opened or is locked, so nothing is known about its content."""


class DamagedDatabaseError(Exception):
    """The file is not a database, or some of its pages cannot be read."""


class _Snapshot(sqlite3.Connection):
    """A connection whose read transaction lasts until it is closed."""

    def commit(self) -> None:
        """Nothing: there is nothing to commit, and the snapshot is kept."""

    def rollback(self) -> None:
        """Nothing: the snapshot is kept."""


@contextmanager
def opened(path: Path) -> Iterator[sqlite3.Connection]:
    """A read-only connection to a snapshot of the database at `path`.

    Raises UnavailableDatabaseError and DamagedDatabaseError, also for errors inside the context.
    """
    with translated():
        connection = _connected(path)
        try:
            yield connection
        finally:
            connection.close()


@contextmanager
def translated() -> Iterator[None]:
    """Turn SQLite's errors into UnavailableDatabaseError and DamagedDatabaseError."""
    try:
        yield
    except sqlite3.Error as error:
        raise _explained(error) from error


class SnapshotStore(SqlStore):
    """A log store over the connection of a snapshot. `commit` fails."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        super(SqlStore, self).__init__(
            create_engine(
                "sqlite://",
                creator=lambda: connection,
                poolclass=StaticPool,
                pool_reset_on_return=None,
            )
        )

    def state_store(self) -> StateStore:
        return StateStore(self._engine, STATE_PREFIX)

    def close(self) -> None:
        """Nothing: whoever opened the connection closes it."""


def damage(connection: sqlite3.Connection) -> Iterator[str]:
    """What SQLite's own checks find: a line for each damaged table, if it is known which."""
    if (whole := _checked(connection, MAX_MESSAGES)) is not None:
        in_tables = [
            f"table {name}: {found}"
            for name in sorted(tables(connection))
            if (found := _checked(connection, _quoted(name))) is not None
        ]
        yield from in_tables or [whole]
        return
    with translated():
        broken = connection.execute("PRAGMA foreign_key_check").fetchmany(MAX_MESSAGES)
    for table, row, parent, _ in broken:
        yield f"table {table}: row {row} refers to a row of {parent} that does not exist"


def _quoted(name: str) -> str:
    doubled = name.replace("'", "''")
    return f"'{doubled}'"


def _checked(connection: sqlite3.Connection, what: int | str) -> str | None:
    """The first message of an integrity check of one table, or of all; None if there is none.

    Raises UnavailableDatabaseError.
    """
    try:
        rows = connection.execute(f"PRAGMA integrity_check({what})").fetchall()
    except sqlite3.Error as error:
        if isinstance(explained := _explained(error), UnavailableDatabaseError):
            raise explained from error
        return str(error)
    lines = [line for row in rows for line in str(row[0]).splitlines()]
    return None if lines == ["ok"] else next(each for each in lines if not each.startswith("***"))


def copy(connection: sqlite3.Connection, target: Path) -> None:
    """Write the snapshot to a new file, for its owner only. Durable on return.

    The file is complete by itself: no -wal file belongs to it. Raises FileExistsError, and as
    `opened` does.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    target.touch(mode=OWNER_ONLY, exist_ok=False)
    with translated(), closing(sqlite3.connect(target, isolation_level=None)) as made:
        connection.backup(made)
        made.execute("PRAGMA journal_mode=DELETE")
    _synchronise(target)


def tables(connection: sqlite3.Connection) -> set[str]:
    """The names of the tables. Raises DamagedDatabaseError, UnavailableDatabaseError."""
    with translated():
        rows = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        return {row[0] for row in rows}


def malformed_idempotency(connection: sqlite3.Connection, size: int) -> int:
    """How many rows of the table of idempotency keys cannot be of a log of `size` entries."""
    query = (
        "SELECT count(*) FROM idempotency WHERE first NOT BETWEEN 0 AND ? OR length(digest) <> 32"
        " OR typeof(digest) <> 'blob' OR typeof(key) <> 'text' OR typeof(first) <> 'integer'"
    )
    with translated():
        return int(connection.execute(query, [size - 1]).fetchone()[0])


def _synchronise(path: Path) -> None:
    """Make the file's name durable; SQLite did so for its content."""
    descriptor = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _connected(path: Path) -> sqlite3.Connection:
    if path.stat().st_size == 0:
        raise DamagedDatabaseError("the file is empty, want a database")
    try:
        return _begun(path, "ro")
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_READONLY_ROLLBACK:
            raise
    # A process was killed in the middle of a transaction: let SQLite undo it, as the next start
    # would, because until then nobody can read.
    return _begun(path, "rw")


def _begun(path: Path, mode: str) -> sqlite3.Connection:
    made = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        isolation_level=None,
        check_same_thread=False,
        factory=_Snapshot,
    )
    try:
        made.execute(f"PRAGMA busy_timeout={BUSY_MS}")
        made.execute("PRAGMA query_only=ON")
        made.execute("BEGIN")
        made.execute("SELECT count(*) FROM sqlite_master").fetchone()  # the snapshot begins here
    except BaseException:
        made.close()
        raise
    return made


def _explained(error: sqlite3.Error) -> Exception:
    primary = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
    kind = UnavailableDatabaseError if primary in _UNAVAILABLE else DamagedDatabaseError
    return kind(str(error))

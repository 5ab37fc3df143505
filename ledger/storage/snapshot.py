"""Read-only access to a database as it is at one moment, beside the process that writes it.

Nothing is locked, written or created, and what the writer commits later is not seen. In SQLite's
WAL mode and in PostgreSQL the writer never waits for a snapshot; in SQLite's other modes (the
vault) it waits until it is closed, so such a snapshot is read at once and closed.

`taken` is the snapshot of a schema, wherever it is; `opened` that of one SQLite file.
"""

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import (
    URL,
    Column,
    Engine,
    Executable,
    Row,
    Select,
    Text,
    cast,
    create_engine,
    func,
    inspect,
    literal_column,
    or_,
    select,
    table,
    text,
)
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.pool import StaticPool
from sqlalchemy.sql.functions import count

from ledger.storage.database import Database, Schema
from ledger.storage.database import version as database_version
from ledger.storage.kept_connection import compiled
from ledger.storage.sqlite import IDEMPOTENCY, SqlStore

OWNER_ONLY = 0o600
BUSY_MS = 10_000  # for another process's lock
MAX_VALUES = 10_000  # in one statement
MAX_MESSAGES = 20  # of one integrity check
_UNAVAILABLE = {  # primary result codes that tell nothing about the content
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_AUTH,
    sqlite3.SQLITE_NOMEM,
}
_INSUFFICIENT_PRIVILEGE = "42501"
_PATIENCE: dict[str, Any] = {
    "connect_timeout": 10,
    "tcp_user_timeout": 10_000,
    "keepalives_idle": 10,
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


def engine(connection: sqlite3.Connection) -> Engine:
    """An engine over the connection of a snapshot, for stores that read it. Nobody closes it."""
    return create_engine(
        "sqlite://",
        creator=lambda: connection,
        poolclass=StaticPool,
        pool_reset_on_return=None,
    )


class SnapshotStore(SqlStore):
    """A log store over a snapshot. `commit` fails."""

    def __init__(self, snapshot: sqlite3.Connection | Engine) -> None:
        super().__init__(snapshot if isinstance(snapshot, Engine) else engine(snapshot))

    def close(self) -> None:
        """Nothing: whoever opened the snapshot closes it."""


class SchemaSnapshot:
    """A schema as it is at one moment. Methods raise as `taken` does."""

    def __init__(self, engine: Engine, file: sqlite3.Connection | None) -> None:
        """`file`: the connection to SQLite; None in PostgreSQL."""
        self._engine = engine
        self.file = file

    def connected(self) -> Connection:
        """A connection that sees the snapshot."""
        return self._engine.connect()

    def store(self) -> SnapshotStore:
        """The log in this schema."""
        return SnapshotStore(self._engine)

    def tables(self) -> set[str]:
        """The names of the tables."""
        if self.file is not None:
            return tables(self.file)
        with self._engine.connect() as connection:
            return {*inspect(connection).get_table_names()}

    def version(self) -> str | None:
        """The version of the schema, None if it is from before versions."""
        return database_version(self._engine)

    def rows(self, query: Select[Any]) -> list[Row[Any]]:
        """The rows as the driver reads them: damage may have put any value anywhere."""
        with self._engine.connect() as connection:
            statement = compiled(connection.dialect.name, query)
            return [*connection.exec_driver_sql(statement)]

    def some_rows(
        self, query: Select[Any], column: Column[Any], values: Sequence[Any]
    ) -> list[Row[Any]]:
        """The rows with one of these values in `column`."""
        rows: list[Row[Any]] = []
        with self._engine.connect() as connection:
            for at in range(0, len(values), MAX_VALUES):
                some = query.where(column.in_(values[at : at + MAX_VALUES]))
                rows += connection.execute(some)
        return rows

    def damage(self) -> Iterator[str]:
        """What the database's own checks find: a line for each damaged table.

        PostgreSQL has no check of a whole database: every value of every row is read, and the
        indexes are checked if the extension amcheck is there and may be used.
        """
        if self.file is not None:
            yield from damage(self.file)
            return
        with self._engine.connect() as connection:
            for name in sorted(self.tables()):
                # A row as one text: so the server reads also those values that it stores apart.
                row = cast(literal_column("t"), Text)
                every = select(count(row)).select_from(table(name).alias("t"))
                yield from _failing(connection, name, every)
            yield from _broken_indexes(connection)

    def malformed_idempotency(self, size: int) -> int:
        """How many idempotency keys cannot be of a log of `size` entries."""
        key, digest, first = (IDEMPOTENCY.c[each] for each in ("key", "digest", "first"))
        wrong = [first < 0, first >= size, func.length(digest) != literal_column("32")]
        if self.file is not None:  # in SQLite a column may have values of any type
            kinds = ((digest, "blob"), (key, "text"), (first, "integer"))
            wrong += [func.typeof(column) != kind for column, kind in kinds]
        with self._engine.connect() as connection:
            query = select(count()).select_from(IDEMPOTENCY).where(or_(*wrong))
            return int(connection.execute(query).scalar_one())


@contextmanager
def taken(database: Database, schema: Schema) -> Iterator[SchemaSnapshot]:
    """A read-only snapshot of a schema.

    Raises UnavailableDatabaseError and DamagedDatabaseError, also for errors inside the context,
    and FileNotFoundError if a SQLite file is missing.
    """
    try:
        if (url := database.address(schema)) is None:
            with opened(database.home / schema.file) as connection:
                yield SchemaSnapshot(engine(connection), connection)
            return
        held = _postgres_snapshot(url, schema.name)
        try:
            with held.connect() as connection:  # the snapshot begins here
                if not inspect(connection).has_schema(schema.name):
                    raise DamagedDatabaseError(f"there is no schema {schema.name}")
            yield SchemaSnapshot(held, None)
        finally:
            held.dispose()
    except DBAPIError as error:
        raise explained(error) from error


class DatabaseSnapshot:
    """All schemas of a PostgreSQL database as they are at one moment. One is read at a time."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def of(self, schema: Schema) -> SchemaSnapshot:
        """The snapshot of a schema, until the next one is asked for."""
        with self._engine.connect() as connection:
            quoted = connection.dialect.identifier_preparer.quote(schema.name)
            connection.execute(text(f"SET search_path TO {quoted}"))
        return SchemaSnapshot(self._engine, None)


@contextmanager
def taken_whole(database: Database) -> Iterator[DatabaseSnapshot]:
    """A read-only snapshot of a database in PostgreSQL. Raises as `taken` does."""
    url = database.url
    if url is None:
        raise ValueError("SQLite files have no common moment")
    try:
        held = _postgres_snapshot(url, "public")
        try:
            yield DatabaseSnapshot(held)
        finally:
            held.dispose()
    except DBAPIError as error:
        raise explained(error) from error


def explained(error: DBAPIError) -> Exception:
    """UnavailableDatabaseError or DamagedDatabaseError, for an error of the driver."""
    if isinstance(error.orig, sqlite3.Error):
        return _explained(error.orig)
    denied = getattr(error.orig, "sqlstate", None) == _INSUFFICIENT_PRIVILEGE
    unavailable = denied or isinstance(error, OperationalError | InterfaceError)
    lines = str(error.orig).strip().splitlines() or [type(error.orig).__name__]
    return (UnavailableDatabaseError if unavailable else DamagedDatabaseError)(lines[0])


def _postgres_snapshot(url: URL, schema: str) -> Engine:
    """An engine of one connection, whose read transaction lasts until the engine is disposed."""
    import psycopg

    class Held(psycopg.Connection[Any]):
        def commit(self) -> None:
            """Nothing: there is nothing to commit, and the snapshot is kept."""

        def rollback(self) -> None:
            """Nothing: the snapshot is kept."""

    def connected() -> Held:
        plain = url.set(drivername="postgresql").render_as_string(hide_password=False)
        made = Held.connect(plain, options=f"-csearch_path={schema}", **_PATIENCE)
        made.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        made.read_only = True
        return made

    return create_engine(
        "postgresql+psycopg://", creator=connected, poolclass=StaticPool, pool_reset_on_return=None
    )


def _failing(connection: Connection, name: str, statement: Executable) -> Iterator[str]:
    """A line about the table `name` if the statement fails. Raises UnavailableDatabaseError."""
    try:
        with connection.begin_nested():
            connection.execute(statement)
    except DBAPIError as error:
        if isinstance(found := explained(error), UnavailableDatabaseError):
            raise found from error
        yield f"table {name}: {found}"


def _broken_indexes(connection: Connection) -> Iterator[str]:
    where = connection.execute(text(_AMCHECK)).scalar()
    if where is None:
        return
    function = f"{connection.dialect.identifier_preparer.quote(where)}.bt_index_check"
    for index, name in connection.execute(text(_INDEXES)).all():
        check = text(f"SELECT {function}(CAST(:index AS oid), true)").bindparams(index=index)
        yield from _failing(connection, name, check)


_AMCHECK = """
SELECT n.nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
JOIN pg_proc p ON p.pronamespace = n.oid AND p.proname = 'bt_index_check' AND p.pronargs = 2
WHERE e.extname = 'amcheck' AND has_function_privilege(p.oid, 'EXECUTE')
"""
_INDEXES = """
SELECT i.indexrelid, t.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
JOIN pg_class t ON t.oid = i.indrelid JOIN pg_am a ON a.oid = c.relam
WHERE c.relnamespace = current_schema()::regnamespace AND a.amname = 'btree'
"""


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
    for name, row, parent, _ in broken:
        yield f"table {name}: row {row} refers to a row of {parent} that does not exist"


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
    synchronise(target)


def tables(connection: sqlite3.Connection) -> set[str]:
    """The names of the tables. Raises DamagedDatabaseError, UnavailableDatabaseError."""
    with translated():
        rows = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        return {row[0] for row in rows}


def synchronise(path: Path) -> None:
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

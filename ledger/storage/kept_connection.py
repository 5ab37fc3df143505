"""One connection that a store keeps, for statements that run thousands of times a second.

A statement is compiled once, and given to the driver as it is: going through SQLAlchemy each time
would cost more than a statement of SQLite.
"""

import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from weakref import finalize

from sqlalchemy import Dialect, Engine
from sqlalchemy.dialects.postgresql import psycopg
from sqlalchemy.dialects.sqlite import dialect as sqlite
from sqlalchemy.sql import ClauseElement

from ledger.storage import lock_holder
from ledger.storage.database import DatabaseError, ReadOnlyError

_DIALECTS: dict[str, Dialect] = {
    "sqlite": sqlite(),
    "postgresql": psycopg.dialect(paramstyle="format"),  # type: ignore[no-untyped-call]
}
_BEGIN = {
    "sqlite": ("BEGIN IMMEDIATE", "BEGIN"),
    "postgresql": ("BEGIN", "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"),
}
LOOK_MS = 100  # after which it is asked whether the holder of a lock is stopped
_WRITERS = "SELECT pg_advisory_xact_lock(hashtextextended(current_schema(), 2))"
_READ_ONLY = {  # what the drivers call it
    "SQLITE_READONLY",
    "SQLITE_READONLY_DIRECTORY",
    "SQLITE_READONLY_DBMOVED",
    "SQLITE_CANTOPEN",
    "42501",  # insufficient_privilege
    "25006",  # read_only_sql_transaction
}


def compiled(dialect: str, statement: ClauseElement) -> str:
    """The text of a statement; its values are given in the order in which they occur in it."""
    return str(statement.compile(dialect=_DIALECTS[dialect]))


def mark(dialect: str) -> str:
    """What stands for a value in the text of a statement."""
    return "?" if dialect == "sqlite" else "%s"


class KeptConnection:
    """A connection outside the pool; each statement is a transaction, except inside `writing`.

    Its user does not run two transactions at the same time. Errors of the driver are raised as
    DatabaseError. A connection to PostgreSQL that was lost is made again by the next statement.
    """

    def __init__(self, engine: Engine, place: str, busy_ms: int) -> None:
        """`place` names the database in errors. Raises DatabaseError."""
        self.dialect = engine.dialect.name
        self._engine, self._place, self._busy_ms = engine, place, busy_ms
        self._error: type[Exception] = engine.dialect.loaded_dbapi.Error
        self._in_transaction = False
        self._driver = self._opened()

    def execute(self, statement: str, values: Sequence[Any] = ()) -> Any:
        """Run a compiled statement; returns the driver's cursor. Raises DatabaseError."""
        until = time.monotonic() + self._busy_ms / 1000
        while True:
            try:
                return self._driver.execute(statement, values)
            except self._error as error:
                if not self._may_retry(error, until):
                    raise self._named(error) from error

    def execute_many(self, statement: str, rows: Iterable[Sequence[Any]]) -> None:
        """Run a compiled statement for each row, inside `writing`. Raises DatabaseError."""
        try:
            if self.dialect == "sqlite":
                self._driver.execute(f"PRAGMA busy_timeout={self._busy_ms}")
            self._driver.cursor().executemany(statement, rows)
            if self.dialect == "sqlite":
                self._driver.execute(f"PRAGMA busy_timeout={LOOK_MS}")
        except self._error as error:
            raise self._named(error) from error

    @contextmanager
    def writing(self) -> Iterator[None]:
        """A transaction that holds the write lock from its beginning. Durable after it."""
        with self._transaction(_BEGIN[self.dialect][0]):
            if self.dialect == "postgresql":
                self.execute(_WRITERS)
            yield

    @contextmanager
    def reading(self) -> Iterator[None]:
        """A transaction that sees the database as it is at one moment."""
        with self._transaction(_BEGIN[self.dialect][1]):
            yield

    def close(self) -> None:
        self._driver.close()

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[None]:
        self.execute(begin)
        self._in_transaction = True
        try:
            yield
            self.execute("COMMIT")
        except BaseException:
            with suppress(self._error):  # the connection may be lost, or SQLite has rolled back
                self._driver.execute("ROLLBACK")
            raise
        finally:
            self._in_transaction = False

    def _opened(self) -> Any:
        try:
            kept = self._engine.raw_connection()
        except self._error as error:
            raise self._named(error) from error
        driver: Any = kept.driver_connection
        kept.detach()
        finalize(self, driver.close)  # psycopg warns of connections that nobody closed
        if self.dialect == "sqlite":
            driver.execute(f"PRAGMA busy_timeout={LOOK_MS}")
        if self.dialect == "postgresql":
            driver.autocommit = True
            driver.execute("SET synchronous_commit TO on")
            driver.execute(f"SET lock_timeout TO {self._busy_ms}")
        return driver

    def _may_retry(self, error: Exception, until: float) -> bool:
        """Whether to run the statement again: its connection was lost, or a lock is waited for.

        A lock of a stopped process is not waited for.
        """
        if not _is_busy(error):
            return self._reopened()
        return time.monotonic() < until and self._stopped_holder() is None

    def _stopped_holder(self) -> str | None:
        file = self._engine.url.database
        return lock_holder.stopped(Path(file)) if file else None

    def _reopened(self) -> bool:
        """Whether a lost connection was made again; a transaction that was begun is lost."""
        if self.dialect == "sqlite" or self._in_transaction or not self._driver.closed:
            return False
        self._driver = self._opened()
        return True

    def _named(self, error: Exception) -> DatabaseError:
        code = getattr(error, "sqlite_errorname", None) or getattr(error, "sqlstate", None)
        kind = ReadOnlyError if code in _READ_ONLY else DatabaseError
        first = str(error).strip().splitlines() or [type(error).__name__]
        if _is_busy(error) and (holder := self._stopped_holder()) is not None:
            first = [f"{first[0]} by {holder}, which is stopped: let it continue, or end it"]
        return kind(f"{self._place}: {first[0]}")


def _is_busy(error: Exception) -> bool:
    """Whether SQLite waits for another process's lock."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY

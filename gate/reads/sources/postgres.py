"""A table in PostgreSQL, read through Ibis. What identifies a customer is a text column.

The role it connects as needs SELECT on the table, and TEMPORARY on the database: the cohort of an
answer is copied into a temporary table and joined there, however many customers it has.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from weakref import finalize

from gate.reads.sources.interface import SourceUnavailableError

WAIT_S = 5  # for a connection, and for the answer to a point read
MAX_CONNECTIONS = 8  # for point reads; every larger read has one of its own
COHORT = "asked_cohort"
COPIED = 10_000  # customers that are copied at once
_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n", "\r": r"\r", "\t": r"\t"})


class PostgresSource:
    """One table of a PostgreSQL database. See `gate.reads.sources.interface.Source`."""

    def __init__(self, address: str, table: str = "customer", key: str = "id") -> None:
        """`address`: a libpq connection string. Raises SourceUnavailableError."""
        from psycopg_pool import ConnectionPool

        self._address, self._name, self.key = address, table, key
        limits = f"-c statement_timeout={WAIT_S}s -c default_transaction_read_only=on"
        with _reporting(table):
            self._pool = ConnectionPool(
                address,
                min_size=1,
                max_size=MAX_CONNECTIONS,
                timeout=WAIT_S,
                open=True,
                kwargs={"autocommit": True, "options": limits, "connect_timeout": WAIT_S},
            )
            finalize(self, self._pool.close)
            self._pool.wait(WAIT_S)
            self._known = frozenset(self._table(self._connected()).columns)

    def row(self, subject: str, columns: Sequence[str]) -> Mapping[str, Any] | None:
        from psycopg.sql import SQL, Identifier

        names = SQL(", ").join([Identifier(self._column(name)) for name in columns])
        query = SQL("SELECT {} FROM {} WHERE {} = %s").format(
            names, Identifier(self._name), Identifier(self.key)
        )
        with _reporting(self._name), self._pool.connection() as connection:
            found = connection.execute(query, [subject]).fetchone()
        return None if found is None else dict(zip(columns, found, strict=True))

    def rows(self, subjects: Sequence[str], columns: Sequence[str]) -> Any:
        names = [self._column(name) for name in columns]
        with _reporting(self._name):
            backend = self._connected()
            self._copy(backend.con, subjects)
            cohort = backend.table(COHORT)
            return self._table(backend).semi_join(cohort, self.key).select(*names)

    def everybody(self, columns: Sequence[str]) -> Any:
        names = [self._column(name) for name in columns]
        with _reporting(self._name):
            return self._table(self._connected()).select(*names)

    def count(self) -> int:
        with _reporting(self._name):
            return int(self._table(self._connected()).count().to_pyarrow().as_py())

    def open(self, name: str) -> Any | None:
        """A table as an Ibis expression, or None if there is none: for checks, never for rows."""
        with _reporting(name):
            backend = self._connected()
            return backend.table(name) if name in backend.list_tables() else None

    def close(self) -> None:
        self._pool.close()

    def _connected(self) -> Any:
        """An engine on a connection of its own, in one snapshot: what is counted is what is read.

        The connection ends with the last expression that needs it.
        """
        import ibis
        import psycopg

        connection = psycopg.connect(self._address, autocommit=True, connect_timeout=WAIT_S)
        backend = ibis.postgres.from_connection(connection)
        finalize(backend, connection.close)
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")  # what Ibis begins is inside
        return backend

    def _table(self, backend: Any) -> Any:
        return backend.table(self._name)

    def _copy(self, connection: Any, subjects: Sequence[str]) -> None:
        from psycopg.sql import SQL, Identifier

        cohort, key = Identifier(COHORT), Identifier(self.key)
        with connection.transaction(), connection.cursor() as cursor:
            cursor.execute(SQL("CREATE TEMPORARY TABLE {} ({} text)").format(cohort, key))
            with cursor.copy(SQL("COPY {} FROM STDIN").format(cohort)) as copy:
                for lo in range(0, len(subjects), COPIED):
                    copy.write(_lines(subjects[lo : lo + COPIED]))
            cursor.execute(SQL("ANALYZE {}").format(cohort))

    def _column(self, name: str) -> str:
        if name not in self._known:
            raise SourceUnavailableError(f"table {self._name!r} has no column {name!r}")
        return name


def _lines(subjects: Sequence[str]) -> str:
    """The text form of COPY."""
    return "".join([f"{subject.translate(_ESCAPES)}\n" for subject in subjects])


@contextmanager
def _reporting(what: str) -> Iterator[None]:
    """The driver, its pool and Ibis each raise errors of their own; callers see one."""
    import psycopg
    from ibis.common.exceptions import IbisError

    try:
        yield
    except (psycopg.Error, IbisError, OSError) as error:
        raise SourceUnavailableError(f"{what}: {error}; see that the database is up") from error

"""Source of personal rows in PostgreSQL, read through Ibis. The customer's id is a text column.

The role needs SELECT on the table and TEMPORARY on the database: the ids of a cohort are copied
into a temporary table and joined there, however many there are.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from weakref import finalize

from gate.reads.sources.interface import SourceUnavailableError

WAIT_S = 5  # seconds, for a connection and for a read of one customer
MAX_CONNECTIONS = 8  # for reads of one customer; every larger read opens its own
COHORT = "asked_cohort"
COPIED = 10_000  # customers per COPY chunk
_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n", "\r": r"\r", "\t": r"\t"})


class PostgresSource:
    """One table of a PostgreSQL database: a `gate.reads.sources.interface.RowSource`."""

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
            values = connection.execute(query, [subject]).fetchone()
        return None if values is None else dict(zip(columns, values, strict=True))

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
        """A table as an Ibis expression, or None if it does not exist; for contract checks only."""
        with _reporting(name):
            backend = self._connected()
            return backend.table(name) if name in backend.list_tables() else None

    def close(self) -> None:
        self._pool.close()

    def _connected(self) -> Any:
        """An Ibis backend on a new connection in one snapshot, so that counts match the rows read.

        The connection closes when the last expression that uses it is gone.
        """
        import ibis
        import psycopg

        connection = psycopg.connect(self._address, autocommit=True, connect_timeout=WAIT_S)
        backend = ibis.postgres.from_connection(connection)
        finalize(backend, connection.close)
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")  # Ibis nests in it
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
            raise SourceUnavailableError(
                f"table {self._name!r} has no column {name!r}; correct the source contract"
            )
        return name


def _lines(subjects: Sequence[str]) -> str:
    """Ids in PostgreSQL's COPY text format."""
    return "".join([f"{subject.translate(_ESCAPES)}\n" for subject in subjects])


@contextmanager
def _reporting(what: str) -> Iterator[None]:
    """Translate the errors of the driver, its pool and Ibis to SourceUnavailableError."""
    import psycopg
    from ibis.common.exceptions import IbisError

    try:
        yield
    except (psycopg.Error, IbisError, OSError) as error:
        raise SourceUnavailableError(f"{what}: {error}; check that the database is up") from error

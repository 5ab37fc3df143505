"""Source of personal rows in PostgreSQL, read through Ibis.

The customer's id may have any type; it is read and compared as PostgreSQL writes it. How the other
types are read: gate.reads.sources.postgres_columns.

The role needs SELECT on the table and TEMPORARY on the database: the ids of a cohort are copied
into a temporary table and joined there, however many there are.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from weakref import finalize

from gate.contracts.source import RelatedTable
from gate.reads.sources import postgres_columns
from gate.reads.sources.interface import (
    Row,
    SourceDownError,
    SourceUnavailableError,
    by_subject,
    doubled,
    one_by_one,
    representable,
    without_values,
)
from gate.reads.sources.postgres_columns import PostgresColumn
from gate.reads.sources.postgres_deadlines import QueryDeadlines
from gate.reads.sources.related import quoted, require, require_sound, select, unsound

WAIT_S = 5  # seconds, for a connection and for a read of one customer
MAX_CONNECTIONS = 8  # for reads of one customer; every larger read opens its own
COHORT = "asked_cohort"
COPIED = 10_000  # customers per COPY chunk
_UNIQUE = """
SELECT 1 FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
WHERE i.indrelid = to_regclass(%s) AND a.attname = %s AND a.attnotnull
AND i.indisunique AND i.indisvalid AND i.indnatts = 1 AND i.indpred IS NULL
"""
_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n", "\r": r"\r", "\t": r"\t"})


class PostgresSource:
    """One table of a PostgreSQL database: a `gate.reads.sources.interface.RowSource`.

    `related`: further tables, whose items are joined to it.
    """

    def __init__(
        self,
        address: str,
        table: str = "customer",
        key: str = "id",
        related: Sequence[RelatedTable] = (),
    ) -> None:
        """`address`: a libpq connection string. Raises SourceUnavailableError."""
        from psycopg_pool import ConnectionPool

        self._address, self._name, self.key = address, table, key
        self._deadlines = QueryDeadlines(2 * WAIT_S)  # the server's own limit comes first
        limits = f"-c statement_timeout={WAIT_S}s -c default_transaction_read_only=on"
        with _reporting(table):
            self._pool = ConnectionPool(
                address,
                min_size=1,
                max_size=MAX_CONNECTIONS,
                timeout=WAIT_S,
                reconnect_timeout=WAIT_S,  # then the next read tries: longer waits would go on
                open=True,
                kwargs={
                    "autocommit": True,
                    "options": f"{_options(address)} {limits}".strip(),
                    "connect_timeout": WAIT_S,
                },
            )
            finalize(self, self._pool.close)
            self._pool.wait(WAIT_S)
            with self._pool.connection() as connection:
                kinds = postgres_columns.kinds(connection, table)
            if not kinds:
                raise SourceUnavailableError(f"no table {table!r}: check the setting source")
            self._relation = quoted(table)
            if related:
                joined, moved = self._joined(kinds, related)
                self._relation, kinds = f"({joined}) AS {quoted(table)}", kinds | moved
        self._columns = postgres_columns.represented(kinds, key)
        self._select = postgres_columns.select(self._relation, self._columns)

    def _joined(
        self, kinds: Mapping[str, str], related: Sequence[RelatedTable]
    ) -> tuple[str, dict[str, str]]:
        """SQL of the joined tables, and the types of the further tables' items.

        Raises SourceUnavailableError if one of them has two rows of a customer.
        """
        import psycopg

        places, moved = [], dict[str, str]()
        with psycopg.connect(self._address, connect_timeout=WAIT_S) as connection:
            for each in related:
                found = postgres_columns.kinds(connection, each.name)
                require(each.name, found, (each.key, *each.items))
                if not connection.execute(_UNIQUE, [quoted(each.name), each.key]).fetchone():
                    query = unsound(quoted(each.name), each.key)
                    require_sound(each, *(connection.execute(query.encode()).fetchone() or ()))
                places.append((each, quoted(each.name), found))
                moved |= {item: found[item] for item in each.items}
        return select(quoted(self._name), self.key, kinds, places), moved

    def row(self, subject: str, columns: Sequence[str]) -> Row | None:
        found = self._each([subject], columns).get(subject)
        if isinstance(found, SourceUnavailableError):
            raise found
        return found

    def each_row(
        self, subjects: Sequence[str], columns: Sequence[str]
    ) -> Mapping[str, Row | SourceUnavailableError]:
        return self._each(subjects, columns)

    def _each(
        self, subjects: Sequence[str], columns: Sequence[str]
    ) -> Mapping[str, Row | SourceUnavailableError]:
        from psycopg.errors import InvalidTextRepresentation, NumericValueOutOfRange

        chosen = [self._columns[self._column(name)] for name in columns]
        key = self._columns[self._column(self.key)].quoted
        parts = [*(each.value for each in chosen), *(each.unreadable for each in chosen)]
        # PostgreSQL has no text with this character.
        ids = [each for each in subjects if "\0" not in each]
        ids += ids[-1:] * (_rounded(len(ids)) - len(ids))  # few texts of queries: each is prepared
        if not ids:
            return {}
        wanted = f"{key} IN ({', '.join(['%s'] * len(ids))}) AND {key}::text = ANY(%s)"
        selected = ", ".join([f"{key}::text", *parts])
        query = f"SELECT {selected} FROM {self._relation} WHERE {wanted}"  # noqa: S608 - quoted
        with _reporting(self._name), self._pool.connection() as connection:
            try:
                with self._deadlines.within(connection):
                    found = connection.execute(query.encode(), [*ids, ids])
                rows = found.fetchmany(len(ids) + 1)
            except (InvalidTextRepresentation, NumericValueOutOfRange):
                # One of them is no uuid or number, as this table's ids are.
                return {} if len(subjects) == 1 else one_by_one(self.row, subjects, columns)
        if len(rows) > len(subjects):
            if len(subjects) > 1:
                return one_by_one(self.row, subjects, columns)
            raise SourceUnavailableError(doubled(self._name))
        values = ([subject, *representable(row)] for subject, *row in rows)
        return by_subject(self._name, columns, values)

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
        """A table as an Ibis expression on its own connection, or None if it does not exist."""
        with _reporting(name):
            backend = self._connected()
            if name == self._name:
                return self._table(backend)
            known = postgres_columns.described(backend.con, name)
            sql = postgres_columns.select(quoted(name), known)
            return _selected(backend, sql, known) if known else None

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
        return _selected(backend, self._select, self._columns)

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
        if name not in self._columns:
            raise SourceUnavailableError(
                f"table {self._name!r} has no column {name!r}; correct the source contract"
            )
        return name


def _selected(backend: Any, query: str, columns: Mapping[str, PostgresColumn]) -> Any:
    import ibis

    schema = ibis.schema({each.name: each.type for each in columns.values()})
    return backend.sql(query, schema=schema)


def _rounded(number: int) -> int:
    """The next power of two."""
    return 1 << (number - 1).bit_length() if number else 0


def _options(address: str) -> str:
    """The command-line options that the connection string, or the environment, gives the server."""
    from psycopg import ProgrammingError
    from psycopg.conninfo import conninfo_to_dict

    try:
        given = conninfo_to_dict(address).get("options")
    except ProgrammingError as error:  # its message may quote the password
        raise SourceUnavailableError("the setting source is no connection string") from error
    return str(given or os.environ.get("PGOPTIONS", ""))


def _lines(subjects: Sequence[str]) -> str:
    """Ids in PostgreSQL's COPY text format; it has no text with a NUL, so nobody has such an id."""
    return "".join([f"{each.translate(_ESCAPES)}\n" for each in subjects if "\0" not in each])


@contextmanager
def _reporting(what: str) -> Iterator[None]:
    """Translate the errors of the driver, its pool and Ibis to SourceUnavailableError."""
    import psycopg
    from ibis.common.exceptions import IbisError

    try:
        yield
    except (psycopg.OperationalError, psycopg.InterfaceError, OSError) as error:
        raise SourceDownError(
            f"{what}: {without_values(error)}; check that the database is up"
        ) from error
    except (psycopg.Error, IbisError) as error:
        raise SourceUnavailableError(_said(what, error)) from error


def _said(what: str, error: Exception) -> str:
    return f"{what}: {without_values(error)}; check that the database is up"

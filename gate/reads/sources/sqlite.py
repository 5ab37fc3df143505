"""Source of personal rows in a SQLite file, copied into DuckDB's memory and read there.

The copy is one snapshot, and is made again before a read if the file has changed since, at most
every five seconds. A type is that of the declared type's name, as SQLite derives its affinity:

    …INT…                                   integer
    …REAL… …FLOA… …DOUB… NUMERIC… DECIMAL…  number
    BOOL…                                   boolean: 0 and 1
    DATE, DATETIME… TIMESTAMP…              day, moment: texts as ISO 8601 writes them
    every other                             text

SQLite stores any value in any column. One that is none of its column's type is missing; how many
there are is logged, and `sovereign check` reports it.
"""

import logging
import sqlite3
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Lock
from time import monotonic
from typing import Any

from gate.contracts.source import RelatedTable
from gate.reads.sources.duckdb import MEMORY, SOURCE, DuckDBSource, join
from gate.reads.sources.interface import SourceUnavailableError
from gate.reads.sources.related import quoted

MAGIC = b"SQLite format 3\0"
COPIED = 20_000  # rows at once
REFRESH_S = 5.0
BIGINT, DOUBLE, BOOLEAN, DATE = "BIGINT", "DOUBLE", "BOOLEAN", "DATE"
TIMESTAMP, VARCHAR = "TIMESTAMP", "VARCHAR"
_BEGINS = {  # of a column, by how its declared type begins
    "NUMERIC": DOUBLE,
    "DECIMAL": DOUBLE,
    "BOOL": BOOLEAN,
    "DATETIME": TIMESTAMP,
    "TIMESTAMP": TIMESTAMP,
    "DATE": DATE,
}
_CONTAINS = {"INT": BIGINT, "REAL": DOUBLE, "FLOA": DOUBLE, "DOUB": DOUBLE}  # or by what is in it
_FIT = {  # SQL: whether a value is one of the type
    BIGINT: "typeof({0}) = 'integer'",
    DOUBLE: "typeof({0}) IN ('integer', 'real')",
    BOOLEAN: "typeof({0}) = 'integer' AND {0} IN (0, 1)",
    DATE: "typeof({0}) = 'text' AND date({0}) IS {0}",
    TIMESTAMP: "typeof({0}) = 'text' AND datetime({0}) IS NOT NULL",
    VARCHAR: "typeof({0}) <> 'blob'",
}
_LOG = logging.getLogger("sovereign")


def is_sqlite(path: Path) -> bool:
    """Whether the file begins as a SQLite database does."""
    try:
        with path.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


class SQLiteSource(DuckDBSource):
    """Tables of a SQLite file: a `gate.reads.sources.interface.RowSource`."""

    def __init__(
        self,
        path: Path,
        table: str = "customer",
        key: str = "id",
        related: Sequence[RelatedTable] = (),
    ) -> None:
        """Raises SourceUnavailableError."""
        self._lock = Lock()
        self._watched = _connected(path)
        self._version, self._copied_at = -1, 0.0
        super().__init__(path, table, key, related)

    def _open(self) -> Any:
        import ibis

        self._version, self._copied_at = self._data_version(), monotonic()
        backend = ibis.duckdb.connect()
        backend.con.execute(f"SET memory_limit = '{MEMORY}'")
        _, unfit = copy(
            self._path, backend.con, [self._name, *(each.name for each in self._related)]
        )
        for column, count in unfit.items():
            _LOG.warning("source: %d values of %s are none of its type: missing", count, column)
        join(backend, self._name, self.key, self._related)
        return backend

    def open(self, name: str) -> Any | None:
        """A table as an Ibis expression on its own connection, or None if it does not exist."""
        import ibis

        if name in {self._name, *(each.name for each in self._related)}:
            return super().open(name)
        backend = ibis.duckdb.connect()
        copied, _ = copy(self._path, backend.con, [name])
        return backend.table(name, database=SOURCE) if copied else None

    @property
    def _database(self) -> Any:
        with self._lock, _reporting(self._path):
            late = monotonic() - self._copied_at >= REFRESH_S
            if late and self._data_version() != self._version:
                self._backend = self._open()  # reads under way keep the earlier copy
            return self._backend

    def _data_version(self) -> int:
        """A number that changes when another connection commits."""
        return int(self._watched.execute("PRAGMA data_version").fetchone()[0])


def copy(path: Path, target: Any, names: Collection[str]) -> tuple[int, dict[str, int]]:
    """Copy the tables of these names into the schema `source` of a DuckDB connection.

    Returns how many tables there are, and how many values of a column are none of its type, by
    `table.column`, where there are any. Raises SourceUnavailableError.
    """
    target.execute(f"CREATE SCHEMA {SOURCE}")
    unfit: dict[str, int] = {}
    copied = 0
    with reading(path) as connection:
        for table in names:
            if kinds := columns(connection, table):
                _copied(connection, target, table, kinds)
                unfit |= _unfit(connection, table, kinds)
                copied += 1
    return copied, unfit


def columns(connection: sqlite3.Connection, table: str) -> dict[str, str]:
    """The columns of a table, in order, with DuckDB's name of their type."""
    rows = connection.execute(f"PRAGMA table_info({quoted(table)})").fetchall()
    return {str(name): kind(str(declared)) for _, name, declared, *_ in rows}


def kind(declared: str) -> str:
    """DuckDB's name of the type that a column declares."""
    upper = declared.upper()
    begins = (name for start, name in _BEGINS.items() if upper.startswith(start))
    contains = (name for part, name in _CONTAINS.items() if part in upper)
    return next(begins, None) or next(contains, VARCHAR)


@contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """The file in one snapshot, read-only. Raises SourceUnavailableError."""
    with _reporting(path), closing(_connected(path)) as connection:
        connection.execute("BEGIN")
        yield connection


def _connected(path: Path) -> sqlite3.Connection:
    with _reporting(path):
        address = f"{path.absolute().as_uri()}?mode=ro"
        made = sqlite3.connect(address, uri=True, check_same_thread=False, isolation_level=None)
        made.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        return made


def _copied(connection: sqlite3.Connection, target: Any, table: str, kinds: dict[str, str]) -> None:
    import pyarrow as pa

    native: dict[str, Any] = {BIGINT: pa.int64(), DOUBLE: pa.float64(), BOOLEAN: pa.int64()}
    schema = pa.schema([(name, native.get(each, pa.string())) for name, each in kinds.items()])
    declared = ", ".join(f"{quoted(name)} {each}" for name, each in kinds.items())
    place = f"{SOURCE}.{quoted(table)}"
    target.execute(f"CREATE TABLE {place} ({declared})")
    parts = ", ".join(_selected(quoted(name), each) for name, each in kinds.items())
    cast = ", ".join(f"TRY_CAST({quoted(name)} AS {each})" for name, each in kinds.items())
    rows = connection.execute(f"SELECT {parts} FROM {quoted(table)}")  # noqa: S608 - quoted
    while chunk := rows.fetchmany(COPIED):
        values = zip(zip(*chunk, strict=True), schema, strict=True)
        arrays = [pa.array(each, field.type) for each, field in values]
        target.register("chunk", pa.Table.from_arrays(arrays, schema=schema))
        target.execute(f"INSERT INTO {place} SELECT {cast} FROM chunk")  # noqa: S608 - quoted
        target.unregister("chunk")


def _selected(column: str, kind: str) -> str:
    """SQL for a value of the column's type, or null."""
    value = {DOUBLE: "CAST({0} AS REAL)", VARCHAR: "CAST({0} AS TEXT)"}.get(kind, "{0}")
    return f"CASE WHEN {_FIT[kind]} THEN {value} END".format(column)


def _unfit(connection: sqlite3.Connection, table: str, kinds: dict[str, str]) -> dict[str, int]:
    """How many values of a column are none of its type; an empty text is no value."""
    sums = ", ".join(
        f"sum({{0}} <> '' AND NOT ({_FIT[each]}))".format(quoted(name))
        for name, each in kinds.items()
    )
    counted = connection.execute(f"SELECT {sums} FROM {quoted(table)}").fetchone()  # noqa: S608 - quoted
    return {f"{table}.{name}": n for name, n in zip(kinds, counted, strict=True) if n}


@contextmanager
def _reporting(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:  # its message names tables and columns, and no value
        raise SourceUnavailableError(f"{path}: {error}; check that it is a SQLite file") from error

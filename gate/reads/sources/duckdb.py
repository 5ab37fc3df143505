"""Source of personal rows in a DuckDB database file, read through Ibis.

The customer's id may have any type; it is read and compared as DuckDB writes it.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gate.contracts.source import RelatedTable
from gate.reads.sources.interface import (
    Row,
    SourceUnavailableError,
    by_subject,
    doubled,
    one_by_one,
    representable,
    without_values,
)
from gate.reads.sources.related import quoted, require, require_sound, select, unsound

SOURCE = "source"  # where the tables are that are joined: an attached file, or a schema
_TABLES = """
SELECT DISTINCT table_name FROM information_schema.tables
WHERE 'source' IN (table_catalog, table_schema)
"""
FIRST_DAY, LAST_DAY = "0001-01-02", "9999-12-30"  # a day off, for every time zone
TABLE_FILES = {  # by their ending: how DuckDB reads them
    # No booleans among the types: `Yes` and `No` stay what the file says.
    ".csv": "read_csv(?, header = true, normalize_names = true, auto_type_candidates ="
    " ['BIGINT', 'DOUBLE', 'DATE', 'TIMESTAMP', 'VARCHAR'])",
    ".parquet": "read_parquet(?)",
}
_UNDERLINED = re.compile(r"_[a-z][a-z0-9_]*")
MEMORY = "512MB"  # for sorting and joining; larger operations spill to disk


class DuckDBSource:
    """One table of a DuckDB file, opened read-only, or a CSV or Parquet file.

    `related`: further tables of the same file, whose items are joined to it. A
    `gate.reads.sources.interface.RowSource`.

    Reads of one customer run prepared SQL, each on its own cursor, so threads do not wait for each
    other; larger reads are Ibis expressions, each on its own cursor.
    """

    def __init__(
        self,
        path: Path,
        table: str = "customer",
        key: str = "id",
        related: Sequence[RelatedTable] = (),
    ) -> None:
        """Raises SourceUnavailableError."""
        self._path, self._name, self.key, self._related = path, table, key, related
        with reporting(path):
            self._backend = self._open()
            kinds = self._backend.table(table).schema()
        self._columns = {name: _Column(name, kind, key) for name, kind in kinds.items()}

    def _open(self) -> Any:
        """The engine, with the tables of the source."""
        backend = _opened(self._path, self._name, related=bool(self._related))
        backend.con.execute(f"SET memory_limit = '{MEMORY}'")
        if self._related:
            join(backend, self._name, self.key, self._related)
        return backend

    @property
    def _database(self) -> Any:
        """The engine that the next read uses."""
        return self._backend

    def row(self, subject: str, columns: Sequence[str]) -> Row | None:
        found = self._each("= $id", {"id": subject}, columns, 1).get(subject)
        if isinstance(found, SourceUnavailableError):
            raise found
        return found

    def each_row(
        self, subjects: Sequence[str], columns: Sequence[str]
    ) -> Mapping[str, Row | SourceUnavailableError]:
        given = {"ids": [*subjects]}
        try:
            return self._each("IN (SELECT unnest($ids))", given, columns, len(subjects))
        except SourceUnavailableError:  # a value that cannot be read, or several rows, are one's
            return one_by_one(self.row, subjects, columns)

    def _each(
        self, which: str, given: Mapping[str, Any], columns: Sequence[str], number: int
    ) -> Mapping[str, Row | SourceUnavailableError]:
        """The rows of the `number` customers whose id is `which`. Raises SourceUnavailableError."""
        chosen = [self._columns[self._column(name)] for name in columns]
        parts = [*(each.value for each in chosen), *(each.unreadable for each in chosen)]
        key = self._columns[self._column(self.key)].value
        sql = f"SELECT {', '.join([key, *parts])} FROM {quoted(self._name)} WHERE {key} {which}"  # noqa: S608 - known names
        with reporting(self._name), self._database.con.cursor() as cursor:
            rows = cursor.execute(sql, given).fetchmany(number + 1)
        if len(rows) > number:
            raise SourceUnavailableError(doubled(self._name))
        values = (
            [subject, *map(_Column.aware, chosen, representable(row))] for subject, *row in rows
        )
        return by_subject(self._name, columns, values)

    def rows(self, subjects: Sequence[str], columns: Sequence[str]) -> Any:
        import ibis
        import pyarrow as pa

        wanted = ibis.memtable(pa.table({self.key: pa.array(subjects, pa.string())}))
        names = [self._column(name) for name in columns]
        return self._table().semi_join(wanted, self.key).select(*names)

    def everybody(self, columns: Sequence[str]) -> Any:
        return self._table().select(*[self._column(name) for name in columns])

    def count(self) -> int:
        sql = f"SELECT count(*) FROM {quoted(self._name)}"  # noqa: S608 - quoted
        with reporting(self._name), self._database.con.cursor() as cursor:
            row = cursor.execute(sql).fetchone()
        return int(row[0])

    def open(self, name: str) -> Any | None:
        """A table as an Ibis expression on its own connection, or None if it does not exist."""
        import ibis

        sql = "SELECT 1 FROM information_schema.tables WHERE table_name = ?"
        with reporting(name):
            database = self._database
            with database.con.cursor() as cursor:
                known = cursor.execute(sql, [name]).fetchone()
            if name == self._name:
                return self._table()
            if not known:
                return None
            return ibis.duckdb.from_connection(database.con.cursor()).table(name)

    def _table(self) -> Any:
        import ibis

        with reporting(self._name):
            table = ibis.duckdb.from_connection(self._database.con.cursor()).table(self._name)
            return table.mutate(**{each.name: each.of(table) for each in self._guarded})

    @property
    def _guarded(self) -> list["_Column"]:
        return [each for each in self._columns.values() if each.value != each.quoted]

    def _column(self, name: str) -> str:
        if name not in self._columns:
            raise SourceUnavailableError(
                f"table {self._name!r} has no column {name!r}; correct the source contract"
            )
        return name


def join(backend: Any, table: str, key: str, related: Sequence[RelatedTable]) -> None:
    """Make views of every table in `source`; that of the customers has the further tables' items.

    Raises SourceUnavailableError if a further table has two rows of a customer.
    """
    run = backend.con.execute
    tables = [name for (name,) in run(_TABLES).fetchall()]
    for each in tables:
        if each != table:
            run(f"CREATE VIEW {quoted(each)} AS FROM {SOURCE}.{quoted(each)}")
    joined = []
    for each in related:
        place = f"{SOURCE}.{quoted(each.name)}"
        joined.append((each, place, _types(run, place)))
        require(each.name, joined[-1][2], (each.key, *each.items))
        require_sound(each, *run(unsound(place, each.key)).fetchone())
    place = f"{SOURCE}.{quoted(table)}"
    sql = select(place, key, _types(run, place), joined)
    run(f"CREATE VIEW {quoted(table)} AS {sql}")


def _types(run: Any, place: str) -> dict[str, str]:
    return {name: kind for name, kind, *_ in run(f"DESCRIBE {place}").fetchall()}


def _opened(path: Path, table: str, *, related: bool) -> Any:
    """A DuckDB file; or a CSV or Parquet file as one table, whose rows are read into memory.

    With related tables a DuckDB file is attached as `source`. A CSV's column names become lower
    case, with an underscore for what is no letter or digit.
    """
    import ibis

    if (read := TABLE_FILES.get(path.suffix)) is None:
        if not related:
            return ibis.duckdb.connect(path, read_only=True)
        backend = ibis.duckdb.connect()
        place = str(path).replace("'", "''")
        backend.con.execute(f"ATTACH '{place}' AS {SOURCE} (READ_ONLY)")
        return backend
    if related:
        raise SourceUnavailableError(f"{path} is one table, want a database for related tables")
    path.open("rb").close()  # DuckDB would take a missing file for a pattern
    backend = ibis.duckdb.connect()
    backend.con.execute(f"CREATE TABLE {quoted(table)} AS FROM {read}", [str(path)])
    for found, name in plain_names([*_types(backend.con.execute, quoted(table))]).items():
        renamed = f"ALTER TABLE {quoted(table)} RENAME {quoted(found)} TO {quoted(name)}"
        backend.con.execute(renamed)
    return backend


def plain_names(columns: Sequence[str]) -> dict[str, str]:
    """Columns of a file that DuckDB named `_name`, as it does where `name` is a word of SQL."""
    plain = {each: each.removeprefix("_") for each in columns if _UNDERLINED.fullmatch(each)}
    return {found: name for found, name in plain.items() if name not in columns}


@dataclass(frozen=True, slots=True)
class _Column:
    """A column, and how it is selected. The key is text; a day or moment that is infinite, BC or
    after 9999 has no representation outside DuckDB."""

    name: str
    kind: Any  # Ibis type
    key: str

    @property
    def quoted(self) -> str:
        return quoted(self.name)

    @property
    def value(self) -> str:
        """SQL: the representation, or null."""
        if self.name == self.key and not self.kind.is_string():
            return f"CAST({self.quoted} AS VARCHAR)"
        if self._dated:
            # DuckDB hands out a moment with a zone only where pytz is installed: see `aware`.
            moment = f"make_timestamp(epoch_us({self.quoted}))" if self._zoned else self.quoted
            return f"CASE WHEN {self._finite} THEN {moment} END"
        return self.quoted

    @property
    def unreadable(self) -> str:
        """SQL: whether the value is one without a representation."""
        return f"({self.quoted} IS NOT NULL AND NOT ({self._finite}))" if self._dated else "FALSE"

    def of(self, table: Any) -> Any:
        """The same as `value`, as an Ibis expression."""
        import ibis

        column = table[self.name]
        if not self._dated:
            return column.cast("string")
        first, last = (ibis.literal(each).cast(self.kind) for each in (FIRST_DAY, LAST_DAY))
        return ibis.ifelse(column.between(first, last), column, ibis.null(self.kind))

    def aware(self, value: Any) -> Any:
        """A value of one customer; a moment with a zone in UTC."""
        return value.replace(tzinfo=UTC) if self._zoned and isinstance(value, datetime) else value

    @property
    def _dated(self) -> bool:
        return bool(self.kind.is_date() or self.kind.is_timestamp())

    @property
    def _zoned(self) -> bool:
        return bool(self.kind.is_timestamp() and self.kind.timezone)

    @property
    def _finite(self) -> str:
        return f"{self.quoted} BETWEEN '{FIRST_DAY}' AND '{LAST_DAY}'"


@contextmanager
def reporting(what: object) -> Iterator[None]:
    """Translate DuckDB's errors to SourceUnavailableError."""
    import duckdb

    try:
        yield
    except (duckdb.Error, OSError) as error:
        raise SourceUnavailableError(f"{what}: {without_values(error)}") from error

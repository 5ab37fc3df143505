"""Source of personal rows in a DuckDB database file, read through Ibis."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gate.reads.sources.interface import (
    SourceUnavailableError,
    only_row,
    representable,
    without_values,
)

FIRST_DAY, LAST_DAY = "0001-01-02", "9999-12-30"  # a day off, for every time zone
MEMORY = "512MB"  # for sorting and joining; larger operations spill to disk


class DuckDBSource:
    """One table of a DuckDB file, opened read-only: a `gate.reads.sources.interface.RowSource`.

    Reads of one customer run prepared SQL, each on its own cursor, so threads do not wait for each
    other; larger reads are Ibis expressions, each on its own cursor.
    """

    def __init__(self, path: Path, table: str = "customer", key: str = "id") -> None:
        import ibis

        with _reporting(path):
            self._backend = ibis.duckdb.connect(path, read_only=True)
            self._backend.con.execute(f"SET memory_limit = '{MEMORY}'")
            kinds = self._backend.table(table).schema()
        self._name, self.key = table, key
        self._columns = {name: _Column(name, kind, key) for name, kind in kinds.items()}

    def row(self, subject: str, columns: Sequence[str]) -> Mapping[str, Any] | None:
        chosen = [self._columns[self._column(name)] for name in columns]
        parts = ", ".join([*(each.value for each in chosen), *(each.unreadable for each in chosen)])
        key = self._columns[self._column(self.key)].value
        sql = f'SELECT {parts} FROM "{self._name}" WHERE {key} = ?'  # noqa: S608 - known names
        with _reporting(self._name), self._backend.con.cursor() as cursor:
            rows = cursor.execute(sql, [subject]).fetchmany(2)
        values = [map(_Column.aware, chosen, representable(row)) for row in rows]
        return only_row(self._name, columns, [[*each] for each in values])

    def rows(self, subjects: Sequence[str], columns: Sequence[str]) -> Any:
        import ibis
        import pyarrow as pa

        wanted = ibis.memtable(pa.table({self.key: pa.array(subjects, pa.string())}))
        names = [self._column(name) for name in columns]
        return self._table().semi_join(wanted, self.key).select(*names)

    def everybody(self, columns: Sequence[str]) -> Any:
        return self._table().select(*[self._column(name) for name in columns])

    def count(self) -> int:
        with _reporting(self._name), self._backend.con.cursor() as cursor:
            row = cursor.execute(f'SELECT count(*) FROM "{self._name}"').fetchone()  # noqa: S608 - known
        return int(row[0])

    def open(self, name: str) -> Any | None:
        """A table as an Ibis expression, or None if it does not exist; for contract checks only."""
        sql = "SELECT 1 FROM information_schema.tables WHERE table_name = ?"
        with _reporting(name):
            with self._backend.con.cursor() as cursor:
                known = cursor.execute(sql, [name]).fetchone()
            if name == self._name:
                return self._table()
            return self._backend.table(name) if known else None

    def _table(self) -> Any:
        import ibis

        with _reporting(self._name):
            table = ibis.duckdb.from_connection(self._backend.con.cursor()).table(self._name)
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


@dataclass(frozen=True, slots=True)
class _Column:
    """A column, and how it is selected. The key is text; a day or moment that is infinite, BC or
    after 9999 has no representation outside DuckDB."""

    name: str
    kind: Any  # Ibis type
    key: str

    @property
    def quoted(self) -> str:
        return f'"{self.name}"'

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
def _reporting(what: object) -> Iterator[None]:
    """Translate DuckDB's errors to SourceUnavailableError."""
    import duckdb

    try:
        yield
    except (duckdb.Error, OSError) as error:
        raise SourceUnavailableError(f"{what}: {without_values(error)}") from error

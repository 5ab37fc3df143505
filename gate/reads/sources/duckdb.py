"""Source of personal rows in a DuckDB database file, read through Ibis."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gate.reads.sources.interface import SourceUnavailableError

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
            self._known = frozenset(self._backend.table(table).columns)
        self._name, self.key = table, key

    def row(self, subject: str, columns: Sequence[str]) -> Mapping[str, Any] | None:
        names = ", ".join(f'"{self._column(name)}"' for name in columns)
        sql = f'SELECT {names} FROM "{self._name}" WHERE "{self.key}" = ?'  # noqa: S608 - known names
        with _reporting(self._name), self._backend.con.cursor() as cursor:
            values = cursor.execute(sql, [subject]).fetchone()
        return None if values is None else dict(zip(columns, values, strict=True))

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
            return self._backend.table(name) if known else None

    def _table(self) -> Any:
        import ibis

        with _reporting(self._name):
            return ibis.duckdb.from_connection(self._backend.con.cursor()).table(self._name)

    def _column(self, name: str) -> str:
        if name not in self._known:
            raise SourceUnavailableError(
                f"table {self._name!r} has no column {name!r}; correct the source contract"
            )
        return name


@contextmanager
def _reporting(what: object) -> Iterator[None]:
    """Translate DuckDB's errors to SourceUnavailableError."""
    import duckdb

    try:
        yield
    except (duckdb.Error, OSError) as error:
        raise SourceUnavailableError(f"{what}: {error}") from error

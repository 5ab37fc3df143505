"""The interface of a source of personal rows, which one module per engine implements."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol


class SourceUnavailableError(Exception):
    """The source failed. The gate then returns no personal data, and the reason."""


class RowSource(Protocol):
    """One table of personal rows, one row per customer. Thread-safe and read-only.

    Each Ibis table it returns has its own connection, so that concurrent reads neither wait for nor
    end each other.
    """

    @property
    def key(self) -> str:
        """The column with the customer's id."""
        ...

    def row(self, subject: str, columns: Sequence[str]) -> Mapping[str, Any] | None:
        """One customer's values, or None if the source has no such customer."""
        ...

    def rows(self, subjects: Sequence[str], columns: Sequence[str]) -> Any:
        """An Ibis table: `columns` of exactly these customers, joined inside the source."""
        ...

    def everybody(self, columns: Sequence[str]) -> Any:
        """An Ibis table: `columns` of all customers, for scenes based on the contract itself."""
        ...

    def count(self) -> int:
        """How many customers the source holds."""
        ...


def batches(rows: Any, size: int) -> tuple[Any, Iterator[Any]]:
    """The Arrow schema of an Ibis table of a source, and its record batches of `size` rows.

    Only one batch is in memory at a time. The table's connection closes with the last batch or with
    the iterator. Raises the engine's errors, at the call or while iterating.
    """
    reader = _reader(rows, size)
    return reader.schema, _to_the_end(reader, rows.get_backend())


def _reader(rows: Any, size: int) -> Any:
    backend = rows.get_backend()
    if backend.name != "duckdb":
        return rows.to_pyarrow_batches(chunk_size=size)
    # Ibis 12 calls a method that DuckDB 2 no longer has; `execute` would load all rows.
    backend._run_pre_execute_hooks(rows)  # noqa: SLF001 - registers in-memory tables
    return backend.con.sql(backend.compile(rows)).to_arrow_reader(size)


def _to_the_end(reader: Any, backend: Any) -> Iterator[Any]:
    try:
        yield from reader
    finally:
        backend.disconnect()

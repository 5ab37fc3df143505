"""Where personal rows live. One adapter file per engine, all behind `Source`."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol


class SourceUnavailableError(Exception):
    """The source could not answer; the gate then answers no personal data and says why."""


class RowSource(Protocol):
    """One table of personal rows, one row per customer. Thread-safe. Reads only.

    Each Ibis table that it hands out has a connection of its own, so that nobody waits for, or
    ends, what somebody else is still reading.
    """

    @property
    def key(self) -> str:
        """The column that names the customer."""
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

    Only a batch is held. The table's connection ends with the last batch, or when the iterator is
    closed. Raises what the engine raises, now or while it is read.
    """
    reader = _reader(rows, size)
    return reader.schema, _to_the_end(reader, rows.get_backend())


def _reader(rows: Any, size: int) -> Any:
    backend = rows.get_backend()
    if backend.name != "duckdb":
        return rows.to_pyarrow_batches(chunk_size=size)
    # ibis 12 asks duckdb 2 for a method that it no longer has; `execute` would hold all rows.
    backend._run_pre_execute_hooks(rows)  # noqa: SLF001 - registers what is in memory
    return backend.con.sql(backend.compile(rows)).to_arrow_reader(size)


def _to_the_end(reader: Any, backend: Any) -> Iterator[Any]:
    try:
        yield from reader
    finally:
        backend.disconnect()

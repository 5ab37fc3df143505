"""The interface of a source of personal rows, which one module per engine implements."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import Enum
from typing import Any, Protocol, runtime_checkable


class SourceUnavailableError(Exception):
    """The source failed. The gate then returns no personal data, and the reason."""


class SourceDownError(SourceUnavailableError):
    """It did not answer at all, so it will not answer others either."""


class Unreadable(Enum):
    """A value of one customer that has no representation outside the source, such as infinity."""

    UNREADABLE = "unreadable"


UNREADABLE = Unreadable.UNREADABLE


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
        """One customer's values, or None if the source has no such customer.

        A value that cannot be represented is UNREADABLE. Raises SourceUnavailableError, also if the
        customer has several rows: none is theirs alone.
        """
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


Row = Mapping[str, Any]


@runtime_checkable
class GroupedRowSource(Protocol):
    """A source that reads several customers in one query. Thread-safe and read-only."""

    def each_row(
        self, subjects: Sequence[str], columns: Sequence[str]
    ) -> Mapping[str, Row | SourceUnavailableError]:
        """What `row` returns for each of them, or raises; without those whom it does not have.

        Raises SourceUnavailableError for all of them.
        """
        ...


def each_row(
    source: RowSource, subjects: Sequence[str], columns: Sequence[str]
) -> Mapping[str, Row | SourceUnavailableError]:
    """The rows of these customers, in one query where the source can; what `row` raises for one of
    them is in their place. Never raises SourceUnavailableError.
    """
    if len(subjects) > 1 and isinstance(source, GroupedRowSource):
        try:
            return source.each_row(subjects, columns)
        except SourceUnavailableError as error:
            return dict.fromkeys(subjects, error)
    return one_by_one(source.row, subjects, columns)


def one_by_one(
    row: Callable[[str, Sequence[str]], Row | None], subjects: Sequence[str], columns: Sequence[str]
) -> dict[str, Row | SourceUnavailableError]:
    """The same, a query for each."""
    found: dict[str, Row | SourceUnavailableError] = {}
    for each in subjects:
        try:
            if (values := row(each, columns)) is not None:
                found[each] = values
        except SourceUnavailableError as error:
            found[each] = error
    return found


def by_subject(
    table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]
) -> dict[str, Row | SourceUnavailableError]:
    """Rows that begin with the customer's id, each one's in their place.

    In the place of a customer who has several is the error.
    """
    found: dict[str, Row | SourceUnavailableError] = {}
    for subject, *values in rows:
        alone = subject not in found
        found[subject] = (
            dict(zip(columns, values, strict=True))
            if alone
            else SourceUnavailableError(doubled(table))
        )
    return found


def doubled(where: str) -> str:
    """What is wrong with a table that has several rows of one customer."""
    return f"{where}: a customer has several rows, want one; run sovereign contracts check"


def representable(row: Sequence[Any]) -> list[Any]:
    """The values of a row whose second half says which of them have no representation."""
    half = len(row) // 2
    marked = zip(row[:half], row[half:], strict=True)
    return [UNREADABLE if unreadable else value for value, unreadable in marked]


def without_values(error: BaseException) -> str:
    """What an engine's error may say in a message or a log: its type, and its first line only where
    it is about tables, columns, files or connections. Other messages quote customers' values."""
    state = getattr(error, "sqlstate", None) or ""
    named = type(error).__name__ in _ABOUT_TABLES or state[:2] in _ABOUT_CONNECTIONS
    first = str(error).strip().partition("\n")[0]
    return first if named and first else type(error).__name__


_ABOUT_TABLES = frozenset(  # classes of DuckDB, psycopg, its pool, Ibis and Python
    {"BinderException", "CatalogException", "ConnectionException", "ConnectionTimeout"}
    | {"FileNotFoundError", "IOException", "OperationalError", "PoolTimeout"}
    | {"SourceDownError", "SourceUnavailableError", "TableNotFound"}
)
_ABOUT_CONNECTIONS = frozenset({"08", "25", "28", "3D", "42", "53", "55", "57"})  # SQLSTATE classes


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

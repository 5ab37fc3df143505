"""Statements that run on a raw SQLite connection or on PostgreSQL.

A statement of SQLAlchemy is compiled once for SQLite, where building it would cost more than
running it. PostgreSQL runs it through its engine.

    BUNDLE = Query(select(table.c.data).where(table.c["index"] == bindparam("wanted")))
    rows = [*connection.all(BUNDLE, wanted=7)]
"""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

from sqlalchemy import Column, Executable, Table, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

Slices = Callable[[int, int], bytes]  # offset, length -> bytes of a stored blob
PAGE = 4096  # bytes that PostgreSQL is asked for at once, of a blob that is searched
_SQLITE = sqlite.dialect()


class Query:
    """A statement with named parameters."""

    __slots__ = ("core", "names", "sqlite")

    def __init__(self, core: Executable) -> None:
        compiled = core.compile(dialect=_SQLITE)  # type: ignore[attr-defined]
        self.core = core
        self.sqlite = str(compiled)
        self.names: Sequence[str] = compiled.positiontup or ()


class Put:
    """Inserts rows, in the order of the table's columns.

    `replaced`: the columns that replace those of a row with the same key; none: such a row stays.
    """

    __slots__ = ("cores", "names", "sqlite")

    def __init__(self, table: Table, *replaced: str) -> None:
        self.names = [column.name for column in table.columns]
        self.cores: dict[str, Executable] = {}
        for name, dialect in (("sqlite", sqlite), ("postgresql", postgresql)):
            statement = dialect.insert(table)
            if replaced:
                new = {name: statement.excluded[name] for name in replaced}
                statement = statement.on_conflict_do_update(
                    index_elements=[*table.primary_key], set_=new
                )
            else:
                statement = statement.on_conflict_do_nothing()
            self.cores[name] = statement
        self.sqlite = str(self.cores["sqlite"].compile(dialect=_SQLITE))  # type: ignore[attr-defined]

    def on(self, connection: Connection) -> Executable:
        """The statement for a connection of an engine."""
        return self.cores[connection.dialect.name]


class StatementRunner(Protocol):
    """One connection. Not thread-safe."""

    def all(self, query: Query, **values: Any) -> Iterator[Sequence[Any]]: ...
    def run(self, query: Query, **values: Any) -> int:
        """Run a statement that changes rows; returns how many."""
        ...

    def put(self, put: Put, rows: Sequence[Sequence[Any]]) -> int: ...
    def blob(self, column: Column[Any], number: int) -> AbstractContextManager[Slices]:
        """Reads parts of a blob, whose row has the primary key `number`."""
        ...


class SqliteRunner:
    """Runs statements on a raw connection, which is several times faster than through an engine."""

    def __init__(self, raw: sqlite3.Connection) -> None:
        self._raw = raw

    def all(self, query: Query, **values: Any) -> Iterator[Sequence[Any]]:
        return self._raw.execute(query.sqlite, [values[name] for name in query.names])

    def run(self, query: Query, **values: Any) -> int:
        return self._raw.execute(query.sqlite, [values[name] for name in query.names]).rowcount

    def put(self, put: Put, rows: Sequence[Sequence[Any]]) -> int:
        return self._raw.executemany(put.sqlite, rows).rowcount

    @contextmanager
    def blob(self, column: Column[Any], number: int) -> Iterator[Slices]:
        with self._raw.blobopen(column.table.name, column.name, number, readonly=True) as opened:

            def part(offset: int, length: int) -> bytes:
                opened.seek(offset)
                return opened.read(length)

            yield part


class PostgresRunner:
    """Runs statements on a connection of an engine."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection.execution_options(preserve_rowcount=True)

    def all(self, query: Query, **values: Any) -> Iterator[Sequence[Any]]:
        return iter(self._connection.execute(query.core, values))

    def run(self, query: Query, **values: Any) -> int:
        return self._connection.execute(query.core, values).rowcount

    def put(self, put: Put, rows: Sequence[Sequence[Any]]) -> int:
        if not rows:
            return 0
        named = [dict(zip(put.names, row, strict=True)) for row in rows]
        return self._connection.execute(put.on(self._connection), named).rowcount

    @contextmanager
    def blob(self, column: Column[Any], number: int) -> Iterator[Slices]:
        (key,) = column.table.primary_key
        pages: dict[int, bytes] = {}

        def page(at: int) -> bytes:
            if at not in pages:
                part = select(func.substr(column, at * PAGE + 1, PAGE)).where(key == number)
                pages[at] = bytes(self._connection.execute(part).scalar_one())
            return pages[at]

        def part(offset: int, length: int) -> bytes:
            first, last = offset // PAGE, (offset + length - 1) // PAGE
            together = b"".join(page(at) for at in range(first, last + 1))
            return together[offset - first * PAGE :][:length]

        yield part

"""The case store: the position in the consent log, cases, and the outbox, in one schema.

steward.storage.cases has its tables.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy.engine import Connection

from ledger.storage import database
from steward.storage.cases import CASES

DATABASE = CASES.file


class CaseStore:
    """The cases and notices of the data directory `home`. Several processes may share it.

    Thread-safe. A `writing` block is one transaction: durable after it, rolled back by an exception
    or a crash. Raises SchemaVersionError, DatabaseError.
    """

    def __init__(self, home: Path) -> None:
        self._database = database.of(home)
        self._engine = self._database.engine(CASES)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection with a consistent snapshot."""
        with database.reading(self._engine) as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """One transaction with the write lock: nobody else is in one."""
        with database.exclusive(self._engine) as connection:
            yield connection
            # Crash before this line: nothing is written. After the commit: everything is.

    def truncate_log(self) -> None:
        """Remove from SQLite's write-ahead log what was overwritten in the tables."""
        database.truncate_log(self._engine)

    def close(self) -> None:
        self._engine.dispose()


def stamp(at: datetime) -> str:
    """Whole seconds in UTC, in a text form that sorts by time."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def moment(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)

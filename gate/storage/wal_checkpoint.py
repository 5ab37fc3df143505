"""Checkpoints the write-ahead log (WAL) of a log's database in a background thread.

By default SQLite checkpoints within every few hundredth commit, which then waits for a copy of
megabytes and two more syncs. Here a thread does it while commits continue. SQLite restarts the WAL
at the next commit that finds all of it copied. If that never happens, the writer's own limit
(`MAX_PAGES`) copies the rest within a commit.
"""

from contextlib import closing, suppress
from threading import Lock, Thread

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

EVERY = 32  # commits
MAX_PAGES = 16_384  # of 4 KiB, in the WAL


class Folding:
    """Checkpoints one SQLite database. Thread-safe; no data is lost if a checkpoint fails."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._commits = 0
        self._under_way = Lock()

    def committed(self) -> None:
        """Call after every commit; returns at once."""
        self._commits += 1
        if self._commits % EVERY == 0 and self._under_way.acquire(blocking=False):
            Thread(target=self._fold, name="fold", daemon=True).start()

    def _fold(self) -> None:
        try:
            with (
                suppress(SQLAlchemyError, OSError, *_driver_errors(self._engine)),
                closing(self._engine.raw_connection()) as connection,
            ):
                connection.cursor().execute("PRAGMA wal_checkpoint(PASSIVE)")
        finally:
            self._under_way.release()


def _driver_errors(engine: Engine) -> tuple[type[Exception], ...]:
    return (engine.dialect.loaded_dbapi.Error,)

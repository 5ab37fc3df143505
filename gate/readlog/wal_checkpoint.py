"""Checkpoints the write-ahead log (WAL) of a log's database in a background thread.

By default SQLite checkpoints within every few hundredth commit, which then waits for a copy of
megabytes and two more syncs. Here a thread does it while commits continue. SQLite restarts the WAL
at the next commit that finds all of it copied. If that never happens, the writer's own limit
(`MAX_PAGES`) copies the rest within a commit.
"""

import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from threading import Lock, Thread

EVERY = 32  # commits
MAX_PAGES = 16_384  # of 4 KiB, in the WAL


class Folding:
    """Checkpoints one database. Thread-safe; no data is lost if a checkpoint fails or is late."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._commits = 0
        self._under_way = Lock()

    def committed(self) -> None:
        """Call after every commit; returns at once."""
        self._commits += 1
        if self._commits % EVERY == 0 and self._under_way.acquire(blocking=False):
            Thread(target=self._fold, name="fold", daemon=True).start()

    def _fold(self) -> None:
        try:
            with suppress(sqlite3.Error), closing(sqlite3.connect(self._path)) as database:
                database.execute("PRAGMA wal_checkpoint(PASSIVE)")
        finally:
            self._under_way.release()

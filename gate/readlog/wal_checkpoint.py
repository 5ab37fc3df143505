"""Folds what the write-ahead file of a log holds into its database, beside the commits.

By itself SQLite does so within every some-hundredth commit, which then waits for a copy of
megabytes and two more syncs. Here a thread does it while commits go on. SQLite begins the file anew
at the next commit that finds all of it copied; should commits never leave it such a moment, the
writer's own limit (`MAX_PAGES`) copies the rest within a commit.
"""

import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from threading import Lock, Thread

EVERY = 32  # commits
MAX_PAGES = 16_384  # of 4 KiB, in the write-ahead file


class Folding:
    """Of one database. Thread-safe; nothing is lost if a fold fails or never comes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._commits = 0
        self._under_way = Lock()

    def committed(self) -> None:
        """To be told after every commit; returns at once."""
        self._commits += 1
        if self._commits % EVERY == 0 and self._under_way.acquire(blocking=False):
            Thread(target=self._fold, name="fold", daemon=True).start()

    def _fold(self) -> None:
        try:
            with suppress(sqlite3.Error), closing(sqlite3.connect(self._path)) as database:
                database.execute("PRAGMA wal_checkpoint(PASSIVE)")
        finally:
            self._under_way.release()

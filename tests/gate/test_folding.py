"""The write-ahead file of a read log stays bounded, and nothing is lost by folding it."""

import sqlite3
import time
from contextlib import closing
from pathlib import Path

from gate.storage import wal_checkpoint
from gate.storage.wal_checkpoint import Folding
from ledger.storage.database import sqlite_engine


def test_commits_fold_the_write_ahead_file_beside_them_and_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "log.sqlite"
    with closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.executescript("PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0;")
        writer.execute("CREATE TABLE t (n INTEGER, data BLOB)")
        held = Folding(sqlite_engine(path))
        for n in range(40 * wal_checkpoint.EVERY):
            writer.execute("INSERT INTO t VALUES (?, zeroblob(4000))", [n])
            held.committed()
        deadline = time.monotonic() + 180
        while path.stat().st_size < 1 << 20 and time.monotonic() < deadline:
            held.committed()
            time.sleep(0.001)
        assert path.stat().st_size >= 1 << 20, "pages were copied into the database"
        found = writer.execute("SELECT n FROM t ORDER BY n").fetchall()
    assert [n for (n,) in found] == [*range(40 * wal_checkpoint.EVERY)]


def test_a_fold_that_fails_hurts_nobody_and_the_next_one_is_tried(tmp_path: Path) -> None:
    held = Folding(sqlite_engine(tmp_path / "missing" / "log.sqlite"))
    for _ in range(3):
        for _ in range(wal_checkpoint.EVERY):
            held.committed()
        assert held._under_way.acquire(timeout=180)
        held._under_way.release()

"""Whose each entry of a read log is: private, beside the log, written in the same transactions.

    owner   one row a bundle of 256 entries: their pseudonyms of 16 bytes, in order of the entries
    run     one row for 16,384 entries: the first 8 bytes of their pseudonyms, sorted, and where
            each of them stands

Pseudonyms come from customers' keys, so only who holds a key finds its entries. Rows are written
one after the other, never into the middle of an index that grows with the log; runs find one
customer's entries among millions without reading all of them. The view `reading` lists everything
as (pseudonym, entry).
"""

import sqlite3
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence

import numpy as np

from ledger import tile

SIZE = 16  # bytes of a pseudonym
NOBODY = bytes(SIZE)  # whose a cohort's entry is
RUN = 64 * tile.WIDTH  # entries
_HEAD = 8  # bytes of a pseudonym that a run sorts by
SCHEMA = """
CREATE TABLE IF NOT EXISTS owner (bundle INTEGER PRIMARY KEY, names BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS run (number INTEGER PRIMARY KEY, heads BLOB NOT NULL, at BLOB NOT NULL);
CREATE VIEW IF NOT EXISTS reading AS
    WITH RECURSIVE place(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM place WHERE n < 255)
    SELECT substr(names, 16 * n + 1, 16) AS pseudonym, 256 * bundle + n AS entry
    FROM owner JOIN place ON n < length(names) / 16;
"""
_PUT = "INSERT INTO owner VALUES (?, ?) ON CONFLICT DO UPDATE SET names = excluded.names"


class Owners:
    """The writing side, for the connection and within the transactions of the log's writer."""

    def __init__(self, database: sqlite3.Connection, size: int) -> None:
        self._database = database
        database.executescript(SCHEMA)
        self._names = self._stored(size // tile.WIDTH)[: size % tile.WIDTH * SIZE]

    def put(self, names: Sequence[bytes], first: int) -> bytes:
        """Write the pseudonyms of the entries from `first` on; what `settle` is to be told."""
        bundle, filled = divmod(first, tile.WIDTH)
        at, current = 0, self._names
        while at < len(names):
            step = names[at : at + tile.WIDTH - filled]
            current += b"".join(step)
            self._database.execute(_PUT, (bundle, current))
            at, filled = at + len(step), filled + len(step)
            if filled == tile.WIDTH:
                bundle, filled, current = bundle + 1, 0, b""
        for number in range(first // RUN, (first + len(names)) // RUN):
            self._sort(number)
        return current

    def settle(self, put: bytes) -> None:
        """What was put is durable."""
        self._names = put

    def _stored(self, bundle: int) -> bytes:
        found = self._database.execute("SELECT names FROM owner WHERE bundle = ?", [bundle])
        row = found.fetchone()
        return b"" if row is None else bytes(row[0])

    def _sort(self, number: int) -> None:
        first = number * RUN // tile.WIDTH
        rows = self._database.execute(
            "SELECT names FROM owner WHERE bundle >= ? AND bundle < ? ORDER BY bundle",
            (first, first + RUN // tile.WIDTH),
        )
        names = np.frombuffer(b"".join(row[0] for row in rows), ">u8").reshape(-1, SIZE // _HEAD)
        order = np.argsort(names[:, 0], kind="stable")
        heads, at = names[order, 0].tobytes(), order.astype(">u2").tobytes()
        self._database.execute("INSERT OR REPLACE INTO run VALUES (?, ?, ?)", (number, heads, at))


def of(database: sqlite3.Connection, pseudonym: bytes, size: int) -> Iterator[int]:
    """The entries below `size` that may be this pseudonym's, newest first.

    Now and then one that is not: eight bytes of two pseudonyms are equal once in 2^64. Whoever
    reads the entry checks its tag.
    """
    runs = [row[0] for row in database.execute("SELECT number FROM run ORDER BY number DESC")]
    sorted_below = (runs[0] + 1) * RUN if runs else 0
    yield from _unsorted(database, pseudonym, range(sorted_below, size))
    for number in runs:
        yield from (each for each in _in_run(database, number, pseudonym) if each < size)


def _unsorted(database: sqlite3.Connection, pseudonym: bytes, entries: range) -> Iterator[int]:
    rows = database.execute(
        "SELECT bundle, names FROM owner WHERE bundle >= ? ORDER BY bundle DESC",
        [entries.start // tile.WIDTH],
    )
    for bundle, names in rows:
        held = [names[at : at + SIZE] for at in range(0, len(names), SIZE)]
        places = (
            bundle * tile.WIDTH + n for n in reversed(range(len(held))) if held[n] == pseudonym
        )
        yield from (each for each in places if each in entries)


def _in_run(database: sqlite3.Connection, number: int, pseudonym: bytes) -> Iterator[int]:
    """A search by halves that reads a few pages of the run, not all of it."""
    wanted = pseudonym[:_HEAD]
    with database.blobopen("run", "heads", number, readonly=True) as heads:

        def head(place: int) -> bytes:
            heads.seek(place * _HEAD)
            return bytes(heads.read(_HEAD))

        first = bisect_left(range(RUN), wanted, key=head)
        last = bisect_right(range(RUN), wanted, lo=first, key=head)
    if first == last:
        return
    with database.blobopen("run", "at", number, readonly=True) as at:
        at.seek(2 * first)
        found = np.frombuffer(at.read(2 * (last - first)), ">u2")
    yield from (number * RUN + int(each) for each in found[::-1])

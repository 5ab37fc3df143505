"""The private index of a read log: which entry belongs to which customer's pseudonym.

It is written in the same transactions as the log, to these tables of its database:

    owner   one row per bundle of 256 entries: their pseudonyms of 16 bytes, in entry order
    run     one row per 16,384 entries: the first 8 bytes of their pseudonyms, sorted, and their
            positions
    list    one row per batch entry: the number of its first decision, counted over all batch
            entries, and the list itself (gate.readlog.batch_entry)
    member, member_run  like `owner` and `run`, for the decisions in those lists

Pseudonyms are derived from customers' keys, so only the holder of a key finds its entries. Rows are
only appended, so writing does not slow down as the log grows; runs find one customer's entries
among millions without reading all of them. The view `reading` lists (pseudonym, entry) pairs.
"""

import sqlite3
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from ledger.tlog import tiles

SIZE = 16  # bytes of a pseudonym
NOBODY = bytes(SIZE)  # the pseudonym of entries about cohorts
RUN = 64 * tiles.WIDTH  # entries per run
_HEAD = 8  # bytes of a pseudonym that runs are sorted by
_NAMES = """
CREATE TABLE IF NOT EXISTS {0} (bundle INTEGER PRIMARY KEY, names BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS {1} (number INTEGER PRIMARY KEY, heads BLOB NOT NULL, at BLOB NOT NULL);
"""
_LISTS = """
CREATE TABLE IF NOT EXISTS list
    (entry INTEGER PRIMARY KEY, first INTEGER UNIQUE NOT NULL, data BLOB NOT NULL);
CREATE VIEW IF NOT EXISTS reading AS
    WITH RECURSIVE place(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM place WHERE n < 255)
    SELECT substr(names, 16 * n + 1, 16) AS pseudonym, 256 * bundle + n AS entry
    FROM owner JOIN place ON n < length(names) / 16;
"""


Put = tuple[bytes, int]  # pseudonyms of the last bundle, number of all pseudonyms


class Named(NamedTuple):
    """The names of a pair of tables: pseudonyms in entry order, and sorted runs."""

    names: str
    runs: str


ENTRIES, MEMBERS = Named("owner", "run"), Named("member", "member_run")
SCHEMA = _NAMES.format(*ENTRIES) + _NAMES.format(*MEMBERS) + _LISTS


class Membership:
    """Writes pseudonyms, on the connection and in the transactions of the log's writer."""

    def __init__(
        self, database: sqlite3.Connection, size: int | None = None, what: Named = ENTRIES
    ) -> None:
        """`size`: how many pseudonyms are valid; None: all that are stored."""
        self._database, self._what = database, what
        database.executescript(SCHEMA)
        self.size = self._written() if size is None else size
        self._names = self._stored(self.size // tiles.WIDTH)[: self.size % tiles.WIDTH * SIZE]

    def put(self, names: Sequence[bytes], first: int) -> "Put":
        """Write the pseudonyms of entries from `first` on; pass the result to `settle`."""
        bundle, filled = divmod(first, tiles.WIDTH)
        at, current, put = 0, self._names, _PUT.format(*self._what)
        while at < len(names):
            step = names[at : at + tiles.WIDTH - filled]
            current += b"".join(step)
            self._database.execute(put, (bundle, current))
            at, filled = at + len(step), filled + len(step)
            if filled == tiles.WIDTH:
                bundle, filled, current = bundle + 1, 0, b""
        for number in range(first // RUN, (first + len(names)) // RUN):
            self._sort(number)
        return current, first + len(names)

    def settle(self, put: "Put") -> None:
        """Tell the index that the transaction of `put` was committed."""
        self._names, self.size = put

    def _written(self) -> int:
        last = self._database.execute(_LAST.format(*self._what)).fetchone()
        bundle, length = last or (0, 0)
        return int(bundle * tiles.WIDTH + length // SIZE)

    def _stored(self, bundle: int) -> bytes:
        row = self._database.execute(_ONE.format(*self._what), [bundle]).fetchone()
        return b"" if row is None else bytes(row[0])

    def _sort(self, number: int) -> None:
        first = number * RUN // tiles.WIDTH
        query = _BETWEEN.format(*self._what)
        rows = self._database.execute(query, (first, first + RUN // tiles.WIDTH))
        names = np.frombuffer(b"".join(row[0] for row in rows), ">u8").reshape(-1, SIZE // _HEAD)
        order = np.argsort(names[:, 0], kind="stable")
        heads, at = names[order, 0].tobytes(), order.astype(">u2").tobytes()
        self._database.execute(_PUT_RUN.format(*self._what), (number, heads, at))


_PUT = "INSERT INTO {0} VALUES (?, ?) ON CONFLICT DO UPDATE SET names = excluded.names"
_PUT_RUN = "INSERT OR REPLACE INTO {1} VALUES (?, ?, ?)"
_ONE = "SELECT names FROM {0} WHERE bundle = ?"
_LAST = "SELECT bundle, length(names) FROM {0} ORDER BY bundle DESC LIMIT 1"
_BETWEEN = "SELECT names FROM {0} WHERE bundle >= ? AND bundle < ? ORDER BY bundle"
_DOWN_TO = "SELECT bundle, names FROM {0} WHERE bundle >= ? ORDER BY bundle DESC"
_RUNS = "SELECT number FROM {1} ORDER BY number DESC"


def members(database: sqlite3.Connection, entry: int, count: int) -> bytes:
    """The pseudonyms of a batch entry's list, concatenated."""
    row = database.execute("SELECT first FROM list WHERE entry = ?", [entry]).fetchone()
    first = 0 if row is None else row[0]
    lo = first // tiles.WIDTH
    rows = database.execute(_BETWEEN.format(*MEMBERS), (lo, (first + count) // tiles.WIDTH + 1))
    names, skip = b"".join(row[0] for row in rows), first - lo * tiles.WIDTH
    return names[skip * SIZE : (skip + count) * SIZE]


def of(
    database: sqlite3.Connection, pseudonym: bytes, size: int, what: Named = ENTRIES
) -> Iterator[int]:
    """The entries below `size` that may belong to this pseudonym, newest first.

    There are rare false positives, since only eight bytes are compared (1 in 2^64); the caller
    must check the entry's tag.
    """
    runs = [row[0] for row in database.execute(_RUNS.format(*what))]
    sorted_below = (runs[0] + 1) * RUN if runs else 0
    yield from _unsorted(database, pseudonym, range(sorted_below, size), what)
    for number in runs:
        yield from (each for each in _in_run(database, number, pseudonym, what) if each < size)


def _unsorted(
    database: sqlite3.Connection, pseudonym: bytes, entries: range, what: Named
) -> Iterator[int]:
    rows = database.execute(_DOWN_TO.format(*what), [entries.start // tiles.WIDTH])
    for bundle, names in rows:
        pseudonyms = [names[at : at + SIZE] for at in range(0, len(names), SIZE)]
        places = (
            bundle * tiles.WIDTH + n
            for n in reversed(range(len(pseudonyms)))
            if pseudonyms[n] == pseudonym
        )
        yield from (each for each in places if each in entries)


def _in_run(
    database: sqlite3.Connection, number: int, pseudonym: bytes, what: Named
) -> Iterator[int]:
    """Binary search that reads a few pages of the run, not all of it."""
    wanted = pseudonym[:_HEAD]
    with database.blobopen(what.runs, "heads", number, readonly=True) as heads:

        def head(place: int) -> bytes:
            heads.seek(place * _HEAD)
            return bytes(heads.read(_HEAD))

        first = bisect_left(range(RUN), wanted, key=head)
        last = bisect_right(range(RUN), wanted, lo=first, key=head)
    if first == last:
        return
    with database.blobopen(what.runs, "at", number, readonly=True) as at:
        at.seek(2 * first)
        places = np.frombuffer(at.read(2 * (last - first)), ">u2")
    yield from (number * RUN + int(each) for each in places[::-1])

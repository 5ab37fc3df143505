"""The private index of a read log: which entry belongs to which customer's pseudonym.

It is written in the same transactions as the log, to these tables of its database:

    owner   one row per bundle of 256 entries: their pseudonyms of 16 bytes, in entry order
    run     one row per 16,384 entries: the first 8 bytes of their pseudonyms, sorted, and their
            positions
    list    one row per batch entry: the number of its first decision, counted over all batch
            entries, and the list itself (gate.readlog.batch_entry)
    answered  one row per entry about many customers: the digest of the stored set of those whom it
              answered about (gate.readlog.customer_sets)
    member, member_run  like `owner` and `run`, for the decisions in those lists

Pseudonyms are derived from customers' keys, so only the holder of a key finds its entries. Rows are
only appended, so writing does not slow down as the log grows; runs find one customer's entries
among millions without reading all of them.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from sqlalchemy import BindParameter, bindparam, func, select

from gate.storage.statement import Put, Query, StatementRunner
from gate.storage.tables import ENTRIES, LISTS, MEMBERS, IndexTables
from ledger.tlog import tiles
from ledger.vault.commitments import INDEXED_SIZE

SIZE = INDEXED_SIZE  # bytes of a pseudonym
NOBODY = bytes(SIZE)  # the pseudonym of entries about cohorts
RUN = 64 * tiles.WIDTH  # entries per run
_HEAD = 8  # bytes of a pseudonym that runs are sorted by


class _Statements:
    """The statements of one pair of tables."""

    def __init__(self, tables: IndexTables) -> None:
        bundle, names = tables.names.c.bundle, tables.names.c.names
        lo: BindParameter[int] = bindparam("lo")
        hi: BindParameter[int] = bindparam("hi")
        self.put_names = Put(tables.names, "names")
        self.put_run = Put(tables.runs, "heads", "at")
        self.last = Query(
            select(bundle, func.length(names)).where(
                bundle == select(func.max(bundle)).scalar_subquery()
            )
        )
        self.one = Query(select(names).where(bundle == bindparam("wanted")))
        self.between = Query(select(names).where(bundle >= lo, bundle < hi).order_by(bundle))
        self.down_to = Query(select(bundle, names).where(bundle >= lo).order_by(bundle.desc()))
        number = tables.runs.c.number
        self.runs = Query(select(number).order_by(number.desc()))
        runs = tables.runs.c
        self.run = Query(select(runs.heads, runs.at).where(number == bindparam("wanted")))


_STATEMENTS = {ENTRIES: _Statements(ENTRIES), MEMBERS: _Statements(MEMBERS)}
_FIRST = Query(select(LISTS.c.first).where(LISTS.c.entry == bindparam("entry")))


class Appended(NamedTuple):
    """The index with some pseudonyms appended, before they are stored."""

    rows: list[tuple[int, bytes]]  # bundle, its pseudonyms
    runs: range  # numbers of the runs that are complete now
    last: bytes  # pseudonyms of the last bundle
    size: int  # of all pseudonyms


class Membership:
    """The end of one index: computes the rows that the log's writer stores."""

    def __init__(
        self, stored: StatementRunner, size: int | None = None, what: IndexTables = ENTRIES
    ) -> None:
        """`size`: how many pseudonyms are valid; None: all that are stored."""
        self._what = what
        self.size = _stored_size(stored, what) if size is None else size
        bundle, filled = divmod(self.size, tiles.WIDTH)
        rows = [*stored.all(_STATEMENTS[what].one, wanted=bundle)]
        self._last = bytes(rows[0][0])[: filled * SIZE] if rows else b""

    def append(self, names: Sequence[bytes], first: int) -> Appended:
        """The pseudonyms of entries from `first` on; pass it to `store` and `settle`."""
        bundle, filled = divmod(first, tiles.WIDTH)
        at, current, rows = 0, self._last, []
        while at < len(names):
            step = names[at : at + tiles.WIDTH - filled]
            current += b"".join(step)
            rows.append((bundle, current))
            at, filled = at + len(step), filled + len(step)
            if filled == tiles.WIDTH:
                bundle, filled, current = bundle + 1, 0, b""
        size = first + len(names)
        return Appended(rows, range(first // RUN, size // RUN), current, size)

    def store(self, runner: StatementRunner, appended: Appended) -> None:
        """Write it, in the transaction of the log's writer."""
        statements = _STATEMENTS[self._what]
        if appended.rows:
            runner.put(statements.put_names, appended.rows)
        for number in appended.runs:
            lo = number * RUN // tiles.WIDTH
            rows = runner.all(statements.between, lo=lo, hi=lo + RUN // tiles.WIDTH)
            heads, at = _sorted_run(b"".join(row[0] for row in rows))
            runner.put(statements.put_run, [(number, heads, at)])

    def settle(self, appended: Appended) -> None:
        """Tell the index that the transaction of `store` was committed."""
        self._last, self.size = appended.last, appended.size


def _stored_size(stored: StatementRunner, what: IndexTables) -> int:
    for bundle, length in stored.all(_STATEMENTS[what].last):
        return int(bundle * tiles.WIDTH + length // SIZE)
    return 0


def _sorted_run(pseudonyms: bytes) -> tuple[bytes, bytes]:
    """The heads of a run's pseudonyms, sorted, and their positions."""
    names = np.frombuffer(pseudonyms, ">u8").reshape(-1, SIZE // _HEAD)
    order = np.argsort(names[:, 0], kind="stable")
    return names[order, 0].tobytes(), order.astype(">u2").tobytes()


def members(stored: StatementRunner, entry: int, count: int) -> bytes:
    """The pseudonyms of a batch entry's list, concatenated."""
    first = next((row[0] for row in stored.all(_FIRST, entry=entry)), 0)
    lo = first // tiles.WIDTH
    hi = (first + count) // tiles.WIDTH + 1
    rows = stored.all(_STATEMENTS[MEMBERS].between, lo=lo, hi=hi)
    names, skip = b"".join(row[0] for row in rows), first - lo * tiles.WIDTH
    return names[skip * SIZE : (skip + count) * SIZE]


def of(
    stored: StatementRunner, pseudonym: bytes, size: int, what: IndexTables = ENTRIES
) -> Iterator[int]:
    """The entries below `size` that may belong to this pseudonym, newest first.

    There are rare false positives, since only eight bytes are compared (1 in 2^64); the caller
    must check the entry's tag.
    """
    runs = [row[0] for row in stored.all(_STATEMENTS[what].runs)]
    sorted_below = (runs[0] + 1) * RUN if runs else 0
    yield from _unsorted(stored, pseudonym, range(sorted_below, size), what)
    for number in runs:
        yield from (each for each in _in_run(stored, number, pseudonym, what) if each < size)


def unsorted_runs(stored: StatementRunner, since: int, size: int) -> Iterator[tuple[int, int]]:
    """First and last entry of complete runs from entry `since` on that do not find their entries.

    Reads a run's pseudonyms and sorts them again.
    """
    statements, bundles = _STATEMENTS[ENTRIES], RUN // tiles.WIDTH
    for number in range(since // RUN, size // RUN):
        rows = stored.all(statements.between, lo=number * bundles, hi=(number + 1) * bundles)
        pseudonyms = b"".join(row[0] for row in rows)
        found = [
            (bytes(heads), bytes(at)) for heads, at in stored.all(statements.run, wanted=number)
        ]
        if len(pseudonyms) != RUN * SIZE or found != [_sorted_run(pseudonyms)]:
            yield number * RUN, (number + 1) * RUN - 1


def _unsorted(
    stored: StatementRunner, pseudonym: bytes, entries: range, what: IndexTables
) -> Iterator[int]:
    rows = stored.all(_STATEMENTS[what].down_to, lo=entries.start // tiles.WIDTH)
    for bundle, names in rows:
        pseudonyms = [names[at : at + SIZE] for at in range(0, len(names), SIZE)]
        places = (
            bundle * tiles.WIDTH + n
            for n in reversed(range(len(pseudonyms)))
            if pseudonyms[n] == pseudonym
        )
        yield from (each for each in places if each in entries)


def _in_run(
    stored: StatementRunner, number: int, pseudonym: bytes, what: IndexTables
) -> Iterator[int]:
    """Binary search that reads a few pages of the run, not all of it."""
    wanted = pseudonym[:_HEAD]
    with stored.blob(what.runs.c.heads, number) as heads:

        def head(place: int) -> bytes:
            return heads(place * _HEAD, _HEAD)

        first = bisect_left(range(RUN), wanted, key=head)
        last = bisect_right(range(RUN), wanted, lo=first, key=head)
    if first == last:
        return
    with stored.blob(what.runs.c.at, number) as at:
        places = np.frombuffer(at(2 * first, 2 * (last - first)), ">u2")
    yield from (number * RUN + int(each) for each in places[::-1])

"""What became of each answer of a read log: delivered, cut, or unknown.

An entry stands before its answer leaves, so the end of the answer is noted afterwards, beside the
log and not in it:

    delivery   one row per bundle of 256 entries: a byte for each, and the digests of the sets of
               customers whose rows were taken out of an answer while it left

Notes wait in memory for a quarter of a second, and are written together. What was not noted is
unknown: answers of a process that was killed meanwhile, and of earlier versions. A note never
changes.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import StrEnum
from itertools import groupby
from threading import Lock, Thread
from typing import NamedTuple

from sqlalchemy import bindparam, select

from gate.storage.statement import Put, Query, StatementRunner
from gate.storage.tables import DELIVERIES
from ledger.tlog import tiles

EVERY_S = 0.25  # notes wait so long at most
_DIGEST_SIZE = 32
_PUT = Put(DELIVERIES, "marks", "missed")
_ONE = Query(
    select(DELIVERIES.c.marks, DELIVERIES.c.missed).where(
        DELIVERIES.c.bundle == bindparam("wanted")
    )
)


class Delivery(StrEnum):
    """What became of an answer, as far as is known."""

    UNKNOWN = "unknown"
    DELIVERED = "delivered"  # the client's connection took all of it
    CUT = "cut"  # it ended before it was whole: a part may have left


_CODES = (*Delivery,)  # the byte of each


class DeliveryNote(NamedTuple):
    """`missed`: digest of the set of customers whose rows were taken out; empty: of nobody."""

    entry: int
    delivery: Delivery
    missed: bytes


class BundleNotes(NamedTuple):
    """What is stored of a bundle's entries."""

    marks: bytes
    missed: bytes  # for each such entry its place in the bundle and a digest

    def of(self, entry: int) -> tuple[Delivery, str | None]:
        """What became of an answer, and which set of customers did not get a row into it."""
        place = entry % tiles.WIDTH
        code = self.marks[place] if place < len(self.marks) else 0
        digests = (digest.hex() for at, digest in self._missed() if at == place)
        return _CODES[code], next(digests, None)

    def _missed(self) -> Iterator[tuple[int, bytes]]:
        size = 1 + _DIGEST_SIZE
        for at in range(0, len(self.missed), size):
            yield self.missed[at], self.missed[at + 1 : at + size]


def of_bundle(stored: StatementRunner, bundle: int) -> BundleNotes:
    rows = stored.all(_ONE, wanted=bundle)
    return next((BundleNotes(bytes(row[0]), bytes(row[1])) for row in rows), BundleNotes(b"", b""))


def store(runner: StatementRunner, notes: Iterable[DeliveryNote]) -> None:
    """Write notes, in one transaction. The first of an entry stays."""
    rows = []
    for bundle, together in groupby(sorted(notes), key=lambda each: each.entry // tiles.WIDTH):
        known = of_bundle(runner, bundle)
        marks, missed = bytearray(known.marks.ljust(tiles.WIDTH, b"\0")), known.missed
        for entry, delivery, digest in together:
            if not marks[place := entry % tiles.WIDTH]:
                marks[place] = _CODES.index(delivery)
                missed += bytes([place]) + digest if digest else b""
        rows.append((bundle, bytes(marks), missed))
    runner.put(_PUT, rows)


class DeliveryNotes:
    """The notes of a read log's writer. Thread-safe.

    `write` writes some, durably, or leaves them unknown if it cannot.
    """

    def __init__(self, write: Callable[[Sequence[DeliveryNote]], None]) -> None:
        self._write = write
        self._pending: list[DeliveryNote] = []
        self._waits = self._ended = False
        self._lock, self._writing = Lock(), Lock()

    def note(self, entries: range, delivery: Delivery, missed: bytes = b"") -> None:
        """DeliveryNote what became of the answer that these entries are about."""
        with self._lock:
            if self._ended:
                return  # its log has an end: what is not known by then stays unknown
            self._pending.extend(DeliveryNote(each, delivery, missed) for each in entries)
            waits, self._waits = self._waits, True
        if not waits:  # no daemon: a process that ends waits for it
            Thread(target=self._later, name="deliveries").start()

    def flush(self) -> None:
        """Write what waits."""
        with self._writing:  # who finds nothing waiting returns only once it is written
            with self._lock:
                notes, self._pending = self._pending, []
            if notes:
                self._write(notes)

    def end(self) -> None:
        """Write what waits, and note nothing more."""
        with self._lock:
            self._ended = True
        self.flush()

    def _later(self) -> None:
        time.sleep(EVERY_S)
        with self._lock:
            self._waits = False
        self.flush()


class Logged(NamedTuple):
    """Where the entries of an answer stand, to note there what became of it."""

    deliveries: DeliveryNotes
    entries: range
    log: str  # origin of the read log

    def ended(self, delivery: Delivery, missed: str | None = None) -> None:
        """DeliveryNote it, once. `missed`: see `DeliveryNote`; in hex."""
        if delivery is not Delivery.UNKNOWN:
            self.deliveries.note(self.entries, delivery, bytes.fromhex(missed or ""))

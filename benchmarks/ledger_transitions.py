"""Transitions of the map: what recording them costs at ingest, and what an audit of them costs.

Ingest is measured twice in turn, each pair in one run: later instructions of customers who have a
label, with the records of the transitions and without. The audit replays a map of `CUSTOMERS`,
filled in batches, and then epochs of one instruction and of 500.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import process_time
from unittest.mock import patch

from benchmarks.ledger_root import load
from ledger.events.envelope import Granted, Wording
from ledger.service import Ledger
from ledger.statemap import transition
from ledger.statemap.map_proof import StateRoot
from ledger.statemap.map_replay import LogCounts, MapReplay
from ledger.statemap.transition import StateVersion
from ledger.tlog.merkle import EMPTY_ROOT

CUSTOMERS = int(os.environ.get("CUSTOMERS", "100000"))
PAIRS, BATCH, FILL = 5, 500, 10_000
ACT, WORDS = Granted("segmentation", ("age", "job"), None), Wording("en", bytes(32))
AT = datetime(2026, 11, 29, 12, tzinfo=UTC)


def main() -> None:
    print(f"CPU time, one core (load {load()})")
    with TemporaryDirectory() as home:
        _ingest(Path(home))
    _audit()


def _ingest(home: Path) -> None:
    ledger = Ledger.open(home, origin="bench.example/consent")
    names = [f"c{number}" for number in range(BATCH)]
    _say(ledger, names)  # makes keys and labels
    ratios, rates = [], []
    for _ in range(PAIRS):
        recorded = _timed(lambda: _say(ledger, names))
        with _unrecorded():
            plain = _timed(lambda: _say(ledger, names))
        ratios.append(recorded / plain)
        rates.append(BATCH / recorded)
    print(f"  ingest with records      {median(rates):>9,.0f}/s  {median(ratios):.2f} x without")
    ledger.close()


def _say(ledger: Ledger, names: list[str]) -> None:
    ledger.record([ledger.draft(name, ACT, at=AT, wording=WORDS) for name in names])


@contextmanager
def _unrecorded() -> Iterator[None]:
    with patch.object(transition, "record", lambda _: b"\x01"):
        yield


def _audit() -> None:
    replay, done = MapReplay(), 0
    start = process_time()
    for first in range(0, CUSTOMERS, FILL):
        done += _step(replay, range(first, min(first + FILL, CUSTOMERS)), 1, done)
    filled = process_time() - start
    print(
        f"  audit of {CUSTOMERS:,} customers  {filled:.1f} s, {CUSTOMERS / filled:,.0f} changes/s"
    )
    for size in (1, BATCH):
        epochs = 2_000 // size
        start = process_time()
        for epoch in range(epochs):
            chosen = range(epoch * size, (epoch + 1) * size)
            done += _step(replay, chosen, 2 + (size > 1), done)
        each = (process_time() - start) / epochs
        record = f"record {1 + 72 * size:,} bytes"
        print(f"  audit of an epoch of {size:<4} {1000 * each:>8.2f} ms, {record}")


def _step(replay: MapReplay, customers: range, version: int, done: int) -> int:
    changes = {
        sha256(b"%d" % number).digest(): StateVersion(version, bytes(32)) for number in customers
    }
    entry = StateRoot(done + len(changes), EMPTY_ROOT, EMPTY_ROOT)
    wrong = replay.step(entry, transition.record(changes), LogCounts(done + len(changes)))
    assert len(wrong) == 1, wrong  # the root alone, which the benchmark does not compute twice
    return len(changes)


def _timed(work: Callable[[], object]) -> float:
    start = process_time()
    work()
    return process_time() - start


if __name__ == "__main__":
    main()

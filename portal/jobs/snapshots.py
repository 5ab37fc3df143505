"""Job: write a snapshot of the consent state when one is missing or old, for a fast start.

An erasure removes the snapshot, because it names the customer; the next run writes another.
"""

from datetime import datetime, timedelta

from gate.state.snapshot import StateCopy
from portal.jobs.runner import Job
from portal.operations.wiring import SNAPSHOT, Product

NAME = "snapshots"
EVERY = timedelta(seconds=5)  # a start without one reads the whole ledger
LIMIT = timedelta(minutes=10)
MAX_ENTRIES = 10_000  # of the ledger after the last snapshot: following them takes half a second
MAX_AGE = timedelta(minutes=30)  # if there is any new entry


def job(product: Product, every: timedelta = EVERY) -> Job:
    last: tuple[StateCopy, datetime] | None = None

    def work(at: datetime) -> None:
        nonlocal last
        if last is None or _is_old(product, *last, at):
            taken = product.keep_state()
            last = None if taken is None else (taken, at)

    return Job(NAME, every, work, limit=LIMIT)


def _is_old(product: Product, taken: StateCopy, written: datetime, at: datetime) -> bool:
    behind = product.ledger.size - taken.size
    if behind > MAX_ENTRIES or (behind and at - written >= MAX_AGE):
        return True
    return not (product.home / SNAPSHOT).exists()

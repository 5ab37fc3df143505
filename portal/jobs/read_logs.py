"""Job: begin the next read log in time, feed what the logs say, and remove those no longer kept."""

from contextlib import suppress
from datetime import datetime, timedelta

from gate.changes.feed import FeedPausedError
from gate.readlog.new_log import NewReadLog
from gate.readlog.retention import Retention
from gate.readlog.rotation import ReadLogRotation
from ledger import clock
from portal.jobs.runner import Job
from portal.operations import wiring
from portal.operations.publishing import EVERY
from portal.operations.wiring import Product

NAME = "read-logs"
LIMIT = timedelta(minutes=10)  # to remove a long log


def job(product: Product, every: timedelta = EVERY) -> Job:
    settings, ledger, home = product.settings, product.ledger, product.home

    def announced() -> NewReadLog:
        return wiring.begin_read_log(ledger, home)

    limits = wiring.rotation_limits(settings)
    rotation = ReadLogRotation(product.gate, ledger, announced, limits, clock.now())
    retention = Retention(home, ledger, product.read_logs, settings.reads_kept_days)

    def work(at: datetime) -> datetime | None:
        rotation.look(at)
        with suppress(FeedPausedError):  # a poll says so
            product.changes.advance(at)
            if clock.doubt() is None:  # else nothing is old for certain
                retention.look(at)  # only what the feed has folded
        return rotation.due

    return Job(NAME, every, work, limit=LIMIT)

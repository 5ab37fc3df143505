"""Job: anchor every read log that grew, and publish and close those whose process has ended."""

from datetime import datetime, timedelta

from gate.readlog.anchors import Anchors, UnendedLogError
from portal.jobs.failure import JobError
from portal.jobs.runner import Job
from portal.operations.publishing import EVERY
from portal.operations.wiring import Product

NAME = "anchoring"
LIMIT = timedelta(minutes=10)  # the first time, after a kill: a log may have to be published


def job(product: Product, every: timedelta = EVERY) -> Job:
    anchors = Anchors(product.home, product.ledger)

    def work(at: datetime) -> None:
        anchors.anchor(at)
        try:
            anchors.close(at)
        except UnendedLogError as error:
            raise JobError(str(error)) from error

    return Job(NAME, every, work, limit=LIMIT)

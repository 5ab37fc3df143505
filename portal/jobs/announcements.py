"""Job: announce the read logs of waiting gates (portal.operations.gate_process)."""

from datetime import datetime, timedelta

from portal.jobs.failure import JobError
from portal.jobs.runner import Job
from portal.operations import gate_process
from portal.operations.gate_process import OpeningFileError
from portal.operations.wiring import Product

NAME = "announcements"
EVERY, MAX_RETRY = timedelta(seconds=2), timedelta(seconds=10)


def job(product: Product, every: timedelta = EVERY) -> Job:
    def work(_at: datetime) -> None:
        try:
            gate_process.announce(product.ledger, product.home)
        except OpeningFileError as error:
            raise JobError(str(error)) from error

    return Job(NAME, every, work, max_retry=MAX_RETRY)

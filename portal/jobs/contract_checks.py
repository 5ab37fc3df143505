"""Job: check the source against every contract, and record the health of all agreements."""

from datetime import datetime, timedelta

from portal.desk.office import Office
from portal.jobs.runner import Job
from portal.operations.wiring import Product

NAME = "contract-checks"
EVERY = timedelta(hours=1)
LIMIT = timedelta(minutes=30)  # one scan of the source


def job(product: Product, every: timedelta = EVERY) -> Job:
    office = Office(product)

    def work(at: datetime) -> datetime | None:
        """Check if the last check, perhaps the desk's, is `every` ago; returns the next time."""
        last = office.contracts.last_run()
        if last is None or at - last >= every:
            office.check(at)
            return None
        return last + every

    return Job(NAME, every, work, max_retry=every, limit=LIMIT)

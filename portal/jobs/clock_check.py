"""Job: say that the clock of the machine is not believed, for as long as it is not.

While it is not, the gate answers nothing personal: see ledger.clock.
"""

from datetime import datetime, timedelta

from ledger import clock
from portal.jobs.failure import JobError
from portal.jobs.runner import Job
from portal.operations.wiring import Product

NAME = "clock"
EVERY = timedelta(seconds=2)


def job(_product: Product, every: timedelta = EVERY) -> Job:
    def work(_at: datetime) -> None:
        if (why := clock.doubt()) is not None:
            raise JobError(why)

    return Job(NAME, every, work, max_retry=EVERY)

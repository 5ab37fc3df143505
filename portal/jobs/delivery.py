"""Job: send the notices that are due through the channels in `steward.toml`."""

from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path

from portal.jobs.runner import Job
from portal.operations.wiring import Product
from steward.notify import recipients as recipient
from steward.notify.outbox import DeliveryResult, Outbox

NAME = "delivery"
EVERY, MAX_RETRY = timedelta(seconds=2), timedelta(seconds=10)
LIMIT = timedelta(minutes=5)  # many receivers may time out, one after the other


class Deliveries:
    """Delivers the notices of one data directory. Not thread-safe.

    A notice that cannot be delivered does not fail the job: each is retried on a schedule of its
    own, and listed by `sovereign steward notices`.
    """

    def __init__(self, home: Path) -> None:
        self._home = home

    def run(self, at: datetime) -> DeliveryResult:
        """Send what is due. Raises RecipientError, and sends nothing, for a bad `steward.toml`."""
        recipients = recipient.load(self._home)
        self._outbox.route(recipients.channels)
        return self._outbox.deliver(recipients.sender, at)

    @cached_property
    def _outbox(self) -> Outbox:
        return Outbox(self._home)


def job(product: Product, every: timedelta = EVERY) -> Job:
    deliveries = Deliveries(product.home)

    def work(at: datetime) -> None:
        deliveries.run(at)

    return Job(NAME, every, work, max_retry=MAX_RETRY, limit=LIMIT)

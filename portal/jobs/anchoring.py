"""Job: record size and root of every read log that grew in the consent log."""

from datetime import datetime, timedelta

from portal.jobs.runner import Job
from portal.operations.publishing import EVERY, Anchors
from portal.operations.wiring import Product

NAME = "anchoring"


def job(product: Product, every: timedelta = EVERY) -> Job:
    anchors = Anchors(product.home, product.ledger)

    def work(at: datetime) -> None:
        anchors.anchor(at)

    return Job(NAME, every, work)

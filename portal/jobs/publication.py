"""Job: write the public tile directories if anything is new."""

from datetime import datetime, timedelta

from portal.jobs.runner import Job
from portal.operations.publishing import EVERY, Publisher
from portal.operations.wiring import Product

NAME = "publication"
LIMIT = timedelta(minutes=10)  # the first time, of a long log


def job(product: Product, every: timedelta = EVERY) -> Job:
    publisher = Publisher(product.home, product.ledger, lambda: product.reads)

    def work(_at: datetime) -> None:
        publisher.publish_news()

    return Job(NAME, every, work, limit=LIMIT)

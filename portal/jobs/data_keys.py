"""Job: make a data key for customers who are new in the source (gate.reads.sources.data_keys)."""

from datetime import datetime, timedelta

from gate.reads.sources import data_keys
from portal.jobs.runner import Job
from portal.operations.wiring import Product

NAME = "data-keys"
EVERY = timedelta(minutes=10)
LIMIT = timedelta(minutes=30)  # one scan of the ids in the source


def job(product: Product, every: timedelta = EVERY) -> Job:
    def work(_at: datetime) -> None:
        data_keys.create(product.ledger, product.gate.source)

    return Job(NAME, every, work, limit=LIMIT)

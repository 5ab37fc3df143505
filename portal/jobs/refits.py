"""Fit the releases that are due: see portal.operations.refits."""

from datetime import timedelta

from portal.jobs.runner import Job
from portal.operations.refits import EVERY, Refits
from portal.operations.wiring import Product

NAME = "refits"
LIMIT = timedelta(hours=2)  # one fit


def job(product: Product, every: timedelta = EVERY) -> Job:
    return Job(NAME, every, Refits(product).run, limit=LIMIT)

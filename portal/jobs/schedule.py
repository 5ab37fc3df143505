"""Every job of a product, and what runs them while it is served."""

from datetime import timedelta

from portal.jobs import (
    anchoring,
    announcements,
    cases,
    contract_checks,
    delivery,
    publication,
    refits,
)
from portal.jobs.runner import Job, Runner
from portal.operations import job_results
from portal.operations.job_results import JobResults
from portal.operations.wiring import Product

ALL = (cases, delivery, announcements, anchoring, publication, refits, contract_checks)
NAMES = tuple(each.NAME for each in ALL)


def of(product: Product) -> list[Job]:
    """Every job of a product, on the schedule that the settings give it.

    Raises ValueError for a schedule of a job that there is none of.
    """
    chosen = product.settings.job_every_s
    if unknown := sorted(chosen.keys() - {*NAMES}):
        raise ValueError(f"job_every_s for {unknown}, want some of {sorted(NAMES)}")
    schedules = {name: timedelta(seconds=seconds) for name, seconds in chosen.items()}
    return [each.job(product, schedules.get(each.NAME, each.EVERY)) for each in ALL]


def runner(product: Product) -> Runner:
    """What runs them while the product is served."""
    return Runner(of(product), JobResults(product.home / job_results.FILE))

"""Lists every job of a product and makes the runner that runs them while it is served."""

from datetime import timedelta

from portal.configuration.sources import SettingError
from portal.jobs import (
    anchoring,
    announcements,
    cases,
    clock_check,
    contract_checks,
    data_keys,
    delivery,
    departures,
    publication,
    read_logs,
    refits,
    snapshots,
)
from portal.jobs.attestations import timestamps, witnesses
from portal.jobs.runner import Job, Runner
from portal.operations import job_results
from portal.operations.job_results import JobResults
from portal.operations.settings import Settings
from portal.operations.wiring import Product

ALL = (
    clock_check,
    cases,
    delivery,
    announcements,
    anchoring,
    publication,
    witnesses,
    timestamps,
    read_logs,
    snapshots,
    refits,
    data_keys,
    departures,
    contract_checks,
)
NAMES = tuple(each.NAME for each in ALL)


def of(product: Product) -> list[Job]:
    """Every job of a product, on the schedule that the settings give it.

    Raises SettingError for a job that does not exist.
    """
    schedules = intervals(product.settings)
    return [each.job(product, schedules.get(each.NAME, each.EVERY)) for each in ALL]


def intervals(settings: Settings) -> dict[str, timedelta]:
    """The time between runs that the settings give, by job. Raises SettingError."""
    if unknown := sorted(settings.job_every_s.keys() - {*NAMES}):
        raise SettingError(
            f"setting job_every_s: found {', '.join(unknown)}, want one of {', '.join(NAMES)}"
        )
    return {name: timedelta(seconds=seconds) for name, seconds in settings.job_every_s.items()}


def runner(product: Product) -> Runner:
    """Runs every job while the product is served."""
    return Runner(of(product), JobResults(product.home / job_results.FILE))

"""What a process needs to answer requests, as checks that return, or raise to say what is wrong.

clock         the clock of the machine is believed
databases     the databases of the ledger and of the vault answer
publication   the public logs were written within the setting `publication_minutes`
scenes        not every scene is suspended
source        the source of the customers' rows answers; no customer's row is read
state         the gate's consent state has every entry of the ledger

The process is ready while none of them raises.
"""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path

from gate.reads.point import Gate
from ledger import clock
from ledger.storage import database
from ledger.storage.sqlite import LEDGER
from ledger.storage.vault_store import VAULT
from portal.operations import job_results
from portal.operations.job_results import Snapshot

Check = Callable[[], object]
DATABASES, PUBLICATION = "databases", "publication"
NOBODY = ""  # the id of no customer


class NotReadyError(Exception):
    """A check failed. Says what is wrong, without personal data."""


def of(
    gate: Gate, home: Path, oldest: timedelta, jobs: Callable[[], Snapshot] | None = None
) -> Mapping[str, Check]:
    """The checks of a process that serves `gate`, by name.

    `oldest`: the age of the last publication from which on it is too old. `jobs`: how the jobs of
    this process ended; None: another process runs them, and their record is read.
    """
    return {
        "clock": lambda: _believed(gate),
        DATABASES: _databases(home),
        PUBLICATION: _publication(jobs or (lambda: job_results.load(home)), oldest),
        "scenes": lambda: _some_scene(gate),
        "source": lambda: gate.source.row(NOBODY, [gate.source.key]),
        "state": gate.catch_up,
    }


def last_publication(jobs: Snapshot) -> datetime | None:
    """When the job that writes the public logs last succeeded; None: not since it began."""
    known = jobs.jobs.get(PUBLICATION)
    return None if known is None else known.last_success


def _believed(gate: Gate) -> None:
    if (why := gate.options.clock_doubt()) is not None:
        raise NotReadyError(why)


def _some_scene(gate: Gate) -> None:
    if gate.scenes and gate.suspended >= {*gate.scenes}:
        raise NotReadyError("every scene is suspended: restart the gate")


def _databases(home: Path) -> Check:
    known = database.of(home)

    def ask() -> None:
        for schema in (LEDGER, VAULT):
            in_file = known.address(schema) is None
            if in_file and not known.exists(schema):
                raise NotReadyError(f"{known.place(schema)} is missing")
            if database.version(known.engine(schema)) != schema.version:
                raise NotReadyError(f"{known.place(schema)} has other tables: sovereign migrate")

    return ask


def _publication(jobs: Callable[[], Snapshot], oldest: timedelta) -> Check:
    began = clock.now()  # a process that has just started may not have published yet

    def ask() -> None:
        last = last_publication(jobs()) or began
        if (age := clock.now() - last) > oldest:
            raise NotReadyError(
                f"the public logs were last written {int(age.total_seconds())} s ago: see "
                "`sovereign jobs`"
            )

    return ask

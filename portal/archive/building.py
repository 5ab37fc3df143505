"""Builds archives in background threads, one per customer at a time, and reports progress."""

import logging
from dataclasses import dataclass, field
from datetime import datetime
from threading import Lock, Thread, Timer

from portal.archive import store
from portal.archive.content import Progress, archive
from portal.archive.holding import CustomerRecords
from portal.archive.store import LASTS, ArchiveStore

NAME = "archive"  # of the threads
MAX_RUNNING = 4  # over all customers: each build reads whole read logs
_LOG = logging.getLogger("sovereign")


class ArchiveBusyError(Exception):
    """The maximum number of archives is being built; try again later."""


@dataclass(slots=True)
class Build:
    """Progress of an archive: receipts and reads done, of how many known so far."""

    done: int = 0
    of: int = 0
    running: bool = True
    failed: bool = False


@dataclass(slots=True)
class Builds:
    """Runs builds. Thread-safe. Finished archives are in `store`; this keeps only progress."""

    records: CustomerRecords
    store: ArchiveStore
    _builds: dict[str, Build] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def begin(self, subject: str, at: datetime) -> Build:
        """Build the customer's archive in the background, unless a build is running already.

        Raises ArchiveBusyError.
        """
        folder = store.folder(self.records.ledger, subject)
        with self._lock:
            running = {name: each for name, each in self._builds.items() if each.running}
            if folder in running:
                return running[folder]
            if len(running) >= MAX_RUNNING:
                raise ArchiveBusyError
            self._builds = {**running, folder: (build := Build())}
        work = Thread(target=self._make, args=(build, subject, folder, at), name=NAME, daemon=True)
        work.start()
        return build

    def of(self, subject: str) -> Build | None:
        """The customer's last build, if it is running or failed."""
        with self._lock:
            build = self._builds.get(store.folder(self.records.ledger, subject))
        return build if build and (build.running or build.failed) else None

    def _make(self, build: Build, subject: str, folder: str, at: datetime) -> None:
        try:
            self.store.put(folder, archive(self.records, subject, at, _progress(build)), at)
            later = Timer(LASTS.total_seconds() + 1, self.store.sweep, [at + LASTS])
            later.daemon = True
            later.start()
            # If we crash before the timer fires, the next start deletes what has expired.
        except Exception as error:  # noqa: BLE001 - the page tells the customer that it failed
            _LOG.error("an archive could not be made: %s", type(error).__name__)
            build.failed = True
        build.running = False


def _progress(build: Build) -> Progress:
    def progress(done: int, of: int) -> None:
        build.done, build.of = done, of

    return progress

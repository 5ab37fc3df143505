"""Archives being made, one at a time for each customer, while their page looks on."""

import logging
from dataclasses import dataclass, field
from datetime import datetime
from threading import Lock, Thread, Timer

from portal.archive import store
from portal.archive.content import Progress, archive
from portal.archive.holding import CustomerRecords
from portal.archive.store import LASTS, ArchiveStore

NAME = "archive"  # of the threads
MOST = 4  # at once, over all customers: each reads whole read logs
_LOG = logging.getLogger("sovereign")


class ArchiveBusyError(Exception):
    """So many archives are being made that another has to wait a moment."""


@dataclass(slots=True)
class Build:
    """How far an archive is: receipts and reads done, of how many are known."""

    done: int = 0
    of: int = 0
    running: bool = True
    failed: bool = False


@dataclass(slots=True)
class Builds:
    """Thread-safe. What a build kept lies in the store; these are only its progress."""

    held: CustomerRecords
    store: ArchiveStore
    _builds: dict[str, Build] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def begin(self, subject: str, at: datetime) -> Build:
        """Make the customer's archive in the background, unless it is being made already.

        Raises BusyError.
        """
        folder = store.folder(self.held.ledger, subject)
        with self._lock:
            running = {name: each for name, each in self._builds.items() if each.running}
            if folder in running:
                return running[folder]
            if len(running) >= MOST:
                raise ArchiveBusyError
            self._builds = {**running, folder: (build := Build())}
        work = Thread(target=self._make, args=(build, subject, folder, at), name=NAME, daemon=True)
        work.start()
        return build

    def of(self, subject: str) -> Build | None:
        """The customer's last one, if it runs or failed."""
        with self._lock:
            build = self._builds.get(store.folder(self.held.ledger, subject))
        return build if build and (build.running or build.failed) else None

    def _make(self, build: Build, subject: str, folder: str, at: datetime) -> None:
        try:
            self.store.put(folder, archive(self.held, subject, at, _told(build)), at)
            later = Timer(LASTS.total_seconds() + 1, self.store.sweep, [at + LASTS])
            later.daemon = True
            later.start()
            # Crash before it rings: the next start deletes what has expired.
        except Exception as error:  # noqa: BLE001 - whatever it was, the customer is told that it failed
            _LOG.error("an archive could not be made: %s", type(error).__name__)
            build.failed = True
        build.running = False


def _told(build: Build) -> Progress:
    def progress(done: int, of: int) -> None:
        build.done, build.of = done, of

    return progress

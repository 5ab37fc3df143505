"""Records how the last run of every job ended, in memory and in `home/state/jobs.json`.

    {"format": "sovereign-jobs/v1", "running": true, "written": "2026-11-21T12:00:05Z",
     "jobs": {"delivery": {"last_started": "2026-11-21T12:00:04Z",
                           "last_finished": "2026-11-21T12:00:04Z",
                           "last_success": "2026-11-21T11:58:50Z", "failures": 3,
                           "error": "steward.toml: webhook.crm.ur: unknown key, …",
                           "next_run": "2026-11-21T12:00:12Z", "limit_s": 60}}}

The file is for other processes. A failure and a recovery are written at once; the rest every few
seconds, because jobs run more often than a disk should be synchronised.
"""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from threading import Lock
from typing import Any, Self

from ledger.tlog import atomic_file

FILE = Path("state") / "jobs.json"
FORMAT = "sovereign-jobs/v1"
SILENT = timedelta(seconds=60)  # since the last write: the process has stopped
MANY_FAILURES = 3  # in a row: from here on the job is degraded
_TIMES = ("last_started", "last_finished", "last_success", "next_run")
_LOG = logging.getLogger("sovereign")


class JobResultsError(Exception):
    """The record of jobs is missing or cannot be read. Says what to do."""


class Health(StrEnum):
    OK = "ok"
    RETRYING = "retrying"  # it failed, and will be retried
    FAILING = "failing"  # MANY_FAILURES times in a row
    OVERDUE = "overdue"  # it should have begun or ended by now
    STOPPED = "stopped"  # nothing runs it


DEGRADED = frozenset({Health.FAILING, Health.OVERDUE, Health.STOPPED})


@dataclass(frozen=True, slots=True)
class JobResult:
    """The last runs of one job. `failures`: how many in a row.

    `error`: why the last run failed, without personal data; "" after a success. `limit`: how long a
    run may take, and how late it may begin, before the job is overdue.
    """

    last_started: datetime | None = None
    last_finished: datetime | None = None
    last_success: datetime | None = None
    failures: int = 0
    error: str = ""
    next_run: datetime | None = None
    limit: timedelta = timedelta(minutes=1)

    @property
    def runs(self) -> bool:
        """Whether a run is under way."""
        return self.last_started is not None and self.next_run is None

    def health(self, at: datetime) -> Health:
        expected = self.last_started if self.runs else self.next_run
        if expected is not None and at - expected > self.limit:
            return Health.OVERDUE
        if self.failures >= MANY_FAILURES:
            return Health.FAILING
        return Health.RETRYING if self.failures else Health.OK

    def body(self) -> dict[str, Any]:
        times = {name: _stamp(getattr(self, name)) for name in _TIMES}
        rest = {"failures": self.failures, "error": self.error}
        return times | rest | {"limit_s": int(self.limit.total_seconds())}

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> Self:
        """The inverse of `body`. Raises KeyError, TypeError, ValueError."""
        started, finished, success, following = (_moment(body[name]) for name in _TIMES)
        limit = timedelta(seconds=body["limit_s"])
        failures, error = int(body["failures"]), str(body["error"])
        return cls(started, finished, success, failures, error, following, limit)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All jobs of one process. `written`: when the process last wrote its record."""

    written: datetime
    running: bool
    jobs: Mapping[str, JobResult]

    def health(self, at: datetime) -> dict[str, Health]:
        """The health of each job. If the process has gone, all are stopped."""
        if not self.running or at - self.written > SILENT:
            return dict.fromkeys(self.jobs, Health.STOPPED)
        return {name: each.health(at) for name, each in self.jobs.items()}

    def degraded(self, at: datetime) -> bool:
        """Whether an operator should look. No jobs at all is degraded: nothing does the work."""
        return not self.jobs or not DEGRADED.isdisjoint(self.health(at).values())


class JobResults:
    """Thread-safe. A file that cannot be written is logged once and delays no job."""

    def __init__(self, path: Path | None) -> None:
        """`path`: the file for other processes; None: no file is written."""
        self._path = path
        self._lock = Lock()
        self._jobs: dict[str, JobResult] = {}
        self._running = False
        self._unwritable = False

    def begin(self, names: Mapping[str, timedelta], at: datetime) -> None:
        """Register the jobs that are about to run. `names`: each job's limit."""
        with self._lock:
            self._jobs = {n: JobResult(next_run=at, limit=limit) for n, limit in names.items()}
            self._running = True
            self._write(at)

    def started(self, name: str, at: datetime) -> None:
        self._change(name, at, last_started=at, next_run=None)

    def succeeded(self, name: str, at: datetime, next_run: datetime) -> None:
        done = {"last_finished": at, "last_success": at, "next_run": next_run}
        self._change(name, at, failures=0, error="", **done)

    def failed(
        self, name: str, at: datetime, next_run: datetime, error: str, failures: int
    ) -> None:
        done = {"last_finished": at, "next_run": next_run}
        self._change(name, at, failures=failures, error=error, **done)

    def end(self, at: datetime) -> None:
        """Record that the jobs have stopped."""
        with self._lock:
            self._running = False
            self._write(at)

    def beat(self, at: datetime) -> None:
        """Record that the process still runs."""
        with self._lock:
            self._write(at)

    def result(self, name: str) -> JobResult:
        with self._lock:
            return self._jobs[name]

    def snapshot(self, at: datetime) -> Snapshot:
        with self._lock:
            return Snapshot(at, self._running, dict(self._jobs))

    def _change(self, name: str, at: datetime, **facts: Any) -> None:
        with self._lock:
            before = self._jobs[name]
            after = self._jobs[name] = replace(before, **facts)
            if (before.failures, before.error) != (after.failures, after.error):
                self._write(at)

    def _write(self, at: datetime) -> None:
        if self._path is None:
            return
        bodies = {name: each.body() for name, each in self._jobs.items()}
        whole = {"format": FORMAT, "running": self._running, "written": _stamp(at), "jobs": bodies}
        try:
            atomic_file.write(self._path, json.dumps(whole, ensure_ascii=False, indent=1).encode())
        except OSError as error:
            if not self._unwritable:
                _LOG.warning("%s cannot be written: %s", self._path, error.strerror)
            self._unwritable = True
        else:
            self._unwritable = False


def load(home: Path) -> Snapshot:
    """Read the record of the process that runs the jobs of `home`. Raises JobResultsError."""
    path = home / FILE
    try:
        body = json.loads(path.read_bytes())
        if body["format"] != FORMAT:
            raise JobResultsError(
                f"{path} has format {body['format']!r}, want {FORMAT!r}: restart `sovereign serve`"
            )
        jobs = {name: JobResult.from_body(each) for name, each in body["jobs"].items()}
        return Snapshot(_required(body["written"]), bool(body["running"]), jobs)
    except FileNotFoundError as error:
        raise JobResultsError(
            f"{path} is missing: start `sovereign serve --data-dir {home}` first"
        ) from error
    except (OSError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise JobResultsError(
            f"{path} is not a valid {FORMAT} file ({type(error).__name__}): "
            "restart `sovereign serve`, which writes it"
        ) from error


def last_used(home: Path) -> datetime | None:
    """When jobs last ran over `home`; None if never, or if their record cannot be read."""
    try:
        return load(home).written
    except JobResultsError:
        return None


def _stamp(at: datetime | None) -> str | None:
    return None if at is None else at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _moment(text: str | None) -> datetime | None:
    return None if text is None else _required(text)


def _required(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)

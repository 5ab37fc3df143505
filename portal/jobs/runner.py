"""Runs jobs concurrently, each in a thread of its own, so that none waits for another.

    waiting ── due ──> running ── succeeded ──> waiting for `every`
                          └─────── failed ────> waiting for back_off(failures)

An exception ends one run of one job only. Waits use the monotonic clock, so setting the wall clock
back stops no job.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Event, Thread
from time import monotonic

from ledger import clock
from portal.jobs import failure
from portal.jobs.failure import JobError
from portal.operations.job_results import JobResults

FIRST_RETRY = timedelta(minutes=1)  # of jobs that run less often than that
BEAT_S = 5.0  # between writes that show that the process still runs
STOP_S = 10.0  # that runs under way may take when the product stops
_LOG = logging.getLogger("sovereign")

Work = Callable[
    [datetime], datetime | None
]  # returns when the next run is due; None: after `every`


@dataclass(frozen=True, slots=True)
class Job:
    """A job. `work` runs every `every`, or at the time that its last run returned.

    `max_retry`: the longest wait after failures. `limit`: how long a run may take, and how late it
    may begin, before the job is overdue.
    """

    name: str
    every: timedelta
    work: Work
    max_retry: timedelta = timedelta(minutes=5)
    limit: timedelta = timedelta(minutes=1)

    def back_off(self, failures: int) -> timedelta:
        """The wait after `failures` failures in a row; it doubles each time."""
        first = min(self.every, FIRST_RETRY)
        doublings = min(failures - 1, 20)  # the cap is reached long before; more would overflow
        return min(first * (1 << doublings), max(self.max_retry, first))


class Runner:
    """Runs each job while the context `running` lasts. `results` records how runs ended."""

    def __init__(
        self, jobs: Sequence[Job], results: JobResults, now: Callable[[], datetime] = clock.now
    ) -> None:
        self._jobs, self.results, self._now = jobs, results, now
        self._stopping = Event()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Start every job at once. At the end no new run begins; a run that does not end within
        STOP_S ends with the process, as after a crash.
        """
        self.results.begin({each.name: each.limit for each in self._jobs}, self._now())
        threads = [
            Thread(target=self._loop, args=[each], name=f"job {each.name}", daemon=True)
            for each in self._jobs
        ]
        threads.append(Thread(target=self._beat, name="jobs", daemon=True))
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stopping.set()
            until = monotonic() + STOP_S
            for thread in threads:
                thread.join(max(until - monotonic(), 0))
            self.results.end(self._now())

    def run_once(self, job: Job) -> timedelta:
        """Run a job once and record the result; returns how long to wait for the next run."""
        at = self._now()
        self.results.started(job.name, at)
        try:
            wanted = job.work(at)
        except Exception as error:  # noqa: BLE001 - whatever it was, the job is retried
            return self._failed(job, error)
        done = self._now()
        wait = job.every if wanted is None else max(wanted - done, timedelta(0))
        self.results.succeeded(job.name, done, done + wait)
        return wait

    def _loop(self, job: Job) -> None:
        wait = timedelta(0)
        while not self._stopping.wait(wait.total_seconds()):
            wait = self.run_once(job)

    def _beat(self) -> None:
        while not self._stopping.wait(BEAT_S):
            self.results.beat(self._now())

    def _failed(self, job: Job, error: Exception) -> timedelta:
        line, done, before = failure.line(error), self._now(), self.results.result(job.name)
        failures = before.failures + 1
        wait = job.back_off(failures)
        if isinstance(error, JobError):
            failures = error.failures or failures
            wait = wait if error.retry_at is None else max(error.retry_at - done, timedelta(0))
        if line != before.error:  # log the same failure once
            _LOG.warning("job %s failed: %s", job.name, line)
        self.results.failed(job.name, done, done + wait, line, failures)
        return wait

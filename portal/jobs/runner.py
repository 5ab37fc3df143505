"""Runs jobs side by side, each in a thread of its own, so that none waits for another.

    waiting ── due ──> running ── succeeded ──> waiting for `every`
                          └─────── failed ────> waiting for back_off(failures)

Any exception ends one run of one job. Waiting is measured by a clock that nobody sets, so a wall
clock that is set back stops no job.
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
BEAT_S = 5.0  # between words that the process still runs
STOP_S = 10.0  # for runs that are under way when the product stops
_LOG = logging.getLogger("sovereign")

Work = Callable[[datetime], datetime | None]  # one run at a time; when the next is due, or None


@dataclass(frozen=True, slots=True)
class Job:
    """`work` runs `every` so often, and whenever it names the time of its next run itself.

    `max_retry`: the longest wait after failures. `limit`: how long a run may take, and how late it
    may begin, before the job is called overdue.
    """

    name: str
    every: timedelta
    work: Work
    max_retry: timedelta = timedelta(minutes=5)
    limit: timedelta = timedelta(minutes=1)

    def back_off(self, failures: int) -> timedelta:
        """How long to wait after so many failures in a row: twice as long each time."""
        first = min(self.every, FIRST_RETRY)
        doublings = min(failures - 1, 20)  # more would overflow long after the cap is reached
        return min(first * (1 << doublings), max(self.max_retry, first))


class Runner:
    """Runs each job for as long as `running` lasts. `results` says how the last runs ended."""

    def __init__(
        self, jobs: Sequence[Job], results: JobResults, now: Callable[[], datetime] = clock.now
    ) -> None:
        self._jobs, self.results, self._now = jobs, results, now
        self._stopping = Event()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Begin every job at once. At the end no run begins any more; one that does not end soon is
        left to end with the process, as after a crash."""
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
        """One run of a job, whatever comes of it; how long to wait for the next."""
        at = self._now()
        self.results.started(job.name, at)
        try:
            wanted = job.work(at)
        except Exception as error:  # noqa: BLE001 - whatever it was, the job is tried again
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
        if line != before.error:  # once, however often it fails in the same way
            _LOG.warning("job %s failed: %s", job.name, line)
        self.results.failed(job.name, done, done + wait, line, failures)
        return wait

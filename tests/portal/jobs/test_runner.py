"""Jobs run side by side, and whatever happens to one happens to no other."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event

import pytest

from gate.reads.sources.interface import SourceUnavailableError
from portal.jobs import failure
from portal.jobs.failure import JobError
from portal.jobs.runner import Job, Runner
from portal.operations import job_results
from portal.operations.job_results import Health, JobResult, JobResults, JobResultsError
from steward.notify.recipients import RecipientError

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
QUICK = timedelta(milliseconds=5)


@dataclass
class SetClock:
    """Tells the time that the test says."""

    now: datetime = NOON

    def __call__(self) -> datetime:
        return self.now


@dataclass
class Work:
    """Does nothing, fails, or waits until it is let go."""

    error: Exception | None = None
    again: datetime | None = None
    waits: Event | None = None
    runs: list[datetime] = field(default_factory=list)

    def __call__(self, at: datetime) -> datetime | None:
        self.runs.append(at)
        if self.waits:
            assert self.waits.wait(180)
        if self.error:
            raise self.error
        return self.again


def runner(job: Job, clock: Callable[[], datetime]) -> Runner:
    made = Runner([job], JobResults(None), clock)
    made.results.begin({job.name: job.limit}, clock())
    return made


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 180
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_job_that_succeeds_runs_again_after_its_time() -> None:
    clock, job = SetClock(), Job("some", 7 * SECOND, Work())
    made = runner(job, clock)
    assert made.run_once(job) == 7 * SECOND
    result = made.results.result("some")
    assert result.last_started == result.last_finished == result.last_success == NOON
    assert (result.failures, result.error, result.next_run) == (0, "", NOON + 7 * SECOND)


def test_a_job_may_name_the_time_of_its_next_run_itself() -> None:
    clock = SetClock()
    for again, wait in ((NOON + MINUTE, MINUTE), (NOON - MINUTE, timedelta(0))):
        job = Job("some", 7 * SECOND, Work(again=again))
        assert runner(job, clock).run_once(job) == wait


def test_a_job_that_fails_waits_twice_as_long_each_time_up_to_a_cap() -> None:
    clock, work = SetClock(), Work(error=ValueError("c00007"))
    job = Job("some", 2 * SECOND, work, max_retry=MINUTE)
    made = runner(job, clock)
    waits = [made.run_once(job).total_seconds() for _ in range(8)]
    assert waits == [2, 4, 8, 16, 32, 60, 60, 60]
    assert made.results.result("some").failures == 8
    work.error = None
    assert made.run_once(job) == 2 * SECOND
    assert made.results.result("some").failures == 0


def test_a_job_that_runs_seldom_is_tried_again_after_a_minute() -> None:
    job = Job("some", timedelta(hours=1), Work(), max_retry=timedelta(hours=1))
    waits = [job.back_off(failures) for failures in (1, 2, 3, 7, 2_000)]
    assert waits == [MINUTE, 2 * MINUTE, 4 * MINUTE, timedelta(hours=1), timedelta(hours=1)]


def test_a_job_of_several_parts_counts_and_waits_for_itself() -> None:
    error = JobError("one of them failed", retry_at=NOON + 3 * SECOND, failures=5)
    job = Job("some", MINUTE, Work(error=error))
    made = runner(job, SetClock())
    assert made.run_once(job) == 3 * SECOND
    assert made.results.result("some").failures == 5


def test_a_job_that_fails_or_takes_for_ever_delays_no_other() -> None:
    let_go = Event()
    failing, stuck, well = Work(error=KeyError("c00007")), Work(waits=let_go), Work()
    works = {"failing": failing, "stuck": stuck, "well": well}
    made = Runner([Job(name, QUICK, work) for name, work in works.items()], JobResults(None))
    with made.running():
        until(lambda: len(well.runs) > 20 and failing.runs and stuck.runs)
        assert len(stuck.runs) == 1
        let_go.set()
    assert made.results.result("failing").failures == len(failing.runs)


def test_nothing_runs_after_the_end() -> None:
    work = Work()
    with Runner([Job("some", QUICK, work)], JobResults(None)).running():
        until(lambda: work.runs)
    done = len(work.runs)
    time.sleep(0.05)
    assert len(work.runs) == done


def test_a_failure_is_logged_once_and_again_when_it_is_another(
    caplog: pytest.LogCaptureFixture,
) -> None:
    work = Work(error=JobError("no paper"))
    job = Job("some", SECOND, work)
    made = runner(job, SetClock())
    with caplog.at_level(logging.WARNING, "sovereign"):
        for error in (JobError("no paper"), JobError("no paper"), JobError("no ink")):
            work.error = error
            made.run_once(job)
    assert caplog.messages == ["job some failed: no paper", "job some failed: no ink"]


def raised() -> Exception:
    """An error that repeats what it was looking for."""
    rows: dict[str, int] = {}
    try:
        rows["Clara Whitby"]
    except KeyError as error:
        return error
    raise AssertionError


LINES = {
    "steward.toml: misspelt": RecipientError("steward.toml: misspelt"),
    "PermissionError: Permission denied: /log": PermissionError(13, "Permission denied", "/log"),
    "the source of personal rows cannot be read (see the contracts page)": (
        SourceUnavailableError("Could not convert 'Clara Whitby' to INT32")
    ),
    "one of them failed": JobError("one\nof them  failed"),
}


@pytest.mark.parametrize("line", LINES)
def test_a_failure_is_one_plain_line(line: str) -> None:
    assert failure.line(LINES[line]) == line


def test_the_line_of_an_unexpected_error_repeats_no_personal_data() -> None:
    line = failure.line(raised())
    assert "Clara" not in line
    assert line.startswith("KeyError in tests/portal/jobs/test_runner.py, line ")


def result(**facts: object) -> JobResult:
    known = {"last_started": NOON, "last_finished": NOON, "next_run": NOON + MINUTE}
    return JobResult(**(known | facts))  # type: ignore[arg-type] # by name, as the test says


HEALTH = {
    "it waits for its time": (result(), Health.OK),
    "it failed once": (result(failures=1), Health.RETRYING),
    "it failed three times": (result(failures=3), Health.FAILING),
    "it should have run": (result(next_run=NOON - 2 * MINUTE), Health.OVERDUE),
    "it runs": (result(next_run=None), Health.OK),
    "it runs for too long": (
        result(last_started=NOON - 2 * MINUTE, next_run=None),
        Health.OVERDUE,
    ),
    "it may run for long": (
        result(last_started=NOON - 2 * MINUTE, next_run=None, limit=5 * MINUTE),
        Health.OK,
    ),
}


@pytest.mark.parametrize("why", HEALTH)
def test_health_of_a_job(why: str) -> None:
    known, health = HEALTH[why]
    assert known.health(NOON) is health


def test_another_process_reads_how_the_last_runs_ended(tmp_path: Path) -> None:
    path = tmp_path / job_results.FILE
    written = JobResults(path)
    written.begin({"some": MINUTE, "other": MINUTE}, NOON)
    written.started("some", NOON)
    written.failed("some", NOON, NOON + MINUTE, "no paper", 3)
    found = job_results.load(tmp_path)
    assert found == written.snapshot(NOON)
    assert found.health(NOON) == {"some": Health.FAILING, "other": Health.OK}
    assert found.degraded(NOON)


def test_a_process_that_is_gone_runs_no_job(tmp_path: Path) -> None:
    written = JobResults(tmp_path / job_results.FILE)
    written.begin({"some": 5 * MINUTE}, NOON)
    assert not job_results.load(tmp_path).degraded(NOON)
    silent = NOON + job_results.SILENT + SECOND
    assert job_results.load(tmp_path).health(silent) == {"some": Health.STOPPED}
    written.beat(silent)
    assert not job_results.load(tmp_path).degraded(silent)
    written.end(silent)
    assert job_results.load(tmp_path).degraded(silent)


def test_without_a_job_nothing_is_in_order() -> None:
    assert JobResults(None).snapshot(NOON).degraded(NOON)


def test_a_record_that_cannot_be_written_holds_up_no_job(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "state").write_text("a file where a folder should be")
    job = Job("some", SECOND, Work())
    made = Runner([job], JobResults(tmp_path / job_results.FILE), SetClock())
    made.results.begin({"some": MINUTE}, NOON)
    made.results.beat(NOON)
    assert made.run_once(job) == SECOND
    assert [each for each in caplog.messages if "cannot be written" in each][1:] == []


UNREADABLE = {
    "no file": None,
    "no JSON": "{",
    "another format": '{"format": "sovereign-jobs/v2"}',
    "a list": "[]",
    "a job without its facts": '{"format": "sovereign-jobs/v1", "jobs": {"some": {}}}',
}


@pytest.mark.parametrize("why", UNREADABLE)
def test_a_record_that_cannot_be_read_is_named(why: str, tmp_path: Path) -> None:
    path, text = tmp_path / job_results.FILE, UNREADABLE[why]
    if text is not None:
        path.parent.mkdir()
        path.write_text(text)
    with pytest.raises(JobResultsError, match=r"jobs\.json"):
        job_results.load(tmp_path)

"""Replays a period: checks that its answers are what ledger, contracts and policy allowed.

Opening the customer of an entry needs the company's keys, so its own server runs the replay; the
command `sovereign replay` does the same over a copy. A replay is expensive: one runs at a time, and
the number of entries is limited.
"""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from pathlib import Path
from threading import Lock

from gate.readlog.acts import ReadLogActs, missing_text
from gate.replay.replay import replay
from gate.replay.report import ReplayDifference, ReplayReport
from gate.state import consent_bits
from gate.storage.read_log import ReadLogDatabase, ReadLogDatabases
from ledger.follower import Follower
from portal.operations.replay_grounds import grounds

MAX_DAYS = 366
MAX_ENTRIES = 1_000_000  # of all read logs; for more, use the command
MAX_SHOWN = 50  # differences


class ReplayBusyError(Exception):
    """Another replay is running. Try again when it has ended."""


class PeriodError(ValueError):
    """The period is malformed, too long, or has too many entries."""


@dataclass(frozen=True, slots=True)
class Replayed:
    first: date
    last: date
    report: ReplayReport

    @property
    def shown(self) -> list[ReplayDifference]:
        return self.report.differences[:MAX_SHOWN]


class Replays:
    """Runs replays of one data directory. Thread-safe."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._running = Lock()
        self._logs = ReadLogDatabases(home)

    def run(self, first: date, last: date) -> Replayed:
        """Replay every read log from the first day to the last, both included (UTC).

        Raises PeriodError, and ReplayBusyError if one is running.
        """
        if not timedelta() <= last - first < timedelta(days=MAX_DAYS):
            raise PeriodError(
                f"want 1 to {MAX_DAYS} days, found {(last - first).days + 1}: change the period"
            )
        if sum(map(_size, self._logs.all())) > MAX_ENTRIES:
            raise PeriodError(
                f"want at most {MAX_ENTRIES} entries, found more: run `sovereign replay`"
            )
        with self._alone():
            rests_on = grounds(self._home, [], lambda _: None)
            minutes = range(_minute(first), _minute(last + timedelta(days=1)))
            opened = partial(Follower, self._home)
            report = ReplayReport()
            for each in self._logs.instances():
                found = replay(opened, self._home, each, rests_on, period=minutes)
                found.faults = [f"{each}: {fault}" for fault in found.faults]
                report += found
            report.faults += self._missing(last)
        return Replayed(first, last, report)

    def _missing(self, last: date) -> list[str]:
        """The read logs that were opened by that day, and have no database."""
        with closing(Follower(self._home)) as ledger:
            missing = ReadLogActs(ledger).missing(self._home)
        return [
            f"{name}: {missing_text(log)}"
            for name, log in missing.items()
            if log.opened.date() <= last
        ]

    @contextmanager
    def _alone(self) -> Iterator[None]:
        if not self._running.acquire(blocking=False):
            raise ReplayBusyError
        try:
            yield
        finally:
            self._running.release()


def _size(log: ReadLogDatabase) -> int:
    with log.reader() as reader:
        head = reader.head()
    return head.size if head else 0


def _minute(day: date) -> int:
    return consent_bits.minute(datetime.combine(day, time(), UTC))

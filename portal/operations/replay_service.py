"""Replay a period: whether its answers were what ledger, contracts and policy allowed.


It takes the company's keys to open whom an entry is about, so the company's own server does it; the
same command runs over a copy. It is work, so one replay runs at a time, and of so many entries.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from pathlib import Path
from threading import Lock

from gate.readlog.writer import LOG
from gate.replay.replay import ReplayDifference, ReplayReport, replay
from gate.state import consent_bits
from ledger.follower import Follower
from ledger.storage.sqlite import SqlStore
from ledger.tlog import checkpoint, signed_note
from portal.operations.replay_grounds import grounds

MOST_DAYS = 366
MOST_ENTRIES = 1_000_000  # of all read logs; beyond, the command is the way
MOST_SHOWN = 50  # differences


class ReplayBusyError(Exception):
    """Another replay runs. Ask again when it has ended."""


class PeriodError(ValueError):
    """The period cannot be replayed here."""


@dataclass(frozen=True, slots=True)
class Replayed:
    first: date
    last: date
    report: ReplayReport

    @property
    def shown(self) -> list[ReplayDifference]:
        return self.report.differences[:MOST_SHOWN]


class Replays:
    """Thread-safe."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._running = Lock()

    def run(self, first: date, last: date) -> Replayed:
        """Replay every read log from the first day to the last, both included (UTC).

        Raises PeriodError, and BusyError if one runs already.
        """
        if not timedelta() <= last - first < timedelta(days=MOST_DAYS):
            raise PeriodError(f"want at most {MOST_DAYS} days, the first before the last")
        logs = [path.parent for path in (self._home / "reads").glob(f"*/{LOG}")]
        if sum(map(_size, logs)) > MOST_ENTRIES:
            raise PeriodError(f"more than {MOST_ENTRIES} entries: run `sovereign replay`")
        with self._alone():
            rests_on = grounds(self._home, [], lambda _: None)
            minutes = range(_minute(first), _minute(last + timedelta(days=1)))
            opened = partial(Follower, self._home)
            report = ReplayReport()
            for each in sorted(logs):
                report += replay(opened, each, rests_on, period=minutes)
        return Replayed(first, last, report)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        if not self._running.acquire(blocking=False):
            raise ReplayBusyError
        try:
            yield
        finally:
            self._running.release()


def _size(folder: Path) -> int:
    store = SqlStore(folder / LOG)
    try:
        head = store.head()
    finally:
        store.close()
    return checkpoint.parse(signed_note.parse(head.note).text).size if head else 0


def _minute(day: date) -> int:
    return consent_bits.minute(datetime.combine(day, time(), UTC))

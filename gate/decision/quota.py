"""How much a service may read in a scene, and from how much on somebody is told.

    Quota(points_per_minute=600, rows_per_day=100_000, points_told=5_000, share_told=0.2)

A quota stands for a service in a scene, and so for a purpose: every scene has one. What is over it
is refused with reason `quota-exceeded` until its window ends; windows are the minutes and the days
of UTC. Only personal rows count. Each gate instance counts for itself, in memory: what a service
may read in all is at most its quota times the instances, anew when one is started.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from threading import Lock

from gate.decision.alert import Alarm, AlertKind, GateAlert, log

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
_ZERO = datetime(2020, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Quota:
    """None: no limit. From `points_told` points of an hour on, and above a share of all customers
    in one answer, an alert is raised; nothing is refused by these. Rows name customers, and so
    `share_told` is low; tables name nobody and are for everybody: `table_share_told`."""

    points_per_minute: int | None = None
    rows_per_day: int | None = None
    points_told: int | None = 10_000
    share_told: float | None = 0.25
    table_share_told: float | None = None


@dataclass(slots=True)
class _Used:
    """What was counted, by name, in the present window of each."""

    windows: dict[str, tuple[int, int]] = field(default_factory=dict)

    def add(
        self, what: str, length: timedelta, at: datetime, amount: int, most: int | None = None
    ) -> int | None:
        """The sum with `amount`, or None (and nothing added) if that is more than `most`."""
        number, used = self.windows.get(what, (-1, 0))
        window = (at - _ZERO) // length
        if number >= window:  # a clock that goes back opens no new window
            amount += used
        if most is not None and amount > most:
            return None
        self.windows[what] = max(number, window), amount
        return amount

    def within(self, what: str, length: timedelta, at: datetime) -> int:
        """The sum of the window that `at` lies in."""
        number, used = self.windows.get(what, (-1, 0))
        return used if number >= (at - _ZERO) // length else 0


@dataclass(frozen=True, slots=True)
class Usage:
    """What was read in the present minute and day, beside the quota (None: no limit)."""

    points: int
    points_per_minute: int | None
    rows: int
    rows_per_day: int | None


class Quotas:
    """Counts what services read. Thread-safe.

    `limits` by (service, scene); what is not there has `default`. Only requests that contract and
    policy allow are counted, so nobody fills the memory with names.
    """

    def __init__(
        self,
        limits: Mapping[tuple[str, str], Quota] | None = None,
        default: Quota | None = None,
        alarm: Alarm = log,
    ) -> None:
        self._limits, self._default = dict(limits or {}), default or Quota()
        self._alarm = alarm
        self._used: dict[tuple[str, str], _Used] = {}
        self._lock = Lock()

    def admits_point(self, service: str, scene: str, at: datetime) -> bool:
        """Count one customer's read, unless it is over the quota. May raise an alert, once an
        hour."""
        quota = self._of(service, scene)
        with self._lock:
            used = self._used.setdefault((service, scene), _Used())
            if used.add("points", MINUTE, at, 1, quota.points_per_minute) is None:
                return False
            points = used.add("points told", HOUR, at, 1)
        if points is not None and points == quota.points_told:
            detail = f"{points} customers were read one by one within an hour"
            self._alarm(GateAlert(AlertKind.MASS_EXPORT, service, scene, at, points, detail))
        return True

    def admits_rows(self, service: str, scene: str, at: datetime, rows: int) -> bool:
        """Count an answer of so many personal rows, unless it is over the quota."""
        with self._lock:
            used = self._used.setdefault((service, scene), _Used())
            most = self._of(service, scene).rows_per_day
            return used.add("rows", DAY, at, rows, most) is not None

    def tell_share(
        self, service: str, scene: str, at: datetime, action: str, rows: int, of: int
    ) -> None:
        """Raise an alert, once an hour, if an answer holds a large share `of` all customers."""
        quota = self._of(service, scene)
        share = quota.table_share_told if action == "table" else quota.share_told
        if share is None or rows <= share * of:
            return
        with self._lock:
            used = self._used.setdefault((service, scene), _Used())
            first = used.add(f"{action} told", HOUR, at, 1) == 1
        if first:
            detail = f"one answer ({action}) holds {rows} of {of} customers"
            self._alarm(GateAlert(AlertKind.MASS_EXPORT, service, scene, at, rows, detail))

    def usage(self, service: str, scene: str, at: datetime) -> Usage:
        """What the service has read in the scene in the minute and the day of `at`."""
        quota = self._of(service, scene)
        with self._lock:
            used = self._used.get((service, scene), _Used())
            points = used.within("points", MINUTE, at)
            rows = used.within("rows", DAY, at)
        return Usage(points, quota.points_per_minute, rows, quota.rows_per_day)

    def _of(self, service: str, scene: str) -> Quota:
        return self._limits.get((service, scene), self._default)


def wait_s(at: datetime, length: timedelta) -> int:
    """Seconds until the window that `at` lies in has ended; at least 1."""
    left = length - (at - _ZERO) % length
    return max(1, -(-left // timedelta(seconds=1)))

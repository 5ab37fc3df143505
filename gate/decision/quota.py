"""Quotas: how much a service may read in a scene, and how much raises an alert.

    Quota(points_per_minute=600, rows_per_day=100_000, points_alert=5_000, share_alert=0.2)

A quota applies to one service in one scene, and therefore to one purpose. A question whether a read
is allowed counts as a read, a customer whom a search names as a row, and so does each id of a read
by name. What is beyond the quota is
refused with reason `quota-exceeded` until the window ends; windows are UTC minutes and days. Only
personal rows count. All gates of a data directory share the limits: each reserves a fiftieth of a
quota in the database at a time and spends it in its memory, so that in sum they never exceed it,
and near the limit one gate may be refused what another has reserved. Alerts count for each gate.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from threading import Lock
from typing import Protocol

from gate.decision.alert import Alarm, AlertKind, GateAlert, log

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
BLOCKS = 50  # of a quota; a gate reserves one at a time
POINTS, ROWS = "points", "rows"
POLLS = "*"  # counts in place of a scene: no scene has this name
_ZERO = datetime(2020, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Quota:
    """Limits and alert thresholds; None: no limit.

    An alert is raised, and nothing refused, at `points_alert` single reads or questions within an
    hour, and when one answer, or the searches and reads by name of an hour, have more than a share
    of all customers: `share_alert` for those, which name them, `table_share_alert` for tables.
    """

    points_per_minute: int | None = None
    rows_per_day: int | None = None
    points_alert: int | None = 10_000
    share_alert: float | None = 0.25
    table_share_alert: float | None = None

    @property
    def is_limited(self) -> bool:
        return self.points_per_minute is not None or self.rows_per_day is not None


class CounterStore(Protocol):
    """Shared counters by (service, scene, name): see gate.storage.quotas.QuotaStore."""

    def reserve(
        self, counter: tuple[str, str, str], window: int, need: int, want: int, limit: int
    ) -> tuple[int, int]: ...
    def reserved(self, counter: tuple[str, str, str], window: int) -> int: ...


@dataclass(slots=True)
class _Used:
    """The counters of one service in one scene: name -> current window and its sum.

    `blocks`: name -> window and what is left of what was reserved in it.
    """

    windows: dict[str, tuple[int, int]] = field(default_factory=dict)
    blocks: dict[str, tuple[int, int]] = field(default_factory=dict)

    def add(
        self, what: str, length: timedelta, at: datetime, amount: int, most: int | None = None
    ) -> int | None:
        """Add `amount` and return the sum; None, and nothing added, if it would exceed `most`."""
        number, used = self.windows.get(what, (-1, 0))
        window = (at - _ZERO) // length
        if number >= window:  # a clock that goes back does not reset the count
            amount += used
        if most is not None and amount > most:
            return None
        self.windows[what] = max(number, window), amount
        return amount

    def within(self, what: str, length: timedelta, at: datetime) -> int:
        """The sum of the window that contains `at`."""
        number, used = self.windows.get(what, (-1, 0))
        return used if number >= (at - _ZERO) // length else 0


@dataclass(frozen=True, slots=True)
class Usage:
    """What was read in the current minute and day, and the limits (None: no limit)."""

    points: int
    points_per_minute: int | None
    rows: int
    rows_per_day: int | None


class Quotas:
    """Counts what services read. Thread-safe.

    `limits`: quotas by (service, scene); all others have `default`. Only requests that contract and
    policy allow are counted, so made-up names cannot fill the memory.
    """

    def __init__(
        self,
        limits: Mapping[tuple[str, str], Quota] | None = None,
        default: Quota | None = None,
        alarm: Alarm = log,
        store: CounterStore | None = None,
    ) -> None:
        """`store`: the counters that other gates share; None: there are no others."""
        self._limits, self._default = dict(limits or {}), default or Quota()
        self._alarm, self._store = alarm, store
        self._used: dict[tuple[str, str], _Used] = {}
        self._lock = Lock()
        quotas = (self._default, *self._limits.values())
        # Whether counting may wait for a database.
        self.waits = store is not None and any(each.is_limited for each in quotas)

    def admits_point(self, service: str, scene: str, at: datetime) -> bool:
        """Count one customer's read; False, and not counted, if it exceeds the quota.

        Raises an alert at most once an hour.
        """
        return self.admits_points(service, scene, at, 1) == 1

    def admits_points(self, service: str, scene: str, at: datetime, number: int) -> int:
        """Count as many of `number` customers, read or asked about one by one, as the quota has
        room for, and return how many. Raises an alert at most once an hour.
        """
        quota = self._of(service, scene)
        with self._lock:
            admitted = self._fitting(service, scene, at, number, quota.points_per_minute)
            used = self._used.setdefault((service, scene), _Used())
            points = used.add("points an hour", HOUR, at, admitted) or 0
        if quota.points_alert and points - admitted < quota.points_alert <= points:
            detail = f"{points} reads of and questions about single customers within an hour"
            self._alarm(GateAlert(AlertKind.MASS_EXPORT, service, scene, at, points, detail))
        return admitted

    def admits_poll(self, service: str, at: datetime) -> bool:
        """Count one poll of the feed of changes, by the quota of scenes that have none of their
        own; False, and not counted, if it exceeds it.
        """
        with self._lock:
            limit = self._default.points_per_minute
            return self._takes(service, POLLS, POINTS, MINUTE, at, 1, limit)

    def _fitting(
        self, service: str, scene: str, at: datetime, number: int, limit: int | None
    ) -> int:
        """Count `number` single reads, or if that is too many as many as there is room for."""

        def takes(amount: int) -> bool:
            return self._takes(service, scene, POINTS, MINUTE, at, amount, limit)

        if takes(number):
            return number
        return next((done for done in range(number) if not takes(1)), number)

    def admits_rows(self, service: str, scene: str, at: datetime, rows: int) -> bool:
        """Count an answer of `rows` personal rows; False, and not counted, beyond the quota."""
        most = self._of(service, scene).rows_per_day
        with self._lock:
            return self._takes(service, scene, ROWS, DAY, at, rows, most)

    def alert_on_share(
        self, service: str, scene: str, at: datetime, action: str, rows: int, of: int
    ) -> None:
        """Raise an alert, at most once an hour, if an answer has a large share `of` customers."""
        quota = self._of(service, scene)
        share = quota.table_share_alert if action == "table" else quota.share_alert
        if share is None or rows <= share * of:
            return
        with self._lock:
            used = self._used.setdefault((service, scene), _Used())
            first = used.add(f"{action} alerts", HOUR, at, 1) == 1
        if first:
            detail = f"one answer ({action}) holds {rows} of {of} customers"
            self._alarm(GateAlert(AlertKind.MASS_EXPORT, service, scene, at, rows, detail))

    def alert_on_names(self, service: str, scene: str, at: datetime, names: int, of: int) -> None:
        """Raise an alert, at most once an hour, when searches and reads by name gave customers more
        often than a large share `of` all. Whoever is given twice counts twice.
        """
        share = self._of(service, scene).share_alert
        with self._lock:
            used = self._used.setdefault((service, scene), _Used())
            named = used.add("names an hour", HOUR, at, names) or 0
            many = share is not None and named > share * of
            first = many and used.add("names alerts", HOUR, at, 1) == 1
        if first:
            detail = (
                f"searches and reads by name gave customers {named} times within an hour, of {of} "
                "whom they can be about"
            )
            self._alarm(GateAlert(AlertKind.MASS_EXPORT, service, scene, at, named, detail))

    def usage(self, service: str, scene: str, at: datetime) -> Usage:
        """What the service has read in the scene in the minute and the day of `at`."""
        quota = self._of(service, scene)
        with self._lock:
            points = self._within(service, scene, POINTS, MINUTE, at, quota.points_per_minute)
            rows = self._within(service, scene, ROWS, DAY, at, quota.rows_per_day)
        return Usage(points, quota.points_per_minute, rows, quota.rows_per_day)

    def _takes(
        self,
        service: str,
        scene: str,
        what: str,
        length: timedelta,
        at: datetime,
        amount: int,
        limit: int | None,
    ) -> bool:
        """Count `amount`; False, and nothing counted, if it would exceed `limit`."""
        used = self._used.setdefault((service, scene), _Used())
        if self._store is None or limit is None:
            return used.add(what, length, at, amount, limit) is not None
        counter, block = (service, scene, what), max(1, limit // BLOCKS)
        last, left = used.blocks.get(what, (-1, 0))
        window = max(last, (at - _ZERO) // length)  # a clock that goes back does not reset it
        left = left if last == window else 0
        while left < amount:
            need = amount - left
            stored, granted = self._store.reserve(counter, window, need, max(need, block), limit)
            left = granted if stored > window else left + granted
            window = stored
            if not granted:
                break
        used.blocks[what] = window, left - amount if left >= amount else left
        return left >= amount

    def _within(
        self,
        service: str,
        scene: str,
        what: str,
        length: timedelta,
        at: datetime,
        limit: int | None,
    ) -> int:
        """What all gates have counted in the window of `at`, and reserved in other gates."""
        used = self._used.get((service, scene), _Used())
        if self._store is None or limit is None:
            return used.within(what, length, at)
        window = (at - _ZERO) // length
        last, left = used.blocks.get(what, (-1, 0))
        reserved = self._store.reserved((service, scene, what), window)
        return reserved - (left if last >= window else 0)

    def _of(self, service: str, scene: str) -> Quota:
        return self._limits.get((service, scene), self._default)


def wait_s(at: datetime, length: timedelta) -> int:
    """Seconds until the window that contains `at` ends; at least 1."""
    left = length - (at - _ZERO) % length
    return max(1, -(-left // timedelta(seconds=1)))

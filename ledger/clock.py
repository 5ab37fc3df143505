"""The only module that reads the system clock, and that says when it cannot be believed.

Records carry whole seconds, so `now` returns whole seconds. Decisions never call it: they take the
time as an argument, and the caller reads the clock once per request.

A wall clock that jumps is not followed. Time is counted on from the last moment that was believed,
with the machine's own counter of seconds, and the clock is in doubt until it agrees with that count
again or somebody confirms it. In doubt, nothing personal leaves (gate.reads.point), no grant ends
or begins again, and no case is opened; withdrawals are still taken. At a start there is nothing to
count from but the time at which the data directory was last used.

    home/state/clock.json   {"confirmed":"2026-11-29T06:31:07Z"}: the wall clock was right then
"""

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock

CONFIRMED = Path("state") / "clock.json"
BACK_S = 60.0  # a step back, or behind the last use, that is believed
AHEAD_S = 3600.0  # a step ahead that is believed: a virtual machine that was paused
UNUSED_S = 31 * 86_400.0  # ahead of the last use, at a start
ANCHOR_S = 10.0  # how often the count begins again, so that small corrections are followed
LOOK_S = 1.0  # how often a confirmation is looked for

Seconds = Callable[[], float]


class Clock:
    """A wall clock, compared with a counter that nobody sets. Thread-safe."""

    def __init__(self, wall: Seconds = time.time, counted: Seconds | None = None) -> None:
        """`wall`: seconds since 1970; `counted`: seconds since any moment, never set."""
        self._wall, self._counted = wall, counted or _since_boot
        self._guard = Lock()
        self._home: Path | None = None
        self._doubted_at = ""  # the confirmation that was there when the doubt began
        self._why: str | None = None
        self._looked, self._ahead_s = 0.0, 0.0
        self._base, self._from = self._wall(), self._counted()

    def begin(self, home: Path, last_used: datetime | None) -> None:
        """Compare the wall clock with the time at which `home` was last used; None: never."""
        with self._guard:
            self._home = home
            self._anchor()
            self._why = None
            if last_used is None:
                return
            gap = self._wall() - last_used.timestamp()
            if -BACK_S <= gap <= UNUSED_S or _is_near(_confirmed(home), self._wall()):
                return
            self._base = last_used.timestamp()
            self._doubt(f"{home} was last used {_stamp(last_used.timestamp())}", UNUSED_S)

    def seconds(self) -> float:
        """The time that is believed, in seconds since 1970."""
        wall, counted = self._wall(), self._counted()
        expected = self._base + (counted - self._from)
        step = wall - expected
        if self._why is None and -BACK_S <= step <= AHEAD_S:
            if counted - self._from > ANCHOR_S:
                self._base, self._from = wall, counted
            return wall
        return self._in_doubt(step, expected, wall, counted)

    def doubt(self) -> str | None:
        """Why the wall clock is not believed, and what to do; None if it is."""
        self.seconds()
        return self._why

    def _in_doubt(self, step: float, expected: float, wall: float, counted: float) -> float:
        with self._guard:
            if self._why is None:
                self._doubt(f"it was set by {step:+.0f} s", BACK_S)
            if counted - self._looked < LOOK_S:
                return expected
            self._looked = counted
            if not -BACK_S <= step <= self._ahead_s and not self._is_confirmed(wall):
                return expected
            self._why = None
            self._anchor()
            return wall

    def _doubt(self, why: str, ahead_s: float) -> None:
        """`ahead_s`: how far ahead of the count the clock may be to be believed again."""
        self._ahead_s = ahead_s
        self._doubted_at = _confirmed(self._home) if self._home else ""
        self._why = (
            f"the clock of this machine says {_stamp(self._wall())}, but {why}: set it right, or "
            "confirm it with `sovereign clock --confirm`"
        )

    def _is_confirmed(self, wall: float) -> bool:
        """Whether somebody confirmed the wall clock, as it goes now, since it was doubted."""
        if self._home is None:
            return False
        found = _confirmed(self._home)
        return _is_near(found, wall) and found != self._doubted_at

    def _anchor(self) -> None:
        self._base, self._from = self._wall(), self._counted()


def now() -> datetime:
    """The current time, aware, in UTC, truncated to the second.

    While the wall clock is in doubt, it is counted on from the last moment that was believed.
    """
    return datetime.fromtimestamp(int(_CLOCK.seconds()), UTC)


def posix() -> float:
    """Seconds since 1970 with a fraction, for the lifetimes of tokens and proofs. Never recorded.

    These are compared with times that other systems issue, so truncating to the second would make
    a token valid up to a second too early or too late.
    """
    return time.time()


def begin(home: Path, last_used: datetime | None) -> None:
    """As `Clock.begin`, for the clock of this process."""
    _CLOCK.begin(home, last_used)


def doubt() -> str | None:
    """As `Clock.doubt`, for the clock of this process."""
    return _CLOCK.doubt()


def shown() -> datetime:
    """The time that the machine shows, in whole seconds, whether it is believed or not."""
    return datetime.fromtimestamp(int(time.time()), UTC)


def confirmation() -> bytes:
    """The content of `CONFIRMED` that confirms the wall clock as it is now."""
    return json.dumps({"confirmed": _stamp(time.time())}).encode()


def _since_boot() -> float:
    """Seconds since the machine started, also while it slept, where the system counts them."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def _confirmed(home: Path) -> str:
    """When the wall clock was last confirmed; "" if never, or if the file cannot be read."""
    try:
        return str(json.loads((home / CONFIRMED).read_bytes())["confirmed"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _is_near(confirmed: str, wall: float) -> bool:
    """Whether a confirmation is of the time that the wall clock shows, or of shortly before."""
    return _stamp(wall - AHEAD_S) <= confirmed <= _stamp(wall + BACK_S)


def _stamp(seconds: float) -> str:
    return datetime.fromtimestamp(max(0.0, seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


_CLOCK = Clock()

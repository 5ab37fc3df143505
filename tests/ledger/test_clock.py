"""A wall clock that jumps is not followed, and is in doubt until it agrees or is confirmed."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ledger.clock import AHEAD_S, BACK_S, CONFIRMED, UNUSED_S, Clock

BEGAN = 1_796_000_000.0  # 2026-11-29
DAY = 86_400.0


class Machine:
    """A machine whose clock can be set. `counted` is its counter of seconds since it started."""

    def __init__(self) -> None:
        self.wall, self.counted = BEGAN, 500.0

    def passes(self, seconds: float) -> None:
        self.wall += seconds
        self.counted += seconds

    def clock(self) -> Clock:
        return Clock(lambda: self.wall, lambda: self.counted)


def confirm(home: Path, wall: float) -> None:
    (home / CONFIRMED).parent.mkdir(exist_ok=True)
    text = datetime.fromtimestamp(wall, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    (home / CONFIRMED).write_text(json.dumps({"confirmed": text}))


def test_a_clock_that_goes_on_is_followed_also_through_small_corrections() -> None:
    machine = Machine()
    clock = machine.clock()
    for correction in (0.0, -20.0, 45.0, -59.0, 900.0):
        machine.passes(11.0)
        machine.wall += correction
        assert clock.doubt() is None
        assert clock.seconds() == machine.wall


@pytest.mark.parametrize("step", [800 * DAY, -800 * DAY, AHEAD_S + 1, -BACK_S - 1])
def test_a_jump_is_not_followed_until_the_clock_is_set_right(step: float) -> None:
    machine = Machine()
    clock = machine.clock()
    machine.passes(30.0)
    clock.seconds()
    machine.wall += step
    for _ in range(3):
        machine.passes(1000.0)
        assert clock.seconds() == machine.wall - step
        assert "set it right" in str(clock.doubt())
    machine.wall -= step
    machine.passes(2.0)
    assert clock.seconds() == machine.wall
    assert clock.doubt() is None


def test_a_jump_is_followed_once_it_is_confirmed(tmp_path: Path) -> None:
    machine = Machine()
    clock = machine.clock()
    clock.begin(tmp_path, None)
    confirm(tmp_path, BEGAN)  # of an earlier doubt
    machine.wall += 40 * DAY
    machine.passes(5.0)
    assert clock.doubt() is not None
    confirm(tmp_path, machine.wall - 2 * DAY)  # of another time
    machine.passes(5.0)
    assert clock.doubt() is not None
    confirm(tmp_path, machine.wall)
    machine.passes(5.0)
    assert clock.doubt() is None
    assert clock.seconds() == machine.wall


@pytest.mark.parametrize("gap", [-BACK_S - 1, UNUSED_S + 1, 800 * DAY])
def test_a_start_far_from_the_last_use_is_in_doubt(tmp_path: Path, gap: float) -> None:
    machine = Machine()
    clock = machine.clock()
    last_used = datetime.fromtimestamp(BEGAN - gap, UTC)
    clock.begin(tmp_path, last_used)
    assert str(last_used.year) in str(clock.doubt())
    assert clock.seconds() == last_used.timestamp()
    machine.passes(60.0)
    assert clock.seconds() == last_used.timestamp() + 60.0


@pytest.mark.parametrize("gap", [-30.0, 0.0, 3 * DAY, 30 * DAY])
def test_a_start_near_the_last_use_is_believed(tmp_path: Path, gap: float) -> None:
    machine = Machine()
    clock = machine.clock()
    clock.begin(tmp_path, datetime.fromtimestamp(BEGAN - gap, UTC))
    assert clock.doubt() is None
    assert clock.seconds() == BEGAN


def test_a_machine_that_learns_the_time_after_its_start_is_believed_then(tmp_path: Path) -> None:
    machine = Machine()
    machine.wall = 0.0
    clock = machine.clock()
    clock.begin(tmp_path, datetime.fromtimestamp(BEGAN, UTC))
    assert clock.doubt() is not None
    machine.passes(20.0)
    machine.wall = BEGAN + 2 * DAY
    assert clock.doubt() is None
    assert clock.seconds() == machine.wall


def test_a_confirmation_before_the_start_counts(tmp_path: Path) -> None:
    machine = Machine()
    confirm(tmp_path, BEGAN)
    clock = machine.clock()
    clock.begin(tmp_path, datetime.fromtimestamp(BEGAN - 90 * DAY, UTC))
    assert clock.doubt() is None


@pytest.mark.parametrize("gap", [3 * DAY, -3 * DAY, 800 * DAY])
def test_a_confirmation_of_another_time_confirms_no_start(tmp_path: Path, gap: float) -> None:
    """Also one from ahead: somebody once confirmed a clock that was wrong."""
    machine = Machine()
    confirm(tmp_path, BEGAN + gap)
    clock = machine.clock()
    clock.begin(tmp_path, datetime.fromtimestamp(BEGAN + 800 * DAY, UTC))
    assert clock.doubt() is not None


def test_a_confirmation_that_cannot_be_read_confirms_nothing(tmp_path: Path) -> None:
    machine = Machine()
    (tmp_path / CONFIRMED).parent.mkdir()
    (tmp_path / CONFIRMED).write_text("{")
    clock = machine.clock()
    clock.begin(tmp_path, datetime.fromtimestamp(BEGAN - 90 * DAY, UTC))
    assert clock.doubt() is not None

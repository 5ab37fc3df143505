"""Clause G37 of specs/gate.md: all gates of a data directory share the limits."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest

from gate.decision.quota import DAY, MINUTE, Quota, Quotas
from gate.storage.quotas import QUOTAS, RESERVED, QuotaStore
from ledger.storage import database
from ledger.storage.database import DatabaseError, writing
from tests.gate.world import NOON
from tests.postgres import fresh, stored_at

NAMED = ("analytics", "segmentation")
LATER = NOON + MINUTE


@pytest.fixture(params=["sqlite", "postgresql"])
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    address = request.getfixturevalue("address") if request.param == "postgresql" else ""
    with stored_at(tmp_path / "home", fresh(address) if address else "") as home:
        yield home


def gate(home: Path, points: int | None = 100, rows: int | None = 1000) -> Quotas:
    """The quotas of one gate, in a process of its own or after a restart."""
    limit = Quota(points_per_minute=points, rows_per_day=rows, points_alert=None)
    return Quotas({NAMED: limit}, store=QuotaStore(home))


def admitted(quotas: Quotas, count: int, at: object = NOON) -> int:
    return sum(quotas.admits_point(*NAMED, at) for _ in range(count))  # type: ignore[arg-type]


@pytest.mark.parametrize("points", [0, 1, 7, 49, 100, 170])
def test_g37_one_gate_is_given_all_of_its_quota(home: Path, points: int) -> None:
    quotas = gate(home, points)
    assert admitted(quotas, points + 5) == points
    assert quotas.usage(*NAMED, NOON).points == points
    assert admitted(quotas, points + 5, LATER) == points


def test_g37_gates_together_never_exceed_a_quota(home: Path) -> None:
    gates = [gate(home) for _ in range(3)]
    with ThreadPoolExecutor(3) as pool:
        sums = [*pool.map(lambda each: admitted(each, 60), gates)]
    assert 100 - 2 * 2 <= sum(sums) <= 100  # of each other gate's block some may be left
    assert gates[0].usage(*NAMED, NOON).points <= 100


def test_g37_rows_are_counted_together(home: Path) -> None:
    one, other = gate(home), gate(home)
    assert one.admits_rows(*NAMED, NOON, 600)
    assert not other.admits_rows(*NAMED, NOON, 401)
    assert other.admits_rows(*NAMED, NOON, 380)
    assert one.usage(*NAMED, NOON).rows == 980
    assert not one.admits_rows(*NAMED, NOON, 21)
    assert one.admits_rows(*NAMED, NOON + DAY, 1000)


def test_g37_a_restart_does_not_reset_the_count(home: Path) -> None:
    assert admitted(gate(home), 90) == 90
    assert admitted(gate(home), 90) == 10
    assert admitted(gate(home), 90, LATER) == 90


def test_g37_a_clock_that_goes_back_does_not_either(home: Path) -> None:
    ahead, behind = gate(home), gate(home)
    assert admitted(ahead, 90, LATER) == 90
    assert admitted(behind, 90, NOON) == 10
    assert admitted(behind, 1, NOON - timedelta(hours=1)) == 0


def test_g37_a_gate_whose_block_was_of_an_earlier_minute_starts_a_new_one(home: Path) -> None:
    slow, fast = gate(home), gate(home)
    assert admitted(slow, 1) == 1  # one of its block of two is left
    assert admitted(fast, 99, LATER) == 99
    assert admitted(slow, 5) == 1  # the one that was left of the minute before


def test_g37_without_a_limit_nothing_is_stored(home: Path) -> None:
    quotas = gate(home, None, None)
    assert admitted(quotas, 5) == 5
    assert QuotaStore(home).reserved((*NAMED, "points"), 0) == 0
    assert quotas.usage(*NAMED, NOON).points == 5


def test_g37_what_cannot_be_counted_is_not_read(tmp_path: Path) -> None:
    quotas = gate(tmp_path)
    with writing(database.of(tmp_path).engine(QUOTAS)) as connection:
        RESERVED.drop(connection)
    with pytest.raises(DatabaseError, match="nothing is read"):
        quotas.admits_point(*NAMED, NOON)

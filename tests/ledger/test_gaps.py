"""Bounds that rest on a gap: checkpoints of the time between are not shown (A16)."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ledger.tlog import policy, signed_note
from ledger.tlog.checkpoint import Checkpoint
from ledger.verify.period.consent import ConsentWalk
from ledger.verify.period.times import PeriodTimes
from ledger.verify.times.attested import Attested, Bounds

NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)
ORIGIN = "x.example/consent"
TRUST = policy.parse(f"log {signed_note.generate(ORIGIN).verifier}\nquorum none\n".encode())
DAY = (NOON - timedelta(hours=12), NOON + timedelta(hours=12))


def seen(size: int, after_s: float) -> Attested:
    at = NOON + timedelta(seconds=after_s)
    return Attested(Checkpoint(ORIGIN, size, bytes(32)), at, at, "witnesses w1, w2")


def times(*attested: Attested) -> PeriodTimes:
    found = PeriodTimes(Path(), TRUST)
    found.attested += attested
    walk = ConsentWalk(frozenset())
    walk.head = Checkpoint(ORIGIN, 9, bytes(32))
    walk.acts += [
        (2, "read-log-anchored", NOON),
        (3, "scene-published", NOON),
        (4, "read-log-anchored", NOON + timedelta(seconds=60)),
        (8, "read-log-closed", NOON + timedelta(seconds=1200)),
    ]
    found.check(walk)
    return found


WHOLE = [seen(2, -60), seen(4, 30), seen(5, 90), seen(9, 1230)]


def test_a16_what_is_cosigned_in_time_has_no_gap() -> None:
    found = times(*WHOLE)
    assert not [each for each in found.covers(*DAY) if each.kind == "gap"]
    assert found.widest(*DAY) == 1140


@pytest.mark.parametrize("withheld", [[1, 2], [2], []])
def test_a16_an_anchor_that_others_saw_late_is_a_gap(withheld: list[int]) -> None:
    found = times(*(each for place, each in enumerate(WHOLE) if place not in withheld))
    gaps = [each for each in found.covers(*DAY) if each.kind == "gap"]
    assert all(each.unread for each in gaps)
    assert len(gaps) == bool(withheld), "one for all acts between two checkpoints"
    if withheld == [1, 2]:
        assert "entry 2 (read-log-anchored)" in gaps[0].message
        assert "1230 s later: checkpoints of the time between are missing" in gaps[0].message
        assert "rest on a gap of 1290 s" in gaps[0].message
        assert found.widest(*DAY) == 1290


def test_a16_a_gap_before_the_period_is_none_of_it() -> None:
    found = times(WHOLE[0], WHOLE[3])
    later = (NOON + timedelta(seconds=600), DAY[1])
    assert [each for each in found.covers(*later) if each.kind == "gap"] == []


def test_a16_the_verdict_on_an_entry_says_how_far_its_bounds_are_apart() -> None:
    stated = NOON + timedelta(seconds=10)
    near = Bounds(seen(2, -60), seen(4, 30)).with_gap(stated)
    assert "  between   90 s, by the checkpoints that are shown" in near.lines()
    assert not near.missing
    far = Bounds(seen(2, -60), seen(9, 2 * 3600)).with_gap(stated)
    assert "  between   7260 s, by the checkpoints that are shown" in far.lines()
    assert "7190 s later: those of the time between are missing" in far.missing
    assert any(line.startswith("  missing ") for line in far.lines())

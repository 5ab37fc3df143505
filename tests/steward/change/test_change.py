"""What counts as a change (S1-S9 of specs/steward.md)."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gate.state import consent_bits
from gate.state.consent_index import ConsentIndex
from ledger.events.envelope import (
    Act,
    Granted,
    SourceDeleted,
    TriggerCleared,
    TriggerSet,
    Withdrawn,
)
from ledger.service import Ledger
from steward.cases.changes import ChangeKind, ChangeWatch, ConsentChange
from tests.campaign import sized
from tests.gate.scenes import DOMAINS, SCENES
from tests.gate.world import NOON, World, world

ALL = tuple(DOMAINS)
DAY = timedelta(days=1)
ARMED = TriggerSet("segmentation", "metric_below", "accuracy", 9200)


@pytest.fixture
def bank(tmp_path: Path) -> World:
    return world(tmp_path)


def changes(bank: World, now: datetime = NOON, since: int = 0) -> list[ConsentChange]:
    """Everything that was lost from entry `since` until `now`."""
    watch = ChangeWatch(SCENES, bank.ledger, since, consent_bits.minute(NOON) if since else 0)
    found = [each for e in bank.ledger.follow(since) for each in watch.entry(e, now)]
    return [*found, *watch.until(consent_bits.minute(now))]


def kinds(found: list[ConsentChange]) -> list[ChangeKind]:
    return [each.kind for each in found]


def test_a_withdrawal_names_the_entry_the_scene_and_how_many_could_be_read(bank: World) -> None:
    for who in ("c1", "c2", "c3"):
        bank.says(who, Granted("segmentation", ALL, None))
    index = bank.says("c2", Withdrawn("segmentation"))
    (found,) = changes(bank)
    minute = consent_bits.minute(NOON)
    assert found == ConsentChange(
        "segmentation", ChangeKind.WITHDRAWAL, index, minute, ("c2",), (), 3
    )


NOTHING_LOST: dict[str, list[Act]] = {
    "a first grant": [Granted("segmentation", ALL, None)],
    "a wider grant": [Granted("segmentation", ("age",), None), Granted("segmentation", ALL, None)],
    "a withdrawal of what was never granted": [Withdrawn("segmentation")],
    "a withdrawal of another field": [
        Granted("segmentation", ("age",), None),
        Withdrawn("segmentation", ("job",)),
    ],
    "a scene that is not offered": [Granted("gone", ("age",), None), Withdrawn("gone")],
    "a scene that rests on the contract": [
        Granted("contract-service", ("name",), None),
        Withdrawn("contract-service"),
    ],
    "a trigger on nothing": [ARMED],
    "a trigger that is cleared": [
        Granted("segmentation", ALL, None),
        TriggerCleared("segmentation", "metric_below", "accuracy"),
    ],
}


@pytest.mark.parametrize("why", NOTHING_LOST)
def test_nothing_is_a_change_that_takes_nothing_away(why: str, bank: World) -> None:
    for act in NOTHING_LOST[why]:
        bank.says("c1", act)
    assert changes(bank) == []


def test_a_second_withdrawal_takes_nothing_away(bank: World) -> None:
    bank.says("c1", Granted("segmentation", ALL, None))
    bank.says("c1", Withdrawn("segmentation"))
    bank.says("c1", Withdrawn("segmentation"))
    assert kinds(changes(bank)) == [ChangeKind.WITHDRAWAL]


def test_a_withdrawn_item_is_named(bank: World) -> None:
    bank.says("c1", Granted("segmentation", ALL, None))
    bank.says("c1", Withdrawn("segmentation", ("job",)))
    bank.says("c1", Withdrawn("segmentation", ("age", "housing")))
    assert [each.fields for each in changes(bank)] == [("job",), ()]


def test_a_narrower_grant_is_a_change(bank: World) -> None:
    bank.says("c1", Granted("segmentation", ALL, None))
    bank.says("c1", Granted("segmentation", ("age",), None))
    (found,) = changes(bank)
    assert (found.kind, found.fields) == (ChangeKind.NARROWING, ("job", "housing"))


def test_a_grant_that_ends_in_the_past_takes_everything(bank: World) -> None:
    bank.says("c1", Granted("segmentation", ALL, None))
    bank.says("c1", Granted("segmentation", ALL, NOON - DAY))
    (found,) = changes(bank)
    assert (found.kind, found.fields) == (ChangeKind.NARROWING, ())


def test_an_expiry_is_a_change_in_its_minute_and_not_before(bank: World) -> None:
    index = bank.says("c1", Granted("segmentation", ALL, NOON + DAY))
    assert changes(bank, NOON + DAY - timedelta(minutes=1)) == []
    (found,) = changes(bank, NOON + DAY)
    assert (found.kind, found.index, found.subjects) == (ChangeKind.EXPIRY, index, ("c1",))


def test_the_contracts_longest_duration_expires_too(bank: World) -> None:
    bank.says("c1", Granted("direct-marketing", ("email",), None))
    assert kinds(changes(bank, NOON + 30 * DAY)) == [ChangeKind.EXPIRY]


def test_a_grant_renewed_in_time_does_not_expire_however_late_it_is_followed(bank: World) -> None:
    bank.says("c1", Granted("segmentation", ALL, NOON + DAY))
    bank.says("c1", Granted("segmentation", ALL, NOON + 3 * DAY), NOON + DAY / 2)
    assert changes(bank, NOON + 2 * DAY) == []


def test_a_grant_renewed_too_late_had_expired(bank: World) -> None:
    index = bank.says("c1", Granted("segmentation", ALL, NOON + DAY))
    bank.says("c1", Granted("segmentation", ALL, NOON + 9 * DAY), NOON + 2 * DAY)
    (found,) = changes(bank, NOON + 3 * DAY)
    assert (found.kind, found.index) == (ChangeKind.EXPIRY, index)


def test_a_withdrawal_after_the_end_is_no_withdrawal(bank: World) -> None:
    bank.says("c1", Granted("segmentation", ALL, NOON + DAY))
    bank.says("c1", Withdrawn("segmentation"), NOON + 2 * DAY)
    assert kinds(changes(bank, NOON + 2 * DAY)) == [ChangeKind.EXPIRY]


def frozen_by(bank: World, value: int, now: datetime = NOON) -> list[ConsentChange]:
    for who in ("c1", "c2", "c3"):
        bank.says(who, Granted("segmentation", ALL, None))
    bank.reports("accuracy", 9500)
    bank.says("c1", ARMED)
    bank.says("c2", TriggerSet("segmentation", "metric_below", "accuracy", 9100))
    bank.reports("accuracy", value)
    return changes(bank, now)


def test_ninety_two_point_nought_freezes_nobody(bank: World) -> None:
    assert frozen_by(bank, 9200) == []


def test_a_hundredth_below_freezes_exactly_whose_threshold_it_crosses(bank: World) -> None:
    (found,) = frozen_by(bank, 9199)
    assert (found.kind, found.subjects) == (ChangeKind.FREEZE, ("c1",))
    assert found.index == bank.ledger.size - 1


def test_a_worse_report_freezes_only_those_who_were_not(bank: World) -> None:
    frozen_by(bank, 9199)
    bank.reports("accuracy", 9000)
    assert [each.subjects for each in changes(bank)] == [("c1",), ("c2",)]


def test_a_signal_that_goes_missing_freezes_everybody_who_watches_it(bank: World) -> None:
    assert frozen_by(bank, 9200, NOON + 7 * DAY - timedelta(minutes=1)) == []
    (found,) = changes(bank, NOON + 7 * DAY)
    assert (found.kind, found.index, found.subjects) == (ChangeKind.FREEZE, None, ("c1", "c2"))


def test_a_signal_that_comes_back_can_freeze_again(bank: World) -> None:
    frozen_by(bank, 9199)
    bank.reports("accuracy", 9300)
    bank.reports("accuracy", 9199)
    assert [each.subjects for each in changes(bank)] == [("c1",), ("c1",)]


def test_arming_a_trigger_that_is_crossed_freezes(bank: World) -> None:
    bank.says("c1", Granted("segmentation", ALL, None))
    index = bank.says("c1", ARMED)
    (found,) = changes(bank)
    assert (found.kind, found.index, found.subjects) == (ChangeKind.FREEZE, index, ("c1",))


def test_somebody_erased_no_longer_counts(bank: World) -> None:
    bank.says("c1", Granted("segmentation", ALL, None))
    bank.says("c2", Granted("segmentation", ALL, None))
    bank.ledger.erase("c1", NOON)
    bank.says("c2", Withdrawn("segmentation"))
    (found,) = changes(bank)
    assert (found.subjects, found.before) == (("c2",), 1)


def test_a_snapshot_only_makes_the_start_quicker(bank: World) -> None:
    for who in ("c1", "c2"):
        bank.says(who, Granted("segmentation", ALL, None))
    early, late = ConsentIndex(SCENES), ConsentIndex(SCENES)
    early.catch_up(bank.ledger)
    size = bank.ledger.size + 1
    for who in ("c1", "c2"):
        bank.says(who, Withdrawn("segmentation"))
    late.catch_up(bank.ledger)
    for start in (None, early, late):
        watch = ChangeWatch(SCENES, bank.ledger, size, consent_bits.minute(NOON), start)
        found = [each for e in bank.ledger.follow(size) for each in watch.entry(e, NOON)]
        assert [(each.subjects, each.before) for each in found] == [(("c2",), 1)]


def test_a_deletion_at_the_source_is_a_withdrawal_in_each_scene_that_it_ends(bank: World) -> None:
    bank.says("c1", Granted("segmentation", ALL, None))
    bank.says("c1", Granted("nearest-branch", ("location",), None))
    bank.says("c2", Granted("segmentation", ALL, None))
    size = bank.ledger.size
    watch = ChangeWatch(SCENES, bank.ledger, size, consent_bits.minute(NOON))
    bank.says("c1", SourceDeleted())
    found = [each for e in bank.ledger.follow(size) for each in watch.entry(e, NOON)]
    assert {(each.scene, each.kind, each.subjects, each.fields) for each in found} >= {
        (scene, ChangeKind.WITHDRAWAL, ("c1",), ()) for scene in ("segmentation", "nearest-branch")
    }
    assert {each.before for each in found if each.scene == "segmentation"} == {2}


DAYS = st.integers(0, 9)
FIELDS = st.lists(st.sampled_from(ALL), min_size=1, unique=True).map(tuple)
UNTIL = st.none() | DAYS.map(lambda d: NOON + d * DAY)
ACTS: st.SearchStrategy[Act | int] = st.one_of(
    st.builds(Granted, st.just("segmentation"), FIELDS, UNTIL),
    st.builds(Withdrawn, st.just("segmentation"), st.none() | FIELDS),
    st.builds(
        TriggerSet,
        st.just("segmentation"),
        st.just("metric_below"),
        st.just("accuracy"),
        st.integers(9100, 9300),
    ),
    st.integers(9100, 9300),  # a report
)
HISTORIES = st.lists(st.tuples(DAYS, st.sampled_from(["c1", "c2"]), ACTS), max_size=12)


@pytest.fixture(scope="module")
def homes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    number = iter(range(10**6))
    folder = tmp_path_factory.mktemp("histories")
    return (folder / str(each) for each in number)


@settings(max_examples=sized(12, 250), deadline=None)
@given(history=HISTORIES, cut=st.integers(0, 12))
def test_following_late_or_in_pieces_finds_the_same(
    homes: Iterator[Path], history: list[tuple[int, str, Act | int]], cut: int
) -> None:
    bank = World(Ledger.open(next(homes), origin="test.example/consent"), gate=None)  # type: ignore[arg-type] # nothing is read
    for day, who, act in sorted(history, key=lambda each: each[0]):
        at = NOON + day * DAY
        _ = bank.reports("accuracy", act, at) if isinstance(act, int) else bank.says(who, act, at)
    end = NOON + 20 * DAY
    whole = changes(bank, end)
    watch, pieces = ChangeWatch(SCENES, bank.ledger), []
    for entry in bank.ledger.follow(0):
        if entry.index == cut:
            watch = ChangeWatch(SCENES, bank.ledger, watch.size, watch.minute)
        pieces += watch.entry(entry, end)
    assert [*pieces, *watch.until(consent_bits.minute(end))] == whole
    assert all(a.minute <= b.minute for a, b in pairwise(whole))

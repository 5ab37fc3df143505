"""A snapshot is a cache: equal to a replay, or not used (G13, G14)."""

from dataclasses import replace
from pathlib import Path

import pytest

from gate.state import snapshot
from gate.state.consent_index import ConsentIndex
from gate.state.ledger_position import ConsentPoint
from ledger.events.envelope import Granted, Withdrawn
from tests.gate.scenes import SCENES
from tests.gate.world import NOON, World, world


@pytest.fixture
def bank(tmp_path: Path) -> World:
    bank = world(tmp_path)
    bank.says("c1", Granted("segmentation", ("age", "job"), None))
    bank.says("c2", Granted("segmentation", ("age",), None))
    bank.says("c1", Withdrawn("segmentation", ("job",)))
    return bank


def followed(bank: World) -> ConsentIndex:
    state = ConsentIndex(SCENES)
    state.catch_up(bank.ledger)
    return state


def saved(bank: World, path: Path) -> Path:
    snapshot.save(followed(bank), ConsentPoint(*bank.ledger.root()), path)
    return path


def same(one: ConsentIndex, other: ConsentIndex) -> bool:
    return [*one.subjects] == [*other.subjects] and all(
        one.bits(scene, who) == other.bits(scene, who)
        and one.index(scene, who) == other.index(scene, who)
        for scene in SCENES
        for who in one.subjects
    )


def test_a_snapshot_followed_to_the_end_equals_a_replay(bank: World, tmp_path: Path) -> None:
    path = saved(bank, tmp_path / "state" / "consent.npz")
    bank.says("c3", Granted("direct-marketing", ("email",), None))
    resumed = snapshot.load(path, SCENES, bank.ledger)
    assert resumed is not None
    assert resumed.size == bank.ledger.size - 1
    resumed.catch_up(bank.ledger)
    assert same(resumed, followed(bank))


def test_a_snapshot_is_the_owners_alone(bank: World, tmp_path: Path) -> None:
    assert saved(bank, tmp_path / "consent.npz").stat().st_mode & 0o077 == 0


def test_after_an_erasure_the_state_is_rebuilt_from_what_still_opens(
    bank: World, tmp_path: Path
) -> None:
    path = saved(bank, tmp_path / "consent.npz")
    bank.ledger.erase("c1", NOON)
    resumed = snapshot.load(path, SCENES, bank.ledger)
    assert resumed is not None
    resumed.catch_up(bank.ledger)
    assert [*resumed.subjects] == ["c2"]
    assert resumed.bits("segmentation", "c1") == 0


def test_a_snapshot_of_other_contracts_is_not_used(bank: World, tmp_path: Path) -> None:
    path = saved(bank, tmp_path / "consent.npz")
    changed = SCENES | {"segmentation": replace(SCENES["segmentation"], digest="0" * 64)}
    assert snapshot.load(path, changed, bank.ledger) is None


def test_a_snapshot_of_another_history_is_not_used(bank: World, tmp_path: Path) -> None:
    path = saved(bank, tmp_path / "consent.npz")
    (tmp_path / "other").mkdir()
    other = world(tmp_path / "other")
    for _ in range(5):
        other.says("c1", Granted("segmentation", ("age",), None))
    assert snapshot.load(path, SCENES, other.ledger) is None


def test_a_snapshot_with_any_bit_changed_is_not_used(bank: World, tmp_path: Path) -> None:
    path = saved(bank, tmp_path / "consent.state")
    whole = path.read_bytes()
    for at in {*range(0, len(whole), len(whole) // 97), len(whole) - 1}:
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        assert snapshot.load(path, SCENES, bank.ledger) is None
    path.write_bytes(whole)
    assert snapshot.load(path, SCENES, bank.ledger) is not None


def test_a_resumed_state_takes_in_more_people_than_it_has_room_for(
    bank: World, tmp_path: Path
) -> None:
    path = saved(bank, tmp_path / "consent.state")
    resumed = snapshot.load(path, SCENES, bank.ledger)
    assert resumed is not None
    for n in range(3000):
        resumed._row(f"new{n}")
    again = followed(bank)
    assert [*resumed.subjects][2:] == [f"new{n}" for n in range(3000)]
    assert resumed.bits("segmentation", "c1") == again.bits("segmentation", "c1")
    assert resumed.index("segmentation", "new2999") is None
    assert snapshot.load(path, SCENES, bank.ledger) is not None, "the file was not written to"


DAMAGE = {
    "missing": None,
    "empty": b"",
    "not an archive": b"words",
    "cut off": b"PK\x03\x04",
}


@pytest.mark.parametrize("why", DAMAGE)
def test_a_damaged_snapshot_is_not_used(bank: World, tmp_path: Path, why: str) -> None:
    path = tmp_path / "consent.npz"
    if (damage := DAMAGE[why]) is not None:
        path.write_bytes(damage)
    assert snapshot.load(path, SCENES, bank.ledger) is None

"""Clause G13 of specs/gate.md: an erasure is forgotten row by row, and nothing is replayed."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from gate.state import snapshot
from gate.state.consent_index import ConsentIndex
from gate.state.ledger_position import ConsentPoint
from ledger.events.envelope import Granted
from ledger.follower import Follower
from ledger.reader import RecordedEvent
from ledger.service import Ledger
from ledger.vault.owners import Erasures
from tests.gate.scenes import SCENES
from tests.gate.world import NOON, World, world

AGE = Granted("segmentation", ("age",), None)
ALL = Granted("segmentation", ("age", "job", "housing"), None)


@pytest.fixture
def bank(tmp_path: Path) -> World:
    """c1, c2 and c3 allow their age in segmentation; c1 in lead scoring, too."""
    bank = world(tmp_path)
    for each in ("customer-1", "customer-2", "customer-3"):
        bank.says(each, AGE)
    bank.says("customer-1", Granted("lead-scoring", ("age",), None))
    return bank


class Counted:
    """A ledger whose followed entries are counted."""

    def __init__(self, ledger: Ledger | Follower) -> None:
        self._ledger, self.read = ledger, 0

    @property
    def size(self) -> int:
        return self._ledger.size

    def erasures(self, since: int) -> Erasures:
        return self._ledger.erasures(since)

    def follow(self, since: int) -> Iterator[RecordedEvent]:
        for each in self._ledger.follow(since):
            self.read += 1
            yield each


def kept(ledger: Counted) -> ConsentIndex:
    state = ConsentIndex(SCENES)
    state.keep_up(ledger)
    return state


def bits(state: ConsentIndex) -> dict[str, list[tuple[int, int | None]]]:
    names = [each for each in state.subjects if each]
    return {name: [state.bits_and_entry(scene, name) for scene in SCENES] for name in names}


@pytest.mark.parametrize("where", ["in the writer", "in another process"])
def test_g13_an_erasure_reads_one_entry_and_equals_a_replay(
    bank: World, tmp_path: Path, where: str
) -> None:
    ledger = Counted(bank.ledger if where == "in the writer" else Follower(tmp_path))
    state = kept(ledger)
    before = ledger.read
    bank.ledger.erase("customer-1", NOON)
    state.keep_up(ledger)
    assert ledger.read == before + 1
    assert bits(state) == bits(kept(ledger))
    assert "customer-1" not in state.subjects
    assert b"customer-1" not in bytes(state.subjects.text)
    assert state.people == 3
    assert state.empty_rows() == [0]


def test_g13_who_comes_back_begins_with_nothing_in_a_row_of_their_own(bank: World) -> None:
    ledger = Counted(bank.ledger)
    state = kept(ledger)
    bank.ledger.erase("customer-1", NOON)
    bank.says("customer-1", Granted("direct-marketing", ("email",), None))
    bank.says("customer-2", ALL)
    state.keep_up(ledger)
    assert bits(state) == bits(kept(ledger))
    assert [*state.subjects] == ["", "customer-2", "customer-3", "customer-1"]
    bank.ledger.erase("customer-1", NOON)
    bank.ledger.erase("customer-2", NOON)
    state.keep_up(ledger)
    assert bits(state) == bits(kept(ledger))
    assert [*state.subjects] == ["", "", "customer-3", ""]
    assert state.replays == 2  # when it was made, and when it learned the key of the marks


def test_g13_an_old_snapshot_forgets_who_was_erased_since(bank: World, tmp_path: Path) -> None:
    ledger = Counted(bank.ledger)
    state = kept(ledger)
    size, root = bank.ledger.root()
    snapshot.save(state, ConsentPoint(size, root), tmp_path / "consent.npz")
    bank.ledger.erase("customer-1", NOON)
    bank.says("customer-3", ALL)
    resumed = snapshot.load(tmp_path / "consent.npz", SCENES, bank.ledger)
    assert resumed is not None
    before = ledger.read
    resumed.keep_up(ledger)
    assert ledger.read == before + 2
    assert bits(resumed) == bits(kept(ledger))

    snapshot.save(resumed, ConsentPoint(*bank.ledger.root()), tmp_path / "consent.npz")
    assert b"customer-1" not in (tmp_path / "consent.npz").read_bytes()
    again = snapshot.load(tmp_path / "consent.npz", SCENES, bank.ledger)
    assert again is not None
    assert bits(again) == bits(resumed)
    assert again.empty_rows() == [0]


@pytest.mark.parametrize("scene", ["contract-service", "segmentation"])
def test_g13_no_cohort_has_who_was_erased(bank: World, scene: str) -> None:
    """Not even where the contract needs no consent: then every row of the state is a member."""
    field = next(iter(SCENES[scene].fields)) if scene == "contract-service" else "age"
    bank.gate.catch_up()
    bank.ledger.erase("customer-1", NOON)
    left = bank.gate.consenting(scene, [field], NOON)
    assert sorted(left) == ["customer-2", "customer-3"]
    assert bank.gate.subjects() == left
    with bank.gate.lock:
        state, _ = bank.gate.current(0)
        everybody = np.ones(state.people, np.bool_)
    assert state.subjects.of(everybody) == left
    numbers = bank.gate.numbers.of_rows(state.replays, state.subjects.selected(everybody))
    assert dict(zip(left, numbers.tolist(), strict=True)) == bank.ledger.numbers(left)


def test_g13_an_erasure_that_the_key_store_does_not_list_is_found_by_a_replay(
    bank: World, tmp_path: Path
) -> None:
    """A key store was restored from before two erasures; the gate's state is older, too."""
    ledger = Counted(bank.ledger)
    state = kept(ledger)
    for each in ("customer-1", "customer-2"):
        bank.ledger.erase(each, NOON)
    with closing(sqlite3.connect(tmp_path / "keys" / "customers.db")) as database, database:
        assert database.execute("DELETE FROM ended").rowcount == 2
    bank.says("customer-3", ALL)
    state.keep_up(ledger)
    assert [each for each in state.subjects if each] == ["customer-3"]
    assert bits(state) == bits(kept(ledger))
    assert state.replays == 3
    bank.ledger.erase("customer-3", NOON)
    state.keep_up(ledger)
    assert ([*state.subjects], state.replays) == ([""], 3)

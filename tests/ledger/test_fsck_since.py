"""fsck goes on where an earlier run ended, and finds what is wrong with what is new (L139)."""

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ledger.events.envelope import SignalReported, Withdrawn
from ledger.fsck import PublicEntries, Since, fsck
from ledger.integrity import sealed_events
from ledger.vault import stored_keys
from tests.ledger.events import NOON
from tests.ledger.worlds import AGE, opened, say

GONE = Withdrawn("segmentation")


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Since]:
    """A ledger of which the first entries were checked, and that has grown since."""
    home = tmp_path_factory.mktemp("sound")
    ledger = opened(home)
    say(ledger, "c1", AGE, GONE)
    say(ledger, "old", AGE)
    say(ledger, "quiet", AGE)
    ledger.announce([SignalReported("s", "accuracy", at, NOON) for at in range(600)])
    ledger.export(home / "log" / "consent")
    acts = PublicEntries()
    assert [*fsck(home, acts=acts)] == []
    say(ledger, "c1", AGE)
    say(ledger, "c2", AGE)
    ledger.erase("old", NOON)
    ledger.announce([SignalReported("s", "accuracy", at, NOON) for at in range(300)])
    ledger.export(home / "log" / "consent")
    ledger.close()
    return home, acts.seen


@pytest.fixture
def home(sound: tuple[Path, Since], tmp_path: Path) -> Path:
    shutil.copytree(sound[0], tmp_path / "home")
    return tmp_path / "home"


@pytest.fixture
def since(sound: tuple[Path, Since]) -> Since:
    return sound[1]


def test_l139_what_is_new_is_sound_and_all_public_acts_are_told(home: Path, since: Since) -> None:
    acts, every = PublicEntries(), PublicEntries()
    assert [*fsck(home, acts=acts, since=since)] == []
    assert [*fsck(home, acts=every)] == []
    assert acts.events == every.events
    assert acts.seen == every.seen
    assert acts.seen["consent"].size > since["consent"].size > 512


def test_l139_only_the_customers_of_new_entries_are_looked_at(
    home: Path, since: Since, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = list[set[str]]()
    before = sealed_events.check

    def check(store: object, keys: stored_keys.StoredKeys, *more: object) -> Iterator[object]:
        looked.append({*keys.keys})
        return before(store, keys, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(sealed_events, "check", check)
    assert [*fsck(home, since=since)] == []
    assert looked == [{"c1", "c2"}]


DAMAGE: dict[str, tuple[str, int]] = {
    "an entry": ('UPDATE bundle SET data = zeroblob(length(data)) WHERE "index" = ?', 3),
    "a tile": ('UPDATE tile SET data = zeroblob(length(data)) WHERE level = 0 AND "index" = ?', 3),
    "a sealed event": ('UPDATE sealed SET data = zeroblob(length(data)) WHERE "index" = ?', 604),
    "a lost sealed event": ('DELETE FROM sealed WHERE "index" = ?', 605),
}


def damage(home: Path, statement: str, at: int) -> None:
    with closing(sqlite3.connect(home / "ledger.sqlite")) as database, database:
        assert database.execute(statement, [at]).rowcount == 1


@pytest.mark.parametrize("what", DAMAGE)
def test_l139_damage_to_what_is_new_is_found(home: Path, since: Since, what: str) -> None:
    damage(home, *DAMAGE[what])
    assert [*fsck(home, since=since)] != []


def test_l139_damage_to_what_was_checked_is_found_by_a_full_run(home: Path, since: Since) -> None:
    damage(home, DAMAGE["a sealed event"][0], 3)
    assert [each.where for each in fsck(home, since=since)] == []
    assert "sealed event 3" in [each.where for each in fsck(home)]


CHANGED: dict[str, Callable[[Path], object]] = {
    "the tree": lambda home: damage(home, DAMAGE["a tile"][0].replace("= 0", "= 1"), 0),
    "a new published file": lambda home: next(
        (home / "log" / "consent" / "tile" / "entries").glob("003*/*")
    ).write_bytes(b"other"),
}


@pytest.mark.parametrize("what", CHANGED)
def test_l139_another_history_is_no_beginning(home: Path, since: Since, what: str) -> None:
    CHANGED[what](home)
    assert [*fsck(home, since=since)] != []

"""Clauses V70 to V73 of specs/vault.md: everybody known has a key, and a number for ever."""

import tarfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from threading import Thread

import pytest

from ledger.service import Ledger
from portal.data_directory import migration
from tests.data import make_4a7671d as made
from tests.ledger.events import NOON
from tests.ledger.worlds import AGE, opened, say

PEOPLE = ["c1", "c2", "c3"]


@pytest.fixture
def ledger(placed: Path) -> Iterator[Ledger]:
    with closing(opened(placed)) as ledger:
        yield ledger


def test_v70_a_number_is_given_once(ledger: Ledger) -> None:
    ledger.create_keys(PEOPLE)
    before = ledger.numbers(PEOPLE)
    assert sorted(before.values()) == [1, 2, 3]
    last = next(each for each in PEOPLE if before[each] == 3)
    ledger.erase(last, NOON)
    assert last not in ledger.numbers(PEOPLE)
    ledger.create_keys(["c4"])
    say(ledger, last, AGE)
    after = ledger.numbers([*PEOPLE, "c4"])
    assert after["c4"] == 4
    assert after[last] == 5
    assert {each: after[each] for each in PEOPLE if each != last} == {
        each: before[each] for each in PEOPLE if each != last
    }


def test_v71_a_key_is_made_once_however_many_make_it(ledger: Ledger) -> None:
    names = [f"customer-{n}" for n in range(200)]
    threads = [Thread(target=ledger.create_keys, args=(names,)) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len({*ledger.numbers(names).values()}) == len(names)
    assert ledger.create_keys(names) == 0


def test_v71_who_was_erased_gets_a_key_with_an_instruction_only(ledger: Ledger) -> None:
    ledger.create_keys(PEOPLE)
    ledger.erase("c2", NOON)
    assert ledger.awaited([*PEOPLE, "c9"]) == ["c9"]
    assert ledger.create_keys(PEOPLE) == 0
    say(ledger, "c2", AGE)
    assert "c2" in ledger.numbers(PEOPLE)


def test_v71_a_customer_with_a_key_and_no_instruction_is_like_any_other(placed: Path) -> None:
    with closing(opened(placed)) as ledger:
        ledger.create_keys(PEOPLE)
        assert ledger.version("c1") == 0
        assert ledger.history("c1") == []
        say(ledger, "c1", *[AGE] * 6)
        ledger.erase_entry("c1", ledger.history("c1")[0].index, NOON)
        assert len(ledger.history("c1")) == 5
    with closing(opened(placed)) as again:
        again.reindex()
        assert len(again.history("c1")) == 5


def test_v72_an_older_key_store_gives_no_number_of_a_set_again(ledger: Ledger) -> None:
    ledger.create_keys(["c1"])
    ledger.reserve_numbers(80)
    ledger.reserve_numbers(8)
    ledger.create_keys(["c2"])
    assert ledger.numbers(["c1", "c2"]) == {"c1": 1, "c2": 81}


def test_v73_customers_of_an_earlier_version_are_numbered_by_the_migration(tmp_path: Path) -> None:
    with tarfile.open(made.ARCHIVE) as archive:
        archive.extractall(tmp_path, filter="data")
    home = tmp_path / "data"
    assert [*migration.migrate(home)]
    with closing(Ledger.reopen(home)) as ledger:
        people = ledger.subjects()
        numbers = ledger.numbers(people)
        assert sorted(numbers.values()) == [*range(1, len(people) + 1)]
        ledger.create_keys(["somebody new"])
        assert ledger.numbers(["somebody new"]) == {"somebody new": len(people) + 1}

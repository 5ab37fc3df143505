"""Sets of customers in read logs, and those of earlier versions (G120, G121, G123)."""

import sqlite3
from contextlib import closing
from hashlib import sha256
from itertools import combinations
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from gate.readlog import customer_sets, largest_number
from gate.readlog.by_customer import entries_of
from gate.readlog.customer_sets import CustomerSets, MissingSetError
from gate.readlog.earlier_sets import EarlierSets
from gate.readlog.writer import ReadLogEntry
from gate.reads.bulk.request import TableRequest
from gate.reads.bulk.table import read_rows
from gate.storage.instance_lock import InstanceLock
from gate.storage.tables import LOG
from ledger.events.envelope import Granted
from ledger.vault import number_sets
from tests.gate.world import INSTANCE, NOON, World, world

ASKED = TableRequest("analytics", "segmentation", ("age",), NOON)


@pytest.fixture
def bank(tmp_path: Path) -> World:
    bank = world(tmp_path)
    for each in ("c1", "c2", "c3"):
        bank.says(each, Granted("segmentation", ("age",), None))
    return bank


def found(bank: World, subject: str) -> list[int]:
    return [place for place, _ in entries_of(bank.gate.journal.reads, bank.ledger, subject)]


@given(members=st.sets(st.integers(1, 300)), asked=st.integers(1, 400))
def test_g120_a_set_has_its_members_and_nobody_else(members: set[int], asked: int) -> None:
    bits = customer_sets.bitmap(np.array(sorted(members), np.uint32))
    stored = bits + bytes(range(224, 256))
    assert number_sets.contains(stored, asked) is (asked in members)
    assert {*customer_sets.numbers(stored).tolist()} == members
    assert not number_sets.contains(stored, 0)
    unordered = np.array([*members, *members, 0], np.uint32)
    assert customer_sets.bitmap(unordered) == bits
    earlier = np.packbits(np.isin(np.arange(401), [*members])).tobytes()
    assert number_sets.contains(earlier, asked) is (asked in members)
    assert {*customer_sets.numbers(earlier).tolist()} == members


def test_g120_equal_sets_of_many_are_stored_once(tmp_path: Path) -> None:
    sets = customer_sets.CustomerSets(tmp_path)
    many = np.arange(1, customer_sets.MANY + 1, dtype=np.uint32)
    assert len({sets.put(many) for _ in range(3)}) == 1
    assert len({sets.put(many[:-1]) for _ in range(3)}) == 3
    assert customer_sets.numbers(sets.get(sets.put(many))).tolist() == many.tolist()
    largest = customer_sets.largest_in(tmp_path)
    assert customer_sets.MANY <= largest <= customer_sets.MANY + 8
    (tmp_path / "cohorts" / ("0" * 64)).write_bytes(bytes(199) + b"\x01")  # an earlier version's
    assert customer_sets.largest_in(tmp_path) == 1600


def test_g147_the_published_digest_of_a_set_tells_nothing_of_its_members(
    bank: World, tmp_path: Path
) -> None:
    """Not whom it names, however few there are to try, and not that two sets are the same."""
    for _ in range(3):
        read_rows(bank.gate, ASKED)
    named = {each.name for each in (tmp_path / "reads" / INSTANCE / "cohorts").iterdir()}
    assert len(named) == 6, "of each read the cohort, and whom the answer is about"
    members = [bank.ledger.numbers([each])[each] for each in ("c1", "c2", "c3")]
    for some in (subset for n in range(4) for subset in combinations(members, n)):
        bits = np.zeros(max(members) + 1, np.bool_)
        bits[list(some)] = True
        for first in (False, True):
            bits[0] = first
            assert sha256(np.packbits(bits).tobytes()).hexdigest() not in named
    assert largest_number.of(tmp_path) >= max(members)


def test_g120_an_erasure_gives_nobody_anothers_bit(bank: World) -> None:
    first = read_rows(bank.gate, ASKED).entry
    bank.ledger.erase("c1", NOON)
    second = read_rows(bank.gate, ASKED).entry
    bank.says("c1", Granted("segmentation", ("age",), None))
    assert [found(bank, each) for each in ("c1", "c2", "c3")] == [
        [],
        [second, first],
        [second, first],
    ]


def test_g121_an_index_that_names_another_set_than_the_entry_shows_nothing_wrong(
    bank: World, tmp_path: Path
) -> None:
    read_rows(bank.gate, ASKED)
    everybody = bank.ledger.numbers(["c1", "c2", "c3"])
    lone = bank.gate.journal.sets.put(np.array([everybody["c2"]], np.uint32))
    entry = msgspec.structs.replace(_last(bank), answered=lone)
    place = bank.gate.journal.record(entry)
    with closing(sqlite3.connect(tmp_path / "reads" / INSTANCE / LOG)) as index, index:
        index.execute("UPDATE answered SET digest = (SELECT digest FROM answered WHERE entry = 0)")
    assert place in found(bank, "c2")
    assert place not in found(bank, "c1")


def test_a_missing_set_is_an_error_and_not_an_absence(bank: World, tmp_path: Path) -> None:
    sets = CustomerSets(tmp_path / "elsewhere")
    with pytest.raises(MissingSetError, match="restore it from a backup"):
        sets.get("0" * 64)


def test_g123_reads_of_earlier_versions_are_said_to_be_unattributed(bank: World) -> None:
    read_rows(bank.gate, ASKED)
    earlier, log = EarlierSets(), bank.gate.journal.reads
    assert EarlierSets().of([log]) is None
    place = bank.gate.journal.record(msgspec.structs.replace(_last(bank), answered=UNSET))
    assert all(place not in found(bank, each) for each in ("c1", "c2", "c3"))
    for _ in range(2):
        unattributed = earlier.of([log])
        assert unattributed is not None
        assert (unattributed.count, unattributed.first, unattributed.last) == (1, NOON, NOON)


def _last(bank: World) -> ReadLogEntry:
    log = bank.gate.journal.log
    (leaf,) = log.entries(log.size - 1, log.size)
    return msgspec.json.decode(leaf, type=ReadLogEntry)


def test_a_start_looks_at_the_sets_of_each_ended_log_once(tmp_path: Path) -> None:
    def log(name: str, member: int) -> None:
        CustomerSets(tmp_path / "reads" / name).put(np.array([member], np.uint32))
        InstanceLock(tmp_path / "reads" / name).release()

    log("reads-a", 80)
    assert largest_number.of(tmp_path) == 88
    for each in (tmp_path / "reads/reads-a/cohorts").iterdir():
        each.write_bytes(b"")  # it is not looked at again
    log("reads-b", 7)
    assert largest_number.of(tmp_path) == 88
    running = InstanceLock(tmp_path / "reads/reads-c")
    assert largest_number.of(tmp_path) == 88
    CustomerSets(tmp_path / "reads/reads-c").put(np.array([800], np.uint32))
    assert largest_number.of(tmp_path) == 808, "a log that is written is looked at each time"
    running.release()
    (tmp_path / largest_number.FILE).unlink()
    assert largest_number.of(tmp_path) == 808

"""Clauses L70 to L75 of specs/ledger.md: erasure, and what survives it."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from hashlib import sha256
from itertools import product
from pathlib import Path

import pytest

from ledger.errors import CorruptLogError
from ledger.events.envelope import Instruction, PolicyPublished, SubjectErased, Withdrawn
from ledger.fsck import fsck
from ledger.service import Ledger
from ledger.vault import commitments
from ledger.vault.vault import Vault
from ledger.verify import receipt
from tests.ledger.events import NOON, ORIGIN
from tests.ledger.worlds import AGE, opened, say

GONE = Withdrawn("segmentation")


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    made = opened(tmp_path)
    say(made, "c1", AGE, GONE)
    say(made, "c2", AGE)
    say(made, "c1", AGE)
    yield made
    made.close()


def said_by(ledger: Ledger, since: int = 0) -> list[str]:
    found = (each.event for each in ledger.follow(since))
    return [each.subject for each in found if isinstance(each, Instruction)]


def test_l70_who_is_erased_has_no_history(ledger: Ledger) -> None:
    ledger.erase("c1", NOON)
    assert (ledger.history("c1"), ledger.state("c1"), ledger.version("c1")) == ([], None, 0)
    assert said_by(ledger) == ["c2"]


def test_l70_after_reopening_too(tmp_path: Path) -> None:
    ledger = opened(tmp_path)
    say(ledger, "c1", AGE)
    say(ledger, "c2", AGE)
    ledger.erase("c1", NOON)
    ledger.close()
    again = opened(tmp_path)
    assert (again.history("c1"), said_by(again)) == ([], ["c2"])
    again.close()


def test_l71_every_receipt_still_verifies(ledger: Ledger) -> None:
    before = [ledger.receipt(index) for index in range(4)]
    ledger.erase("c1", NOON)
    for text in before:
        receipt.verify(receipt.parse(text), ledger.log.verifiers)


def test_l71_an_erased_entry_has_no_new_receipt(ledger: Ledger) -> None:
    ledger.erase("c1", NOON)
    with pytest.raises(KeyError, match="erased"):
        ledger.receipt(0)
    receipt.verify(receipt.parse(ledger.receipt(2)), ledger.log.verifiers)


def test_l72_others_are_unaffected(ledger: Ledger) -> None:
    before = ledger.history("c2"), ledger.state("c2"), ledger.version("c2")
    ledger.erase("c1", NOON)
    assert (ledger.history("c2"), ledger.state("c2"), ledger.version("c2")) == before
    say(ledger, "c2", GONE)
    assert ledger.version("c2") == 2


def test_l73_the_log_says_that_somebody_was_erased_and_not_who(ledger: Ledger) -> None:
    size = ledger.size
    ledger.erase("c1", NOON)
    assert [each.event for each in ledger.follow(size)] == [SubjectErased(NOON)]
    (entry,) = ledger.log.entries(size, size + 1)
    assert b"c1" not in entry


NEXT: dict[str, Callable[[Ledger], object]] = {
    "the customer comes back": lambda ledger: say(ledger, "c1", AGE),
    "the company announces something": lambda ledger: ledger.announce(
        [PolicyPublished("9f", NOON)]
    ),
    "another customer is erased": lambda ledger: ledger.erase("c2", NOON),
    "the erasure is asked for again": lambda ledger: ledger.erase("c1", NOON),
}


@pytest.mark.parametrize("what", NEXT)
def test_l73_an_erasure_that_ended_half_way_is_announced_before_anything_else(
    ledger: Ledger, tmp_path: Path, what: str
) -> None:
    size = ledger.size
    ledger.close()
    with closing(Vault(tmp_path / "keys")) as keys:
        keys.destroy("c1")  # as far as a writer comes that is killed here
    with closing(opened(tmp_path)) as again:
        NEXT[what](again)
        acts = [each.event for each in again.announced(size)]
        assert isinstance(acts[0], SubjectErased)
        assert next(iter(again.log.entries(size, size + 1)))[:1] != commitments.PERSONAL
        erased = sum(isinstance(each, SubjectErased) for each in acts)
        assert erased == 1 + (what == "another customer is erased")
        say(again, "c1", GONE)
        assert [*again.announced(size)][-1].index < again.size - 1
        again.erase("c1", NOON)
        again.erase("stranger", NOON)
        acts = [each.event for each in again.announced(size)]
        assert sum(isinstance(each, SubjectErased) for each in acts) == erased + 1
    assert [*fsck(tmp_path)] == []


def test_l73_who_follows_across_an_erasure_misses_nothing(ledger: Ledger) -> None:
    for since in range(4):
        assert len(said_by(ledger, since)) == 4 - since
    ledger.erase("c1", NOON)
    say(ledger, "c2", GONE)
    assert said_by(ledger) == ["c2", "c2"]
    assert [each.index for each in ledger.follow(3)] == [4, 5]


def test_l73_who_was_following_while_somebody_was_erased_ends_well(tmp_path: Path) -> None:
    ledger = opened(tmp_path)
    say(ledger, "c1", AGE)
    say(ledger, "c2", AGE)
    ledger.close()
    again = opened(tmp_path)
    following = again.follow(0)
    again.erase("c1", NOON)
    assert [each.index for each in following] == [1]
    again.close()


def test_l72_who_was_erased_may_begin_again(ledger: Ledger) -> None:
    ledger.erase("c1", NOON)
    (recorded,) = say(ledger, "c1", GONE)
    assert isinstance(recorded.event, Instruction)
    assert (recorded.event.seq, ledger.history("c1")) == (1, [recorded])


def test_l72_erasing_a_stranger_says_nothing_about_them(ledger: Ledger) -> None:
    ledger.erase("stranger", NOON)
    assert said_by(ledger) == ["c1", "c1", "c2", "c1"]


def test_l74_a_database_without_its_key_store_opens_nothing(ledger: Ledger, tmp_path: Path) -> None:
    ledger.close()
    stolen = tmp_path / "stolen"
    (stolen / "keys").mkdir(parents=True)
    keys = [f"keys/{name}" for name in ("consent.key", "state.key", "map.key", "map.vkey")]
    for name in ("ledger.sqlite", *keys):
        shutil.copy(tmp_path / name, stolen / name)
    with pytest.raises(CorruptLogError, match=r"customers\.db is missing"):
        opened(stolen)
    Vault(stolen / "keys").close()  # so they make a key store of their own
    thief = opened(stolen)
    assert (thief.size, thief.history("c1")) == (4, [])
    with pytest.raises(CorruptLogError, match="key store is older than the log"):
        said_by(thief)
    thief.close()
    assert not any(word in _bytes(stolen) for word in (b"segmentation", b"c00001", b'"age"'))


def _bytes(folder: Path) -> bytes:
    return (folder / "ledger.sqlite").read_bytes()


def test_l74_a_backup_of_the_database_does_not_bring_the_erased_back(tmp_path: Path) -> None:
    ledger = opened(tmp_path)
    say(ledger, "c1", AGE)
    say(ledger, "c2", AGE)
    ledger.close()
    shutil.copy(tmp_path / "ledger.sqlite", tmp_path / "backup")
    again = opened(tmp_path)
    again.erase("c1", NOON)
    again.close()
    shutil.copy(tmp_path / "backup", tmp_path / "ledger.sqlite")
    restored = opened(tmp_path)
    assert (restored.history("c1"), said_by(restored)) == ([], ["c2"])
    restored.close()


def test_l74_the_key_leaves_no_bytes_behind(tmp_path: Path) -> None:
    ledger = opened(tmp_path)
    say(ledger, "customer-one", AGE)
    store = tmp_path / "keys" / "customers.db"
    assert b"customer-one" in store.read_bytes()
    ledger.erase("customer-one", NOON)
    assert not any(b"customer-one" in p.read_bytes() for p in (tmp_path / "keys").iterdir())
    ledger.close()


def test_l75_knowing_every_word_of_an_event_does_not_find_its_leaf(ledger: Ledger) -> None:
    """A dictionary over everything but the key: subjects, acts and salts that could be guessed."""
    known = receipt.parse(ledger.receipt(0)).extra
    leaves = {*ledger.log.entries(0, 4)}
    ledger.erase("c1", NOON)
    data = commitments.canonical(known["event"])
    guesses = [bytes(32), sha256(b"c1").digest(), sha256(ORIGIN.encode()).digest(), b"c1" * 16]
    for salt, tag in product(guesses, [entry[1:25] for entry in leaves]):
        opening = commitments.Opening(tag, salt)
        assert commitments.personal_entry(opening, data) not in leaves
    right = commitments.Opening(bytes.fromhex(known["tag"]), bytes.fromhex(known["salt"]))
    assert commitments.personal_entry(right, data) in leaves, "the customer's own receipt opens it"


def test_l75_reading_tags_of_the_erased_are_random(ledger: Ledger) -> None:
    before = ledger.read_log_tag("c1", "test.example/reads", 1)
    assert ledger.read_log_tag("c1", "test.example/reads", 1) == before
    assert ledger.read_log_tag("c1", "test.example/reads", 2) != before
    ledger.erase("c1", NOON)
    after = {ledger.read_log_tag("c1", "test.example/reads", 1) for _ in range(3)}
    assert len(after | {before}) == 4


def test_l75_many_reading_tags_are_the_single_ones_and_end_with_the_key(ledger: Ledger) -> None:
    tags = ledger.read_log_tags("c1", "test.example/reads")
    assert tags is not None
    for index in (0, 1, 255, 1 << 40):
        earlier = ledger.read_log_tag("c1", "test.example/reads", index).hex()
        assert tags.like(earlier, index) == earlier
    assert tags.pseudonym == ledger.read_log_tag("c1", "test.example/reads#index", 0)
    other = ledger.read_log_tags("c1", "test.example/others")
    assert other is not None
    assert other.keys.of(0) != tags.keys.of(0)
    ledger.erase("c1", NOON)
    assert ledger.read_log_tags("c1", "test.example/others") is None
    assert ledger.read_log_tags("nobody", "test.example/reads") is None

"""Writing an entry takes the same work whether or not the id is a customer's (G132)."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from gate.readlog.by_customer import entries_of
from gate.readlog.entry import Question
from ledger.follower import Follower
from ledger.storage.vault_store import VaultStore
from ledger.vault.key_encryption_key import Kek
from tests.gate.world import INSTANCE, NOON, World, world

KNOWN, STRANGER = "c00001", "c99999"


@pytest.fixture
def bank(tmp_path: Path) -> World:
    bank = world(tmp_path)
    bank.ledger.create_keys([KNOWN])
    bank.ledger._vault.clear_cache()  # as after a start
    return bank


def ask(bank: World, who: str) -> int:
    asked = Question("analytics", "segmentation", (who,), ("age",))
    (decision,) = bank.gate.decide_in_writing([asked], NOON)
    return bank.gate.journal.record(decision, who)


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often the key store is asked, and a key is unwrapped."""
    done: Counter[str] = Counter()
    for owner, name in ((VaultStore, "wrapped"), (Kek, "unwrap")):
        original = getattr(owner, name)

        def counting(self: Any, *asked: Any, _original: Any = original, _name: str = name) -> Any:
            done[_name] += 1
            return _original(self, *asked)

        monkeypatch.setattr(owner, name, counting)
    return done


def test_an_entry_about_a_stranger_takes_the_work_of_one_about_a_customer(
    bank: World, work: Counter[str]
) -> None:
    spent = []
    for who in (KNOWN, STRANGER, KNOWN, STRANGER):
        work.clear()
        ask(bank, who)
        spent.append(dict(work))
    assert spent == [{"wrapped": 1, "unwrap": 1}] * 2 + [{}] * 2


def test_whoever_becomes_a_customer_finds_the_reads_from_then_on(
    bank: World, tmp_path: Path
) -> None:
    """Also if a gate in another process had made up tags for the id."""
    ask(bank, STRANGER)
    other = Follower(tmp_path)
    assert len(other.entry_tags([STRANGER], "t")) == 1
    bank.ledger.create_keys([STRANGER])
    entry = ask(bank, STRANGER)
    found = [at for at, _ in entries_of(bank.gate.journal.reads, bank.ledger, STRANGER)]
    assert found == [entry]
    (tags,) = other.entry_tags([STRANGER], f"test.example/{INSTANCE}")
    theirs = bank.ledger.read_log_tags(STRANGER, f"test.example/{INSTANCE}")
    assert theirs is not None
    assert tags.keys.of(7) == theirs.keys.of(7)


def test_tags_of_a_stranger_are_nobodys(bank: World, tmp_path: Path) -> None:
    first, again, elsewhere = (
        ledger.entry_tags([STRANGER], "t")[0]
        for ledger in (bank.ledger, bank.ledger, Follower(tmp_path))
    )
    assert bank.ledger.read_log_tags(STRANGER, "t") is None
    assert first.keys.of(1) == again.keys.of(1) != first.keys.of(2)
    assert first.keys.of(1) != elsewhere.keys.of(1), "no key that is stored derives them"

"""Clauses V10 to V17 of specs/vault.md: one entry is erased, and everything else stays."""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from itertools import product
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from ledger.entry_erasure import ActiveEntryError, NoSuchEntryError, erasable
from ledger.events import envelope, state_document
from ledger.events.acts import Merged, Renamed, SourceDeleted, Split
from ledger.events.envelope import (
    Act,
    EntryErased,
    Granted,
    Instruction,
    TriggerCleared,
    TriggerSet,
)
from ledger.events.envelope import Withdrawn as Gone
from ledger.follower import Follower
from ledger.fsck import fsck
from ledger.reader import RecordedInstruction
from ledger.service import Ledger
from ledger.statemap import map_proof
from ledger.vault import commitments, sealing, vault
from ledger.vault.commitments import ErasedEntryError, LegacyDataKeyError
from ledger.vault.vault import Vault
from ledger.verify import receipt
from tests.campaign import sized
from tests.ledger.events import INSTRUCTION, KEY_ACTS, NOON
from tests.ledger.worlds import AGE, opened, say

OTHER = Granted("lead-scoring", ("age",), None)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """c1 said 0 grant, 1 withdrawal, 3 grant, 4 other grant; c2 said 2 and 5."""
    made = opened(tmp_path)
    say(made, "c1", AGE, Gone("segmentation"))
    say(made, "c2", AGE)
    say(made, "c1", AGE, OTHER)
    say(made, "c2", OTHER)
    yield made
    made.close()


def said(ledger: Ledger, subject: str) -> list[tuple[int, int]]:
    return [(each.index, each.event.seq) for each in ledger.history(subject)]


def test_v10_the_entry_is_gone_and_the_others_are_not(ledger: Ledger, tmp_path: Path) -> None:
    before = ledger.state("c1"), ledger.version("c1"), ledger.history("c2")
    ledger.erase_entry("c1", 1, NOON)
    assert said(ledger, "c1") == [(0, 1), (3, 3), (4, 4)]
    assert (ledger.state("c1"), ledger.version("c1"), ledger.history("c2")) == before
    ledger.close()
    again = opened(tmp_path)
    assert said(again, "c1") == [(0, 1), (3, 3), (4, 4)]
    assert (again.state("c1"), again.version("c1"), again.history("c2")) == before
    again.close()
    assert [*fsck(tmp_path)] == []


def test_v10_the_first_entry_too_and_several(ledger: Ledger, tmp_path: Path) -> None:
    where = ledger.states.labels.of("c1")
    for index in (0, 1):
        ledger.erase_entry("c1", index, NOON)
    assert said(ledger, "c1") == [(3, 3), (4, 4)]
    map_proof.verify(ledger.state_proof("c1"), where, ledger.states.log.verifiers)
    say(ledger, "c1", Gone("segmentation"))
    ledger.erase_entry("c1", 3, NOON)
    assert said(ledger, "c1") == [(4, 4), (8, 5)]
    ledger.close()
    again = opened(tmp_path)
    assert said(again, "c1") == [(4, 4), (8, 5)]
    say(again, "c1", AGE)
    map_proof.verify(again.state_proof("c1"), where, again.states.log.verifiers)
    again.close()
    assert [*fsck(tmp_path)] == []


def test_v11_what_is_in_force_never_changes_so_the_last_word_stays(ledger: Ledger) -> None:
    for index in (3, 4):
        with pytest.raises(ActiveEntryError, match="want an entry that a later one superseded"):
            ledger.erase_entry("c1", index, NOON)
    assert said(ledger, "c1") == [(0, 1), (1, 2), (3, 3), (4, 4)]
    assert ledger.size == 6


def test_v11_a_withdrawal_stays_while_it_holds_back_a_grant(ledger: Ledger) -> None:
    say(ledger, "c1", Gone("segmentation"), OTHER)
    with pytest.raises(ActiveEntryError):
        ledger.erase_entry("c1", 6, NOON)


@pytest.mark.parametrize(
    "act", [Merged("c2", ()), Renamed("c2"), Split("c2"), SourceDeleted("c2"), SourceDeleted()]
)
def test_v11_what_names_another_number_stays(act: Act) -> None:
    """Though it changes nothing: whoever is erased is erased under all their numbers."""
    history = [
        RecordedInstruction(index, msgspec.structs.replace(INSTRUCTION, act=each, seq=index + 1))
        for index, each in enumerate([AGE, act, AGE, AGE])
    ]
    assert 1 not in erasable(history, range(4))


def test_v11_an_act_on_keys_stays() -> None:
    """Though another took its place: signatures of its time rest on it."""
    acts = [*KEY_ACTS, AGE, AGE]
    history = [
        RecordedInstruction(index, msgspec.structs.replace(INSTRUCTION, act=act, seq=index + 1))
        for index, act in enumerate(acts)
    ]
    assert erasable(history, range(len(acts))) == {len(KEY_ACTS)}


NONE = {"another customer's": 2, "nobody's": 99, "a public act": 6}


@pytest.mark.parametrize("why", NONE)
def test_v12_only_an_entry_of_ones_own_is_erased(why: str, ledger: Ledger) -> None:
    ledger.erase_entry("c1", 0, NOON)
    with pytest.raises(NoSuchEntryError, match="is not an entry of this customer"):
        ledger.erase_entry("c1", NONE[why], NOON)
    with pytest.raises(NoSuchEntryError):
        ledger.erase_entry("c1", 0, NOON)


def test_v13_the_log_says_which_entry_and_not_whose(ledger: Ledger) -> None:
    ledger.erase_entry("c1", 1, NOON)
    assert [each.event for each in ledger.follow(6)] == [EntryErased(1, NOON)]
    assert b"c1" not in next(ledger.log.entries(6, 7))


def test_v14_receipts_of_the_entry_still_verify_and_no_new_one_is_made(ledger: Ledger) -> None:
    kept = [ledger.receipt(index) for index in range(6)]
    ledger.erase_entry("c1", 1, NOON)
    for each in kept:
        receipt.verify(receipt.parse(each), ledger.log.verifiers)
    for subject in (None, "c1"):
        with pytest.raises(KeyError, match="can no longer be decrypted"):
            ledger.receipt(1, subject)
    receipt.verify(receipt.parse(ledger.receipt(3, "c1")), ledger.log.verifiers)


def test_v15_who_follows_goes_on_with_the_customer(ledger: Ledger, tmp_path: Path) -> None:
    follower = Follower(tmp_path)
    assert len([*follower.follow(0)]) == 6
    ledger.erase_entry("c1", 1, NOON)
    say(ledger, "c1", Gone("segmentation"))
    say(ledger, "c2", Gone("segmentation"))
    assert [each.index for each in follower.follow(6)] == [6, 7, 8]
    fresh = Follower(tmp_path)
    assert [each.index for each in fresh.follow(0)] == [0, 2, 3, 4, 5, 6, 7, 8]
    assert [each.index for each in ledger.follow(0)] == [0, 2, 3, 4, 5, 6, 7, 8]


def test_v15_the_names_in_read_logs_stay(ledger: Ledger) -> None:
    before = [ledger.read_log_tag("c1", "reads", index) for index in range(3)]
    ledger.erase_entry("c1", 1, NOON)
    assert [ledger.read_log_tag("c1", "reads", index) for index in range(3)] == before


def test_v16_nothing_the_company_has_left_yields_the_entry(ledger: Ledger, tmp_path: Path) -> None:
    """Every key of the store, every half and row of them, against the leaf and the sealed bytes."""
    ledger._store._one(text("PRAGMA wal_checkpoint(TRUNCATE)"))
    shutil.copy(tmp_path / "ledger.sqlite", tmp_path / "backup")
    target, word = ledger.history("c1")[1], [*ledger.log.entries(0, 6)][1]
    assert attack(tmp_path, target.event, word), "before, the attack finds it"
    ledger.erase_entry("c1", 1, NOON)
    say(ledger, "c1", Gone("segmentation"))
    assert not attack(tmp_path, target.event, word)


def attack(home: Path, known: Instruction, entry: bytes) -> bool:
    with closing(Vault(home / "keys")) as keys:
        held = [key for _, key in keys.data_keys()]
    pieces = {key[at : at + 32] for key in held for at in range(len(key) - 31)}
    found = False
    for piece, seq in product({*held, *pieces}, range(1, 8)):
        try:
            derived = commitments.secrets(piece, seq)
        except ErasedEntryError:
            continue
        found |= commitments.personal_entry(derived.opening, envelope.encode(known)) == entry
        found |= derived.opening.tag == entry[1:25]
    for salt in pieces:
        found |= (
            commitments.personal_entry(
                commitments.Opening(entry[1:25], salt), envelope.encode(known)
            )
            == entry
        )
    for path in (home / "ledger.sqlite", home / "backup"):
        with closing(sqlite3.connect(path)) as database:
            for tag, data in database.execute("SELECT tag, data FROM sealed"):
                found |= tag == entry[1:25] and any(_opens(key, data, entry) for key in pieces)
    return found


def _opens(key: bytes, data: bytes, entry: bytes) -> bool:
    try:
        sealing.unseal(commitments.Secrets(commitments.Opening(b"", b""), key), data, entry)
    except vault.VaultError:
        return False
    return True


def test_v16_the_old_half_leaves_no_bytes_in_the_key_store(ledger: Ledger, tmp_path: Path) -> None:
    path = tmp_path / "keys" / "customers.db"
    with closing(sqlite3.connect(path)) as database:
        query = "SELECT wrapped FROM customer WHERE subject = 'c1'"
        (wrapped,) = database.execute(query).fetchone()
    assert wrapped in path.read_bytes()
    ledger.erase_entry("c1", 1, NOON)
    for each in (tmp_path / "keys").iterdir():
        assert wrapped not in each.read_bytes()


def test_v17_a_key_of_one_half_is_refused_with_what_to_do(tmp_path: Path) -> None:
    ledger = opened(tmp_path)
    ledger._vault.create(["c1"])
    with ledger._vault._kek.writing() as current:
        ledger._vault._store.replace_key("c1", current.wrap(bytes(range(32))))
    ledger._vault.clear_cache()
    ledger.reindex()
    say(ledger, "c1", AGE, AGE)
    with pytest.raises(LegacyDataKeyError, match="erase all of the customer"):
        ledger.erase_entry("c1", 0, NOON)
    assert said(ledger, "c1") == [(0, 1), (1, 2)]
    ledger.close()
    assert [*fsck(tmp_path)] == []


def test_v16_a_missing_event_of_whoever_erased_another_is_still_found(
    ledger: Ledger, tmp_path: Path
) -> None:
    ledger.erase_entry("c1", 1, NOON)
    ledger.close()
    with closing(sqlite3.connect(tmp_path / "ledger.sqlite")) as database:
        database.execute('DELETE FROM sealed WHERE "index" = 3')
        database.commit()
    assert [each.where for each in fsck(tmp_path)] == ["entry 3"]


ACTS: list[Act] = [
    AGE,
    Granted("segmentation", ("age", "job"), None),
    Gone("segmentation"),
    Gone("segmentation", ("job",)),
    OTHER,
    Gone("lead-scoring"),
    TriggerSet("segmentation", "metric_below", "accuracy", 9200),
    TriggerSet("segmentation", "metric_below", "accuracy", 9300),
    TriggerCleared("segmentation", "metric_below", "accuracy"),
]
steps = st.lists(st.one_of(st.sampled_from(ACTS), st.integers(0, 20)), min_size=2, max_size=14)


@settings(max_examples=sized(12, 250), deadline=None)
@given(steps)
def test_v11_whatever_is_said_and_erased_the_state_is_that_of_everything_said(
    tmp_path_factory: pytest.TempPathFactory, steps: list[Act | int]
) -> None:
    home = tmp_path_factory.mktemp("said")
    ledger, gone = opened(home), set()
    for each in steps:
        history = ledger.history("c1")
        if not isinstance(each, int):
            say(ledger, "c1", each)
        elif history:
            chosen = history[each % len(history)].index
            before = shown(ledger)
            if chosen in erasable(history, [chosen]):
                ledger.erase_entry("c1", chosen, NOON)
                gone.add(chosen)
            else:
                with pytest.raises(ActiveEntryError):
                    ledger.erase_entry("c1", chosen, NOON)
            assert shown(ledger) == before
    want = shown(ledger), ledger.version("c1"), ledger.history("c1")
    ledger.close()
    again = opened(home)
    assert (shown(again), again.version("c1"), again.history("c1")) == want
    assert not gone & {each.index for each in again.history("c1")}
    again.close()
    assert [*fsck(home)] == []


def shown(ledger: Ledger) -> object:
    held = ledger.state("c1")
    return held and state_document.document(held)

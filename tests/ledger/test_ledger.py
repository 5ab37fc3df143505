"""Clauses L60 to L69 of specs/ledger.md: recording, following, receipts."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from ledger.errors import CorruptLogError
from ledger.events import envelope, reducer
from ledger.events.envelope import (
    Act,
    EvidenceClass,
    Granted,
    Imported,
    Instruction,
    MalformedEventError,
    MandateGiven,
    PolicyPublished,
    SignalReported,
    SubjectErased,
    Withdrawn,
)
from ledger.reader import RecordedEvent
from ledger.service import IdempotencyError, InstructionError, Ledger, VersionConflictError
from ledger.vault.vault import VaultError
from ledger.verify import receipt
from tests.ledger.events import ACTS, BROWSER_KEY, NOON, ORIGIN, PUBLIC, WORDING
from tests.ledger.worlds import AGE, change, opened, say

GONE = Withdrawn("segmentation")


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    made = opened(tmp_path)
    yield made
    made.close()


def chain(ledger: Ledger, subject: str, *acts: Act) -> list[Instruction]:
    """Instructions that follow one another, not recorded yet."""
    first = ledger.draft(subject, acts[0], at=NOON, wording=WORDING)
    chained = [first]
    for act in acts[1:]:
        chained.append(chained[-1].next(act, at=NOON, wording=WORDING))
    return chained


def verified(ledger: Ledger, text: str) -> None:
    receipt.verify(receipt.parse(text), ledger.log.verifiers)


def test_l60_what_is_recorded_is_the_history_and_its_fold_the_state(ledger: Ledger) -> None:
    recorded = ledger.record(chain(ledger, "c1", *ACTS))
    assert [each.index for each in recorded] == [*range(len(ACTS))]
    assert ledger.history("c1") == recorded
    state = None
    for each in recorded:
        assert isinstance(each.event, Instruction)
        state = reducer.apply(state, each.event, each.index)
    assert ledger.state("c1") == state
    assert ledger.version("c1") == len(ACTS)


def test_l60_who_said_nothing_has_no_state(ledger: Ledger) -> None:
    assert (ledger.state("c1"), ledger.history("c1"), ledger.version("c1")) == (None, [], 0)


def test_l61_an_instruction_for_an_older_version_is_refused(ledger: Ledger) -> None:
    first = ledger.draft("c1", AGE, at=NOON, wording=WORDING)
    second = ledger.draft("c1", GONE, at=NOON, wording=WORDING)
    ledger.record([first])
    with pytest.raises(VersionConflictError) as conflict:
        ledger.record([second])
    assert (conflict.value.subject, conflict.value.wanted, conflict.value.current) == ("c1", 0, 1)
    assert ledger.size == 1


def test_l61_a_draft_for_the_version_that_was_not_shown_is_refused(ledger: Ledger) -> None:
    say(ledger, "c1", AGE)
    ledger.draft("c1", GONE, at=NOON, wording=WORDING, expected=1)
    with pytest.raises(VersionConflictError):
        ledger.draft("c1", GONE, at=NOON, wording=WORDING, expected=0)


def test_l61_an_instruction_that_skips_a_version_is_refused(ledger: Ledger) -> None:
    with pytest.raises(VersionConflictError):
        ledger.record([chain(ledger, "c1", AGE, GONE)[1]])


def test_l62_an_instruction_for_another_log_is_refused(ledger: Ledger) -> None:
    strayed = replace(chain(ledger, "c1", AGE)[0], origin="other.example/consent")
    with pytest.raises(InstructionError, match="want"):
        ledger.record([strayed])


def test_l62_an_instruction_with_another_predecessor_is_refused(ledger: Ledger) -> None:
    say(ledger, "c1", AGE)
    broken = replace(ledger.draft("c1", GONE, at=NOON, wording=WORDING), prev=bytes(32))
    with pytest.raises(InstructionError, match="`prev` of instruction 2 is not the digest"):
        ledger.record([broken])


def test_l63_a_batch_with_one_bad_instruction_is_refused_whole(ledger: Ledger) -> None:
    say(ledger, "c1", AGE)
    before = ledger.checkpoint()
    stale = replace(ledger.draft("c3", AGE, at=NOON, wording=WORDING), seq=9)
    batch = [*chain(ledger, "c1", GONE, AGE), *chain(ledger, "c2", AGE), stale]
    with pytest.raises(VersionConflictError):
        ledger.record(batch)
    assert ledger.checkpoint() == before
    assert (ledger.version("c1"), ledger.version("c2")) == (1, 0)
    ledger.record(batch[:-1])
    assert (ledger.version("c1"), ledger.version("c2")) == (3, 1)


def test_l64_the_same_request_is_answered_with_what_was_recorded(tmp_path: Path) -> None:
    ledger = opened(tmp_path)
    say(ledger, "c2", AGE)
    batch = chain(ledger, "c1", AGE, GONE)
    recorded = ledger.record(batch, idempotency="key")
    say(ledger, "c2", GONE)
    assert ledger.record(batch, idempotency="key") == recorded
    ledger.close()
    again = opened(tmp_path)
    assert again.record(batch, idempotency="key") == recorded
    assert again.size == 4
    again.close()


def test_l64_another_request_under_the_same_key_is_refused(ledger: Ledger) -> None:
    batch = chain(ledger, "c1", AGE, GONE)
    ledger.record(batch, idempotency="key")
    for other in (batch[:1], chain(ledger, "c2", AGE), []):
        with pytest.raises(IdempotencyError):
            ledger.record(other, idempotency="key")
    assert ledger.size == 2


def test_l64_a_request_that_was_refused_leaves_its_key_free(ledger: Ledger) -> None:
    with pytest.raises(VersionConflictError):
        ledger.record([chain(ledger, "c1", AGE, GONE)[1]], idempotency="key")
    ledger.record(chain(ledger, "c1", AGE), idempotency="key")


def test_l65_everything_survives_reopening(tmp_path: Path) -> None:
    ledger = opened(tmp_path)
    for subject in ("c1", "c2", "c1"):
        say(ledger, subject, AGE, GONE)
    ledger.announce(PUBLIC)
    everything, mine = [*ledger.follow(0)], ledger.history("c1")
    checkpoint = ledger.checkpoint()
    ledger.close()
    again = opened(tmp_path)
    assert again.checkpoint() == checkpoint
    assert [*again.follow(0)] == everything
    assert again.history("c1") == mine
    assert again.version("c1") == 4
    say(again, "c1", AGE)
    assert again.version("c1") == 5
    again.close()


@pytest.mark.parametrize("count", range(1, 20))
def test_l65_the_version_is_found_again_for_any_number_of_instructions(
    count: int, tmp_path: Path
) -> None:
    ledger = opened(tmp_path)
    ledger.record(chain(ledger, "c1", *[AGE] * count))
    ledger.close()
    again = opened(tmp_path)
    assert again.version("c1") == count
    again.close()


def test_l66_who_follows_sees_every_event_once_in_order(tmp_path: Path) -> None:
    ledger = opened(tmp_path)
    seen: list[RecordedEvent] = []
    said: list[RecordedEvent] = []
    for turn in range(4):
        said += say(ledger, "c1", AGE, GONE)
        said += ledger.announce([PolicyPublished(str(turn), NOON)])
        seen += ledger.follow(len(seen))
        if turn % 2:
            ledger.close()
            ledger = opened(tmp_path)
    assert seen == said
    for since in range(len(said) + 2):
        assert [*ledger.follow(since)] == said[since:]
    ledger.close()


def test_l66_who_follows_from_further_back_than_memory_misses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ledger.recorder.TAIL", 8)
    monkeypatch.setattr("ledger.reader.CHUNK", 4)
    ledger = opened(tmp_path)
    said = [each for _ in range(7) for each in say(ledger, "c1", AGE, GONE)]
    for since in range(len(said) + 1):
        assert [*ledger.follow(since)] == said[since:]
    ledger.close()


def test_l67_every_entry_has_a_receipt_that_verifies(ledger: Ledger) -> None:
    say(ledger, "c1", *ACTS)
    ledger.announce(PUBLIC)
    for index in range(ledger.size):
        verified(ledger, ledger.receipt(index))


def test_l67_a_receipt_shows_the_event_that_was_recorded(ledger: Ledger) -> None:
    (recorded,) = say(ledger, "c1", AGE)
    shown = receipt.parse(ledger.receipt(recorded.index)).extra["event"]
    assert envelope.decode(envelope.encode(recorded.event)) == recorded.event
    assert shown["subject"] == "c1"
    assert shown["evidence"] == EvidenceClass.SESSION


def test_l67_there_is_no_receipt_of_an_entry_that_is_not_there(ledger: Ledger) -> None:
    say(ledger, "c1", AGE)
    for index in (-1, 1):
        with pytest.raises(IndexError, match="the log has 1"):
            ledger.receipt(index)


def test_l68_a_tile_that_was_changed_gives_no_receipt(tmp_path: Path) -> None:
    ledger = opened(tmp_path)
    ledger.announce([SignalReported("s", "accuracy", at, NOON) for at in range(600)])
    change(
        tmp_path / "ledger.sqlite",
        'UPDATE tile SET data = zeroblob(8192) WHERE level = 0 AND "index" = 0',
    )
    with pytest.raises(CorruptLogError, match="fsck"):
        ledger.receipt(3)
    ledger.close()


BROKEN = {
    "a sealed event changed": "UPDATE sealed SET data = zeroblob(40)",
    "a sealed event missing": 'DELETE FROM sealed WHERE "index" = 0',
    "two sealed events exchanged": "UPDATE sealed SET data = (SELECT data FROM sealed s "
    'WHERE s."index" = 1) WHERE "index" = 0',
}


@pytest.mark.parametrize("why", BROKEN)
def test_l68_a_sealed_event_that_was_changed_does_not_open(why: str, tmp_path: Path) -> None:
    ledger = opened(tmp_path)
    say(ledger, "c1", AGE, GONE)
    change(tmp_path / "ledger.sqlite", BROKEN[why])
    with pytest.raises((CorruptLogError, VaultError)):
        ledger.history("c1")
    ledger.close()


def test_l69_nothing_personal_stands_in_the_log(ledger: Ledger) -> None:
    say(ledger, "customer-one", AGE, GONE)
    for entry in ledger.log.entries(0, 2):
        assert len(entry) == 57
        assert not any(word in entry for word in (b"customer-one", b"segmentation"))


def test_l69_nothing_links_two_entries_of_one_customer(ledger: Ledger) -> None:
    say(ledger, "c1", AGE, AGE, AGE)
    found = [entry[1:] for entry in ledger.log.entries(0, 3)]
    chunks = [{entry[at : at + 4] for at in range(len(entry) - 3)} for entry in found]
    assert not chunks[0] & chunks[1]
    assert not chunks[0] & chunks[2]


MISSING = {
    "the log's key": ("keys/consent.key", CorruptLogError),
    "the key-encryption key": ("keys/kek", VaultError),
}


@pytest.mark.parametrize("why", MISSING)
def test_l65_a_ledger_does_not_open_without(why: str, tmp_path: Path) -> None:
    ledger = opened(tmp_path)
    say(ledger, "c1", AGE)
    ledger.close()
    name, error = MISSING[why]
    (tmp_path / name).unlink()
    with pytest.raises(error, match="restore it"):
        opened(tmp_path)
    assert not (tmp_path / name).exists()


def test_l65_a_key_encryption_key_cut_off_is_refused(tmp_path: Path) -> None:
    opened(tmp_path).close()
    (tmp_path / "keys" / "kek").write_bytes(b"short")
    with pytest.raises(VaultError, match="want 32"):
        opened(tmp_path)


def test_l65_keys_are_for_their_owner_alone(ledger: Ledger, tmp_path: Path) -> None:
    for name in ("kek", "consent.key", "customers.db"):
        assert (tmp_path / "keys" / name).stat().st_mode & 0o077 == 0, name
    assert (tmp_path / "keys").stat().st_mode & 0o077 == 0


def test_l60_root_and_checkpoint_agree(ledger: Ledger) -> None:
    say(ledger, "c1", AGE)
    size, root = ledger.root()
    assert ledger.checkpoint().startswith(f"{ORIGIN}\n{size}\n{root}\n\n")
    assert size == ledger.size == 1


def test_l60_public_acts_are_kept_in_clear(ledger: Ledger) -> None:
    recorded = ledger.announce(PUBLIC)
    assert [each.event for each in recorded] == [*PUBLIC]
    assert [*ledger.follow(0)] == recorded
    assert SubjectErased in {type(each.event) for each in recorded}
    for entry, each in zip(ledger.log.entries(0, len(PUBLIC)), PUBLIC, strict=True):
        assert entry == b"\x02" + envelope.encode(each)


NAMELESS: tuple[Act, ...] = (
    Granted("segmentation", (), None),
    Withdrawn("segmentation", ()),
    Imported("segmentation", (), None, "crm"),
    MandateGiven(BROWSER_KEY, (), NOON),
)


@pytest.mark.parametrize("act", NAMELESS)
def test_e3_an_act_that_names_nothing_is_not_recorded(ledger: Ledger, act: Act) -> None:
    with pytest.raises(MalformedEventError, match="want at least one name"):
        say(ledger, "c1", act)
    assert ledger.size == 0


def test_e3_an_earlier_one_gives_and_takes_nothing_and_there_is_no_receipt_of_it(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as earlier:
        earlier.setattr(envelope, "_require_names", lambda _event: None)
        say(ledger, "c1", Granted("segmentation", (), None))
        say(ledger, "c1", Granted("lead-scoring", ("age",), None))
        say(ledger, "c1", Withdrawn("lead-scoring", ()))
    state = ledger.state("c1")
    assert state is not None
    assert isinstance(state.scenes["segmentation"], reducer.SceneConsent)
    scoring = state.scenes["lead-scoring"]
    assert isinstance(scoring, reducer.SceneConsent)
    assert scoring.fields == {"age"}
    assert len(ledger.history("c1")) == 3
    for index in (0, 2):
        with pytest.raises(CorruptLogError, match="at least one name"):
            ledger.receipt(index)


def test_a_history_that_grows_while_it_is_read_is_not_taken_for_a_damaged_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = opened(tmp_path)
    say(ledger, "c1", AGE, AGE)
    counted, calls = ledger.version, iter([1])
    monkeypatch.setattr(ledger, "version", lambda subject: next(calls, counted(subject)))
    assert len(ledger.history("c1")) == 2

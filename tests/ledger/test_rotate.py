"""Clauses L110 to L114 of specs/ledger.md."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from ledger.events.envelope import KeyRotated, ServiceRegistered
from ledger.fsck import fsck
from ledger.keys import log_keys, rotation
from ledger.service import Ledger
from ledger.statemap import map_proof
from ledger.tlog import atomic_file, policy, signed_note
from ledger.verify import receipt
from ledger.verify.key_history import KeyHistory, Rotation, RotationError
from tests.ledger.events import NOON, ORIGIN
from tests.ledger.worlds import AGE, opened, say


def trust(home: Path) -> policy.LogPolicy:
    return policy.parse((home / "consent.policy").read_bytes())


def names(ledger: Ledger) -> set[str]:
    return {each.key_id.hex() for each in signed_note.parse(ledger.checkpoint()).signatures}


def ids(ledger: Ledger) -> set[str]:
    return {each.key_id.hex() for each in ledger.log.verifiers}


def test_l110_old_and_new_sign_the_rotation_and_then_the_new_alone(tmp_path: Path) -> None:
    ledger = opened(tmp_path)
    say(ledger, "c1", AGE)
    old = ids(ledger)
    ledger.rotate(tmp_path, NOON)
    new = ids(ledger)
    assert not old & new
    assert names(ledger) == old | new
    rotation, beside = (each.event for each in ledger.follow(1))
    assert isinstance(rotation, KeyRotated)
    assert isinstance(beside, KeyRotated)
    assert (rotation.origin, beside.origin) == (ORIGIN, f"{ORIGIN}/state")
    assert {key.split("+")[1] for key in rotation.keys} == new
    say(ledger, "c1", AGE)
    assert names(ledger) == new
    ledger.close()
    again = opened(tmp_path)
    assert (ids(again), again.version("c1")) == (new, 2)
    again.close()
    assert [*fsck(tmp_path)] == []
    assert not (tmp_path / "keys" / "consent.next.key").exists()


def test_l111_receipts_from_before_and_after_verify(tmp_path: Path) -> None:
    ledger = opened(tmp_path)
    kept = []
    for _ in range(3):
        (recorded,) = say(ledger, "c1", AGE)
        kept.append(ledger.receipt(recorded.index))
        ledger.rotate(tmp_path, NOON)
    ledger.close()
    for text in kept:
        receipt.verify_under(receipt.parse(text), trust(tmp_path))
    assert len(trust(tmp_path).logs) == 8


def test_l113_the_state_log_changes_its_keys_in_the_same_commit(tmp_path: Path) -> None:
    ledger = opened(tmp_path)
    say(ledger, "c1", AGE)
    where = ledger.states.labels.of("c1")
    before = ledger.state_proof("c1")
    old = {each.key_id for each in ledger.states.log.verifiers}
    ledger.rotate(tmp_path, NOON)
    new = {each.key_id for each in ledger.states.log.verifiers}
    assert not old & new
    both = signed_note.parse(ledger.states.log.checkpoint())
    assert {each.key_id for each in both.signatures} == old | new
    say(ledger, "c1", AGE)
    after = ledger.state_proof("c1")
    assert {each.key_id for each in after.note.signatures} == new
    ledger.close()
    demanded = policy.parse((tmp_path / "state.policy").read_bytes())
    for proof in (before, after):
        map_proof.verify_under(proof, where, demanded)
    assert [*fsck(tmp_path)] == []
    assert not [*(tmp_path / "keys").glob("*.next.key")]


def signed(ledger: Ledger, home: Path) -> None:
    older, newer = log_keys.keys(home, ORIGIN), log_keys.begin_rotation(home, ORIGIN)
    ledger.log.sign_with(*older.consent, *newer.consent)
    ledger.states.log.sign_with(*older.state, *newer.state)
    ledger.announce([KeyRotated(ORIGIN, tuple(str(k.verifier) for k in newer.consent), NOON)])


def test_l114_old_and_new_keys_sign_the_receipts_of_a_rotation_that_are_kept(
    tmp_path: Path,
) -> None:
    ledger = opened(tmp_path)
    trusted = trust(tmp_path)
    for number in range(3):
        ledger.rotate(tmp_path, NOON)
        consent, state = (
            receipt.parse(each) for each in rotation.stored_receipts(tmp_path)[2 * number :]
        )
        for each in (consent, state):
            receipt.verify_under(each, trusted)
        assert state.extra["event"]["origin"] == f"{ORIGIN}/state"
        named = [policy.log_key(key) for key in consent.extra["event"]["keys"]]
        receipt.verify(consent, named)
        trusted = policy.LogPolicy((*named,))
        say(ledger, "c1", AGE)
    assert len(rotation.stored_receipts(tmp_path)) == 6
    ledger.close()


@pytest.mark.parametrize("left", [0, 1])
def test_l114_receipts_that_a_crash_prevented_are_made_at_the_next_start(
    left: int, tmp_path: Path
) -> None:
    ledger = opened(tmp_path)
    ledger.rotate(tmp_path, NOON)
    ledger.close()
    kept = rotation.stored_receipts(tmp_path)
    for each in sorted((tmp_path / "rotations").iterdir())[left:]:
        each.unlink()
    opened(tmp_path).close()
    assert rotation.stored_receipts(tmp_path) == kept


STEPS: dict[str, Callable[[Ledger, Path], object]] = {
    "begun": lambda _, home: log_keys.begin_rotation(home, ORIGIN),
    "signed": signed,
}


@pytest.mark.parametrize("step", STEPS)
def test_l112_a_rotation_that_was_cut_short_is_ended_or_forgotten(
    step: str, tmp_path: Path
) -> None:
    ledger = opened(tmp_path)
    say(ledger, "c1", AGE)
    old = ids(ledger)
    STEPS[step](ledger, tmp_path)
    ledger.close()
    again = opened(tmp_path)
    assert (ids(again) == old) is (step == "begun")
    say(again, "c1", AGE)
    again.close()
    assert [*fsck(tmp_path)] == []
    assert not [*(tmp_path / "keys").glob("*.next.key")]


class PowerFailure(BaseException):
    pass


@pytest.mark.parametrize("nth", range(1, 12))
def test_l112_cut_short_at_any_file_it_opens_again(
    nth: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = opened(tmp_path)
    (recorded,) = say(ledger, "c1", AGE)
    kept = ledger.receipt(recorded.index)
    left, real = [nth], atomic_file.write

    def fails(path: Path, data: bytes, mode: int = atomic_file.PUBLIC) -> None:
        left[0] -= 1
        if left[0] == 0:
            raise PowerFailure
        real(path, data, mode)

    monkeypatch.setattr("ledger.keys.log_keys.atomic_file.write", fails)
    with suppress(PowerFailure):
        ledger.rotate(tmp_path, NOON)
    monkeypatch.undo()
    ledger.close()
    again = opened(tmp_path)
    say(again, "c1", AGE)
    receipt.verify_under(receipt.parse(again.receipt(0)), trust(tmp_path))
    again.close()
    receipt.verify_under(receipt.parse(kept), trust(tmp_path))
    assert [*fsck(tmp_path)] == []


def rotated(home: Path) -> tuple[policy.LogPolicy, Rotation]:
    """The policy of the first day, and a rotation that follows it."""
    ledger = opened(home)
    trusted = trust(home)
    ledger.rotate(home, NOON)
    ledger.close()
    return trusted, Rotation(receipt.parse(rotation.stored_receipts(home)[0]), ())


def saying(given: Rotation, **members: object) -> Rotation:
    """The rotation with another event; whoever follows it has not proven its inclusion yet."""
    event = {**given.receipt.extra["event"], **members}
    return replace(given, receipt=replace(given.receipt, extra={"event": event}))


@pytest.mark.parametrize("origin", ["another.example/consent", f"{ORIGIN}/reads", ORIGIN.upper()])
def test_l111_a_rotation_of_another_log_is_not_followed(tmp_path: Path, origin: str) -> None:
    """Its keys are named like the log it is about, so they could stand beside these."""
    trusted, given = rotated(tmp_path)
    keys = [each.replace(ORIGIN, origin) for each in given.receipt.extra["event"]["keys"]]
    KeyHistory([trusted]).follow(given)
    with pytest.raises(RotationError, match="a rotation of the keys of"):
        KeyHistory([trusted]).follow(saying(given, origin=origin, keys=keys))


@pytest.mark.parametrize("why", ["unsigned", "named otherwise", "one named otherwise", "none"])
def test_l111_only_keys_that_are_named_and_have_signed_are_believed(
    tmp_path: Path, why: str
) -> None:
    """The entry stands in the log, so whoever holds the old keys wanted it."""
    _, other = rotated(tmp_path / "other")
    keys = other.receipt.extra["event"]["keys"]
    there = Ledger.open(tmp_path / "there", origin="another.example/consent")
    strangers = [str(each) for each in there.log.verifiers]
    there.close()
    named = {
        "unsigned": keys,
        "named otherwise": strangers,
        "one named otherwise": [keys[0], *strangers[1:]],
        "none": [],
    }
    ledger = opened(tmp_path / "own")
    trusted = trust(tmp_path / "own")
    ledger.announce([KeyRotated(ORIGIN, tuple(named[why]), NOON)])
    given = Rotation(receipt.parse(ledger.receipt(0)), ())
    ledger.close()
    follower = KeyHistory([trusted])
    refused = ValueError if why in {"unsigned", "none"} else RotationError
    with pytest.raises(refused):
        follower.follow(given)
    assert follower.known == [trusted]


def test_l111_what_is_followed_is_a_rotation(tmp_path: Path) -> None:
    ledger = opened(tmp_path)
    ledger.announce([ServiceRegistered("analytics", "key", NOON)])
    text = ledger.receipt(0)
    ledger.close()
    with pytest.raises(RotationError, match="want 'key-rotated'"):
        KeyHistory([trust(tmp_path)]).follow(Rotation(receipt.parse(text), ()))

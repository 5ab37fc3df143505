"""Clauses I20 to I42 of specs/instruction.md: who may sign what, and when."""

from collections.abc import Callable
from datetime import timedelta
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from ledger.events import authority, envelope
from ledger.events.authority import COOLING_OFF, EMPTY_AUTHORITY, MAX_KEYS, MAX_MANDATES
from ledger.events.envelope import (
    Act,
    EvidenceClass,
    Granted,
    Imported,
    Instruction,
    KeyEnrolled,
    KeyRecovered,
    KeyRemoved,
    KeyReplaced,
    MalformedEventError,
    MandateEnded,
    MandateGiven,
    RecoveryCancelled,
    RecoveryRequested,
    TriggerCleared,
    TriggerSet,
    Withdrawn,
)
from ledger.events.instruction_signature import InstructionError
from ledger.events.reducer import SceneConsent, SceneWithdrawal, apply
from ledger.vault.commitments import canonical
from tests.ledger.events import ACTS, GRANTED, INSTRUCTION, NOON, acts, instructions, key_acts
from tests.ledger.hands import BrowserKey, Customer, Hand, Passkey, document

HAND, SECOND, THIRD, STRANGER = Passkey(), BrowserKey(), Passkey(), Passkey()
LATER = NOON + COOLING_OFF
SET = TriggerSet("segmentation", "below", "accuracy", 9200)
CLEARED = TriggerCleared("segmentation", "below", "accuracy")
MANDATE = MandateGiven(SECOND.key, ("segmentation",), NOON + timedelta(days=30))
LOST = RecoveryRequested(THIRD.key, "identity card in the branch", LATER)


def keyed(*hands: Hand) -> Customer:
    """A customer with these keys: the first enrolled in a session, the others by the first."""
    made = Customer()
    for number, hand in enumerate(hands):
        made.say(KeyEnrolled(hand.key), hands[0] if number else None)
    return made


def refused(customer: Customer, act: Act, hand: Hand | None = None, **how: object) -> str:
    before = customer.state
    with pytest.raises(InstructionError) as error:
        customer.say(act, hand, **how)
    assert customer.state == before
    return str(error.value)


@pytest.mark.parametrize("act", ACTS, ids=lambda act: type(act).__name__)
def test_i20_without_a_key_a_session_suffices(act: Act) -> None:
    customer = Customer()
    customer.say(act)
    assert customer.state.seq == 1


def test_i20_without_a_key_a_mandate_may_be_given_in_a_session() -> None:
    customer = Customer()
    name = customer.say(MANDATE)
    customer.say(GRANTED, SECOND, mandate=name)
    assert isinstance(customer.state.scenes["segmentation"], SceneConsent)


WIDENING: dict[str, Act] = {
    "a grant": GRANTED,
    "a grant of less": Granted("segmentation", ("age",), NOON),
    "an import": Imported("segmentation", ("age",), None, "legacy"),
    "a trigger cleared": CLEARED,
    "a trigger with a lower threshold": replace(SET, threshold=100),
    "a trigger with a higher threshold": replace(SET, threshold=9900),
    "a key": KeyEnrolled(THIRD.key),
    "a key removed": KeyRemoved(HAND.key.id),
    "a mandate": MANDATE,
}


@pytest.mark.parametrize("why", WIDENING)
def test_i21_i23_with_a_key_what_widens_needs_a_signature(why: str) -> None:
    customer = keyed(HAND)
    customer.say(SET)
    assert "widens" in refused(customer, WIDENING[why])
    assert "widens" in refused(customer, WIDENING[why], evidence=EvidenceClass.IMPORTED)
    refused(customer, WIDENING[why], STRANGER)
    customer.say(WIDENING[why], HAND)


@pytest.mark.parametrize("hand", [HAND, SECOND], ids=["passkey", "browser key"])
def test_i21_any_key_in_force_signs(hand: Hand) -> None:
    customer = keyed(HAND, SECOND)
    customer.say(GRANTED, hand)
    assert isinstance(customer.state.scenes["segmentation"], SceneConsent)


NARROWING: dict[str, Act] = {
    "a withdrawal": Withdrawn("segmentation"),
    "a withdrawal of a field": Withdrawn("segmentation", ("age",)),
    "a trigger": replace(SET, signal="drift"),
    "a trigger once more": SET,
    "a mandate ended": MandateEnded(bytes(32)),
    "a recovery requested": LOST,
}


@pytest.mark.parametrize("why", NARROWING)
def test_i22_with_a_key_what_narrows_still_needs_none(why: str) -> None:
    customer = keyed(HAND)
    customer.say(GRANTED, HAND)
    customer.say(SET)
    name = customer.say(MANDATE, HAND)
    act, before = NARROWING[why], customer.state.seq
    customer.say(MandateEnded(name) if isinstance(act, MandateEnded) else act)
    assert customer.state.seq == before + 1


@pytest.mark.parametrize("why", [each for each in NARROWING if "ended" not in each])
def test_i22_what_narrows_may_be_signed(why: str) -> None:
    customer = keyed(HAND)
    customer.say(SET)
    before = customer.state.seq
    customer.say(NARROWING[why], HAND)
    assert customer.state.seq == before + 1


@given(st.lists(acts | key_acts, max_size=8))
def test_i22_whatever_was_said_a_session_withdraws(said: list[Act]) -> None:
    customer = keyed(HAND)
    for act in said:  # whether or not each was allowed
        customer.state = apply(customer.state, customer.draft(act), customer.index)
    customer.say(Withdrawn("segmentation"))
    assert isinstance(customer.state.scenes["segmentation"], SceneWithdrawal)


def test_i21_every_act_either_widens_or_is_open() -> None:
    kinds = {each.__struct_config__.tag for each in get_args(envelope.Act)}
    assert kinds >= authority.SESSION_ACTS
    assert kinds - authority.SESSION_ACTS == {
        "granted",
        "imported",
        "trigger-cleared",
        "key-enrolled",
        "key-replaced",
        "key-removed",
        "mandate-given",
    }


def test_i23_after_the_last_key_was_removed_by_itself_a_session_suffices_again() -> None:
    customer = keyed(HAND)
    customer.say(KeyRemoved(HAND.key.id), HAND)
    assert customer.state.authority is EMPTY_AUTHORITY
    customer.say(GRANTED)


def test_i24_a_key_is_replaced_by_its_own_signature() -> None:
    customer = keyed(HAND, SECOND)
    replacing = KeyReplaced(HAND.key.id, THIRD.key)
    refused(customer, replacing)
    refused(customer, replacing, THIRD)
    assert "of the key that is replaced" in refused(customer, replacing, SECOND)
    customer.say(replacing, HAND)
    assert {*customer.state.authority.keys} == {SECOND.key.id, THIRD.key.id}
    refused(customer, GRANTED, HAND)
    customer.say(GRANTED, THIRD)


SENSELESS: dict[str, Act] = {
    "a key that is in force": KeyEnrolled(HAND.key),
    "a key in force for another": KeyReplaced(HAND.key.id, HAND.key),
    "an old key that is not": KeyReplaced(STRANGER.key.id, THIRD.key),
    "the removal of one that is not": KeyRemoved(STRANGER.key.id),
    "the recovery of one in force": replace(LOST, key=HAND.key),
    "an end of no mandate": MandateEnded(bytes(32)),
    "a recovery cancelled that nobody asked": RecoveryCancelled(bytes(32)),
    "a recovery that nobody asked": KeyRecovered(bytes(32)),
    "a mandate for no time": replace(MANDATE, until=NOON),
}


@pytest.mark.parametrize("why", SENSELESS)
def test_i25_refused_whoever_signs(why: str) -> None:
    customer = keyed(HAND)
    refused(customer, SENSELESS[why], HAND)
    refused(customer, SENSELESS[why])


def test_i25_there_are_at_most_so_many_keys_and_mandates() -> None:
    customer = keyed(HAND, *(BrowserKey() for _ in range(MAX_KEYS - 1)))
    assert "remove one" in refused(customer, KeyEnrolled(THIRD.key), HAND)
    for _ in range(MAX_MANDATES):
        customer.say(MANDATE, HAND)
    assert "end one" in refused(customer, MANDATE, HAND)


@pytest.mark.parametrize("evidence", [EvidenceClass.PASSKEY, EvidenceClass.BROWSER_KEY])
@pytest.mark.parametrize("act", [GRANTED, Withdrawn("segmentation")], ids=["grant", "withdrawal"])
def test_i26_a_class_that_claims_a_signature_has_one(evidence: EvidenceClass, act: Act) -> None:
    for customer in (Customer(), keyed(HAND)):
        assert "without a signature" in refused(customer, act, evidence=evidence)


@pytest.mark.parametrize("evidence", [EvidenceClass.SESSION, EvidenceClass.IMPORTED])
def test_i26_a_class_without_signature_has_none(evidence: EvidenceClass) -> None:
    said = refused(keyed(HAND), Withdrawn("segmentation"), HAND, evidence=evidence)
    assert "want class A for passkeys" in said


def test_i26_nobodys_signature_counts_for_a_customer_without_keys() -> None:
    assert "none of the customer's" in refused(Customer(), GRANTED, STRANGER)
    assert "none of the customer's" in refused(Customer(), KeyEnrolled(HAND.key), HAND)


def test_i30_a_recovery_waits() -> None:
    customer = keyed(HAND)
    early = replace(LOST, not_before=LATER - timedelta(seconds=1))
    assert "must wait" in refused(customer, early)
    request = customer.say(LOST)
    assert "already" in refused(customer, replace(LOST, key=SECOND.key))
    refused(customer, KeyRecovered(request), at=LATER - timedelta(seconds=1))
    refused(customer, GRANTED, THIRD, at=LATER)
    customer.say(KeyRecovered(request), at=LATER)
    refused(customer, GRANTED, HAND, at=LATER)
    customer.say(GRANTED, THIRD, at=LATER)


def test_i30_without_a_key_there_is_nothing_to_recover() -> None:
    assert "enrol one" in refused(Customer(), LOST)


def test_i31_a_recovery_that_was_cancelled_never_comes() -> None:
    customer = keyed(HAND)
    request = customer.say(LOST)
    refused(customer, RecoveryCancelled(bytes(32)))
    customer.say(RecoveryCancelled(request))
    refused(customer, KeyRecovered(request), at=LATER)
    again = customer.say(LOST)
    assert again != request
    refused(customer, KeyRecovered(request), at=LATER)
    customer.say(KeyRecovered(again), at=LATER)


def test_i32_the_recovered_key_is_alone_and_mandates_have_ended() -> None:
    customer = keyed(HAND, SECOND)
    name = customer.say(MANDATE, HAND)
    request = customer.say(LOST)
    customer.say(GRANTED, HAND)  # the old keys sign until then
    customer.say(KeyRecovered(request), at=LATER)
    assert {*customer.state.authority.keys} == {THIRD.key.id}
    refused(customer, GRANTED, SECOND, mandate=name, at=LATER)
    for lost in (HAND, SECOND):
        refused(customer, GRANTED, lost, at=LATER)


def mandated() -> tuple[Customer, bytes]:
    customer = keyed(HAND)
    return customer, customer.say(MANDATE, HAND)


UNDER_A_MANDATE: dict[str, Act] = {
    "a grant": GRANTED,
    "a withdrawal": Withdrawn("segmentation"),
    "a trigger": SET,
}


@pytest.mark.parametrize("why", UNDER_A_MANDATE)
def test_i40_i41_a_mandated_key_signs_for_its_scenes(why: str) -> None:
    customer, name = mandated()
    before = customer.state.seq
    customer.say(UNDER_A_MANDATE[why], SECOND, mandate=name)
    assert customer.state.seq == before + 1


BEYOND: dict[str, Callable[[Customer, bytes], object]] = {
    "another scene": lambda c, m: c.say(replace(GRANTED, scene="ads"), SECOND, mandate=m),
    "a key": lambda c, m: c.say(KeyEnrolled(THIRD.key), SECOND, mandate=m),
    "the mandated key itself": lambda c, m: c.say(KeyEnrolled(SECOND.key), SECOND, mandate=m),
    "a mandate": lambda c, m: c.say(MANDATE, SECOND, mandate=m),
    "the end of the mandate": lambda c, m: c.say(MandateEnded(m), SECOND, mandate=m),
    "a recovery": lambda c, m: c.say(LOST, SECOND, mandate=m),
    "no mandate named": lambda c, _: c.say(GRANTED, SECOND),
    "another mandate named": lambda c, _: c.say(GRANTED, SECOND, mandate=bytes(32)),
    "another key under it": lambda c, m: c.say(GRANTED, STRANGER, mandate=m),
    "the customer's own key under it": lambda c, m: c.say(GRANTED, HAND, mandate=m),
    "no signature under it": lambda c, m: c.say(Withdrawn("segmentation"), mandate=m),
    "at its end": lambda c, m: c.say(GRANTED, SECOND, mandate=m, at=MANDATE.until),
}


@pytest.mark.parametrize("why", BEYOND)
def test_i41_a_mandate_does_not_reach(why: str) -> None:
    customer, name = mandated()
    with pytest.raises(InstructionError):
        BEYOND[why](customer, name)


def test_i41_a_mandate_that_was_ended_is_over() -> None:
    customer, name = mandated()
    customer.say(MandateEnded(name))
    assert "not active" in refused(customer, GRANTED, SECOND, mandate=name)


@given(instructions)
def test_i42_the_part_is_there_if_a_mandate_is_named_and_only_then(said: Instruction) -> None:
    assert ("mandate" in document(said)) == (said.mandate is not None)


def test_i42_a_part_that_names_none_is_refused() -> None:
    nothing = canonical({**document(INSTRUCTION), "mandate": None})
    with pytest.raises(MalformedEventError, match="canonical"):
        envelope.decode(nothing)

"""Clauses I8, I27 and I50 to I53 of specs/instruction.md: signed instructions in a ledger."""

import json
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)
from msgspec.structs import replace

from ledger.errors import CorruptLogError
from ledger.events import envelope, instruction_signature, state_document
from ledger.events.authority import COOLING_OFF
from ledger.events.envelope import (
    EvidenceClass,
    Granted,
    Instruction,
    KeyEnrolled,
    KeyRecovered,
    MandateGiven,
    RecoveryRequested,
    Withdrawn,
)
from ledger.events.instruction_signature import (
    InstructionError,
    PasskeySignature,
    Signature,
    SignatureError,
)
from ledger.events.reducer import ConsentState
from ledger.fsck import fsck
from ledger.service import Ledger
from ledger.statemap import map_proof
from ledger.storage.sqlite import SqlStore
from ledger.vault import commitments, sealing, vault
from ledger.verify import receipt
from ledger.verify.cli import main
from ledger.verify.receipt import ReceiptError
from tests.ledger.events import GRANTED, NOON, WORDING
from tests.ledger.hands import BrowserKey, Passkey, class_of, give
from tests.ledger.test_instruction import ORDER
from tests.ledger.worlds import AGE, change, opened, say

HAND, BROWSER, OTHER = Passkey(), BrowserKey(), Passkey()


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """One whose first customer has a key."""
    made = opened(tmp_path)
    give(made, KeyEnrolled(HAND.key))
    yield made
    made.close()


def draft(ledger: Ledger, evidence: EvidenceClass = EvidenceClass.PASSKEY) -> Instruction:
    return ledger.draft("c1", GRANTED, at=NOON, wording=WORDING, evidence=evidence)


def twin(signature: PasskeySignature) -> PasskeySignature:
    """The other valid signature that anybody makes of an ECDSA signature."""
    r, s = decode_dss_signature(signature.signature)
    second = encode_dss_signature(r, ORDER - s)
    return PasskeySignature(
        signature.key, signature.authenticator_data, signature.client_data, second
    )


def test_i8_the_same_request_with_another_valid_signature_is_the_same_request(
    ledger: Ledger,
) -> None:
    said = draft(ledger)
    signature = HAND.sign(said)
    (recorded,) = ledger.record([said], signatures=[signature], idempotency="one")
    size = ledger.size
    for again in (twin(signature), HAND.sign(said)):
        assert again != signature
        (found,) = ledger.record([said], signatures=[again], idempotency="one")
        assert (found.index, found.event) == (recorded.index, said)
    assert ledger.size == size
    assert ledger.history("c1")[-1].signature == signature


def test_i8_the_leaf_is_the_same_whatever_the_signature(tmp_path: Path) -> None:
    first: Signature = HAND.sign(SAID)
    second: Signature = BROWSER.sign(SAID)
    assert first != second
    derived = commitments.secrets(bytes(32), 1)
    entry = commitments.personal_entry(derived.opening, envelope.encode(SAID))
    assert len(entry) == 57


SAID = envelope.instruction(
    "o", "c1", 0, envelope.FIRST, GRANTED, NOON, WORDING, EvidenceClass.PASSKEY
)

REFUSED: dict[str, Callable[[Ledger, Instruction], Any]] = {
    "in a session": lambda _, __: None,
    "by another key": lambda _, said: OTHER.sign(said),
    "by a browser key": lambda _, said: BROWSER.sign(said),
    "another instruction": lambda ledger, _: HAND.sign(draft(ledger)),
    "for the login": lambda _, said: HAND.sign(said, data=HAND.data(rp="login.test.example")),
    "in a frame": lambda _, said: HAND.sign(said, client={"crossOrigin": True}),
}


@pytest.mark.parametrize("why", REFUSED)
def test_i27_a_refused_instruction_leaves_nothing(why: str, ledger: Ledger, tmp_path: Path) -> None:
    before = ledger.checkpoint(), ledger.states.log.checkpoint()
    said = draft(ledger, EvidenceClass.SESSION if why == "in a session" else EvidenceClass.PASSKEY)
    also = ledger.draft("c2", GRANTED, at=NOON, wording=WORDING)
    hand = REFUSED[why](ledger, said)
    with pytest.raises(InstructionError):
        ledger.record([also, said], signatures=[None, hand], idempotency="one")
    assert (ledger.checkpoint(), ledger.states.log.checkpoint()) == before
    assert (ledger.version("c1"), ledger.version("c2")) == (1, 0)
    assert "c2" not in ledger.subjects()
    ledger.record([also], idempotency="one")


def test_i27_there_is_a_signature_or_none_for_each_instruction(ledger: Ledger) -> None:
    said = draft(ledger)
    with pytest.raises(ValueError, match="argument"):
        ledger.record([said], signatures=[HAND.sign(said)] * 2)
    assert ledger.version("c1") == 1


def test_i21_a_batch_is_judged_in_its_order(tmp_path: Path) -> None:
    made = opened(tmp_path)
    first = made.draft("c1", KeyEnrolled(HAND.key), at=NOON, wording=WORDING)
    second = first.next(AGE, at=NOON, wording=WORDING)
    with pytest.raises(InstructionError, match="widens"):
        made.record([first, second])
    assert made.size == 0
    signed = replace(second, evidence=EvidenceClass.PASSKEY)
    made.record([first, signed], signatures=[None, HAND.sign(signed)])
    assert made.size == 2
    made.close()


def test_i52_everything_survives_reopening_and_fsck_is_content(
    ledger: Ledger, tmp_path: Path
) -> None:
    give(ledger, GRANTED, HAND)
    give(ledger, KeyEnrolled(BROWSER.key), HAND)
    give(ledger, GRANTED, BROWSER)
    give(ledger, Withdrawn("segmentation"))
    everything, mine, held = [*ledger.follow(0)], ledger.history("c1"), ledger.state("c1")
    ledger.close()
    again = opened(tmp_path)
    assert [*again.follow(0)] == everything
    assert again.history("c1") == mine
    assert [each.signature is None for each in mine] == [True, False, False, False, True]
    assert again.state("c1") == held
    give(again, GRANTED, BROWSER)
    again.close()
    assert [*fsck(tmp_path)] == []


@pytest.mark.parametrize("hand", [HAND, BROWSER], ids=["passkey", "browser key"])
def test_i50_the_receipt_of_a_signed_instruction_names_its_key(
    hand: Passkey | BrowserKey,
    ledger: Ledger,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    give(ledger, KeyEnrolled(BROWSER.key), HAND)
    index = give(ledger, GRANTED, hand).index
    kept = tmp_path / "kept"
    kept.write_text(ledger.receipt(index))
    proven = receipt.parse(kept.read_text())
    receipt.verify(proven, ledger.log.verifiers)
    found = proven.signer()
    assert found is not None
    assert found.id == hand.key.id
    assert main([str(kept), "--policy", str(tmp_path / "consent.policy")]) == 0
    assert f"by the {hand.key.kind} key {hand.key.id.hex()}" in capsys.readouterr().out


def test_i50_the_receipt_of_a_session_names_none(ledger: Ledger) -> None:
    index = give(ledger, Withdrawn("segmentation")).index
    assert receipt.parse(ledger.receipt(index)).signer() is None


def with_extra(text: str, **changed: object) -> str:
    header, extra, rest = text.split("\n", 2)
    found = json.loads(b64decode(extra.removeprefix("extra "))) | changed
    kept = {name: value for name, value in found.items() if value is not None}
    return f"{header}\nextra {b64encode(commitments.canonical(kept)).decode()}\n{rest}"


TAMPERED: dict[str, Callable[[PasskeySignature], dict[str, object]]] = {
    "no signature": lambda _: {"signature": None, "signer": None},
    "no signer": lambda _: {"signer": None},
    "no signature, but a signer": lambda _: {"signature": None},
    "another signer": lambda _: {"signer": key_of(OTHER)},
    "a signature that is none": lambda _: {"signature": {}},
    "a signer that is none": lambda _: {"signer": {}},
    "a browser's signature": lambda _: {
        "signature": instruction_signature.members(BROWSER.sign(SAID)),
        "signer": key_of(BROWSER),
    },
    "the signature by another key of something else": lambda _: {
        "signature": instruction_signature.members(OTHER.sign(SAID)),
        "signer": key_of(OTHER),
    },
}


def key_of(hand: Passkey | BrowserKey) -> dict[str, object]:
    encoded = envelope.encode(replace(SAID, act=KeyEnrolled(hand.key)))
    found: dict[str, object] = json.loads(encoded)["act"]["key"]
    return found


@pytest.mark.parametrize("why", TAMPERED)
def test_i50_no_receipt_of_class_a_with(why: str, ledger: Ledger) -> None:
    said = give(ledger, GRANTED, HAND)
    assert isinstance(said.signature, PasskeySignature)
    changed = with_extra(ledger.receipt(said.index), **TAMPERED[why](said.signature))
    with pytest.raises(ReceiptError):
        receipt.verify(receipt.parse(changed), ledger.log.verifiers)


def test_i50_a_receipt_with_the_twin_of_its_signature_says_the_same(ledger: Ledger) -> None:
    said = give(ledger, GRANTED, HAND)
    assert isinstance(said.signature, PasskeySignature)
    other = instruction_signature.members(twin(said.signature))
    changed = with_extra(ledger.receipt(said.index), signature=other)
    receipt.verify(receipt.parse(changed), ledger.log.verifiers)


def test_i51_the_state_shows_who_may_sign(ledger: Ledger) -> None:
    lost = RecoveryRequested(OTHER.key, "identity card", NOON + COOLING_OFF)
    given = MandateGiven(BROWSER.key, ("segmentation",), NOON + timedelta(days=9))
    mandate = envelope.digest(give(ledger, given, HAND).event)
    request = envelope.digest(give(ledger, lost).event)
    shown = ledger.state_proof("c1").opening
    assert shown is not None
    found = shown.state
    assert found["keys"] == [{"index": 0, "key": text(HAND.key.id)}]
    assert found["mandates"] == [
        {
            "index": 1,
            "key": text(BROWSER.key.id),
            "mandate": text(mandate),
            "scenes": ["segmentation"],
            "until": "2026-01-10T12:00:00Z",
        }
    ]
    assert found["recovery"] == {
        "index": 2,
        "key": text(OTHER.key.id),
        "not_before": "2026-01-04T12:00:00Z",
        "request": text(request),
    }
    give(ledger, KeyRecovered(request), at=NOON + COOLING_OFF)
    shown = ledger.state_proof("c1").opening
    assert shown is not None
    assert shown.state["keys"] == [{"index": 3, "key": text(OTHER.key.id)}]
    assert not {"mandates", "recovery"} & set(shown.state)


def text(digest: bytes) -> str:
    return b64encode(digest).decode()


def test_i51_another_key_is_another_value_of_the_map(tmp_path: Path) -> None:
    ledger = opened(tmp_path)
    for subject, hand in (("c1", HAND), ("c2", OTHER)):
        give(ledger, KeyEnrolled(hand.key), subject=subject)
    values = []
    for subject in ("c1", "c2"):
        proof = ledger.state_proof(subject)
        map_proof.verify(proof, ledger.states.labels.of(subject), ledger.states.log.verifiers)
        assert proof.opening is not None
        without = {k: v for k, v in proof.opening.state.items() if k != "keys"}
        assert map_proof.StateOpening(without, proof.opening.salt).value != proof.opening.value
        values.append(proof.opening.value)
    assert values[0] != values[1]
    ledger.close()


def test_i51_the_document_of_a_customer_without_keys_is_what_it_was(tmp_path: Path) -> None:
    ledger = opened(tmp_path)
    say(ledger, "c1", AGE, Withdrawn("segmentation"))
    held = ledger.state("c1")
    assert held is not None
    assert {*state_document.document(held)} == {"head", "scenes", "seq", "subject", "triggers"}
    assert {*state_document.document(ConsentState("c1"))} == {*state_document.document(held)}
    ledger.close()


def resealed(
    home: Path, index: int, said: Instruction, hand: instruction_signature.Signature | None
) -> None:
    """Somebody who has the customer's data key seals other words under the same entry."""
    keys, store = vault.Vault(home / "keys"), SqlStore.at(home / "ledger.sqlite")
    key = keys.key(said.subject)
    assert key is not None
    derived = commitments.secrets(key, said.seq)
    entry = commitments.personal_entry(derived.opening, envelope.encode(said))
    data = envelope.encode(said)
    if hand is not None:
        data += b"\n" + commitments.canonical(instruction_signature.members(hand))
    sealed = sealing.seal(derived, data, entry)
    keys.close()
    store.close()
    change(home / "ledger.sqlite", 'UPDATE sealed SET data = ? WHERE "index" = ?', sealed, index)


FORGED: dict[str, Callable[[Instruction], instruction_signature.Signature | None]] = {
    "no signature": lambda _: None,
    "by another key": OTHER.sign,
    "of something else": lambda said: HAND.sign(replace(said, nonce=b"another nonce...")),
    "not verified": lambda said: HAND.sign(said, data=HAND.data(flags=1 | 8)),
}


@pytest.mark.parametrize("why", FORGED)
def test_i52_fsck_finds_a_signature_that_was_exchanged(
    why: str, ledger: Ledger, tmp_path: Path
) -> None:
    said = give(ledger, GRANTED, HAND)
    ledger.close()
    resealed(tmp_path, said.index, said.event, FORGED[why](said.event))
    (finding, *_) = fsck(tmp_path)
    assert finding.where == f"sealed event {said.index}"
    assert not any(word in str(finding) for word in ("segmentation", "age", "job"))
    resealed(tmp_path, said.index, said.event, said.signature)
    assert [*fsck(tmp_path)] == []


NO_SIGNATURE = {
    "not JSON": b"\nsigned",
    "not canonical": b'\n{ "key":1}',
    "JSON of something else": b"\n{}",
    "nothing": b"\n",
}


@pytest.mark.parametrize("why", NO_SIGNATURE)
def test_i52_what_is_sealed_beside_an_instruction_is_a_signature(
    why: str, ledger: Ledger, tmp_path: Path
) -> None:
    said = give(ledger, GRANTED, HAND).event
    ledger.close()
    keys = vault.Vault(tmp_path / "keys")
    derived = commitments.secrets(keys.key("c1") or b"", said.seq)
    entry = commitments.personal_entry(derived.opening, envelope.encode(said))
    sealed = sealing.seal(derived, envelope.encode(said) + NO_SIGNATURE[why], entry)
    keys.close()
    change(tmp_path / "ledger.sqlite", 'UPDATE sealed SET data = ? WHERE "index" = 1', sealed)
    again = opened(tmp_path)
    with pytest.raises(CorruptLogError, match="run fsck"):
        again.version("c1")
    again.close()
    assert [each.where for each in fsck(tmp_path)][:1] == ["sealed event 1"]


def test_i53_what_is_sealed_of_any_signature_of_a_kind_has_one_length(tmp_path: Path) -> None:
    ledger = opened(tmp_path)
    lengths: dict[str, set[int]] = {}
    for number, hand in enumerate((None, HAND, BROWSER)):
        subject = f"c{number}"
        if hand:
            give(ledger, KeyEnrolled(hand.key), subject=subject)
        for scene in ("a", "direct-marketing", "ads"):
            index = give(ledger, Granted(scene, ("age",), None), hand, subject=subject).index
            found = SqlStore.at(tmp_path / "ledger.sqlite").sealed_between(index, index + 1)
            lengths.setdefault(class_of(hand), set()).add(len(found[index]))
    ledger.close()
    assert lengths == {"C": {512 + 16}, "A": {1024 + 16}, "B": {1024 + 16}}


def test_i7_the_error_of_a_wrong_signature_says_what_to_do(ledger: Ledger) -> None:
    said = draft(ledger)
    with pytest.raises(SignatureError, match="want"):
        ledger.record([said], signatures=[HAND.sign(said, client={"origin": "https://x.example"})])

"""Attacks on a customer's signed instructions, each with the attacker's best effort.

The insider has the database, the key-encryption key, every customer's data key and the logs' own
signing keys, runs any code, and writes whatever they like, properly sealed, chained, integrated and
signed. They lack the customer's private key, and the witnesses'. The regulator has a policy, and
evidence that the insider made.
"""

import json
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace as datareplace
from datetime import datetime, timedelta
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest
from msgspec.structs import replace

from ledger.errors import VersionConflictError
from ledger.events import envelope, instruction_signature
from ledger.events.authority import COOLING_OFF
from ledger.events.envelope import (
    Act,
    EvidenceClass,
    Granted,
    Instruction,
    KeyEnrolled,
    KeyRecovered,
    KeyReplaced,
    MandateGiven,
    RecoveryCancelled,
    RecoveryRequested,
    Withdrawn,
    Wording,
)
from ledger.events.instruction_signature import (
    InstructionError,
    InstructionSigner,
    PasskeySignature,
    Signature,
)
from ledger.evidence_builder import build_evidence
from ledger.fsck import fsck
from ledger.latest_state import after
from ledger.tlog import checkpoint, signed_note
from ledger.vault import commitments
from ledger.verify import evidence, receipt
from ledger.verify.evidence import EvidenceError, Proven
from ledger.verify.receipt import Receipt, ReceiptError
from ledger.witness.client import RolledBackError
from tests.ledger.events import GRANTED, NOON, WORDING
from tests.ledger.hands import Hand, Passkey, class_of, document, give
from tests.ledger.test_evidence import Clock, policies, watched
from tests.ledger.worlds import opened

CUSTOMER, OTHER, INSIDER, LOGIN = (
    Passkey(),
    Passkey(),
    Passkey(),
    Passkey(rp="login.test.example", page="https://login.test.example"),
)
EVERYTHING = Granted("third-party-sharing", ("age", "job"), None)
LATER = NOON + timedelta(days=30)


class Insider:
    """A ledger whose owner keeps no rule of it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.ledger = opened(home)

    def draft(self, act: Act, evidence: EvidenceClass, at: datetime = LATER) -> Instruction:
        return self.ledger.draft("c1", act, at=at, wording=WORDING, evidence=evidence)

    def insert(self, said: Instruction, signature: Signature | None = None) -> int:
        """Seal, chain, integrate and sign it, whatever it is."""
        data = envelope.encode(said)
        self.ledger._vault.create([said.subject])
        held = after(self.ledger._latest.of(said.subject), said, data, self.ledger.size)
        written = [(said, data, signature)]
        recorded = self.ledger._recorder.append(written, {said.subject: held}, None, b"")
        self.ledger._latest.remember({said.subject: held})
        return recorded[0].index

    def say(self, act: Act, hand: Hand | None = None, at: datetime = LATER) -> int:
        said = self.draft(act, class_of(hand), at)
        return self.insert(said, hand.sign(said) if hand else None)

    def receipt(self, index: int) -> Receipt:
        """Made without the ledger's own code, which gives out no receipt that does not verify."""
        signed = signed_note.parse(self.ledger.checkpoint())
        proof = tuple(self.ledger.log.prove_inclusion(index))
        (said,) = (each for each in self.ledger.history("c1") if each.index == index)
        derived = commitments.secrets(self.ledger._recorder._key("c1"), said.event.seq).opening
        opening = {"salt": derived.salt.hex(), "tag": derived.tag.hex()}
        return Receipt(index, proof, signed, shown(said.event, said.signature) | opening)

    def evidence(self, seq: int) -> evidence.Evidence:
        said = self.ledger.history("c1")
        entries = [self.receipt(each.index) for each in said]
        state = self.ledger.state_proof("c1")
        return evidence.Evidence(seq, (*entries,), entries[0].checkpoint, state)

    def convinces(self, seq: int) -> Proven:
        """What the regulator finds. Raises EvidenceError."""
        found = evidence.parse(str(self.evidence(seq)))
        return evidence.verify(found, policies(self.home))


def shown(said: Instruction, signature: Signature | None) -> dict[str, Any]:
    if signature is None:
        return {"event": document(said)}
    signer = InstructionSigner.of(KEYS[signature.key].key).members()
    return {
        "event": document(said),
        "signature": instruction_signature.members(signature),
        "signer": signer,
    }


KEYS = {hand.key.id: hand.key for hand in (CUSTOMER, OTHER, INSIDER, LOGIN)}


@pytest.fixture
def insider(tmp_path: Path) -> Iterator[Insider]:
    """A customer who enrolled a key, granted with it, and withdrew."""
    made = opened(tmp_path)
    give(made, KeyEnrolled(CUSTOMER.key))
    give(made, GRANTED, CUSTOMER)
    give(made, Withdrawn("segmentation"), CUSTOMER)
    made.close()
    found = Insider(tmp_path)
    yield found
    found.ledger.close()


def stolen(said: Instruction, hand: Passkey = CUSTOMER) -> PasskeySignature:
    """A real signature of the customer, put under something else."""
    return hand.sign(replace(said, act=GRANTED, nonce=b"something before"))


def test_the_insider_can_do_all_that_a_ledger_does(insider: Insider) -> None:
    """The best effort is one: what the customer really signed convinces the regulator."""
    insider.say(GRANTED, CUSTOMER)
    proven = insider.convinces(4)
    assert proven.key == CUSTOMER.key.key


def _under(it: Insider, sign: Callable[[Instruction], Signature]) -> None:
    said = it.draft(EVERYTHING, EvidenceClass.PASSKEY)
    it.insert(said, sign(said))


def _mandated(it: Insider, hand: Passkey | None) -> None:
    scenes = (EVERYTHING.scene,)
    it.say(MandateGiven(INSIDER.key, scenes, LATER + timedelta(days=9)), hand)
    name = envelope.digest(it.ledger.history("c1")[-1].event)
    said = replace(it.draft(EVERYTHING, EvidenceClass.PASSKEY), mandate=name)
    it.insert(said, INSIDER.sign(said))


def _recovered(it: Insider, wait: timedelta, *, cancelled: bool = False) -> None:
    it.say(RecoveryRequested(INSIDER.key, "trust me", LATER + wait))
    name = envelope.digest(it.ledger.history("c1")[-1].event)
    if cancelled:
        it.say(RecoveryCancelled(name), CUSTOMER)
    it.say(KeyRecovered(name), at=LATER + wait)
    it.say(EVERYTHING, INSIDER, LATER + wait)


def _cancelled(it: Insider) -> None:
    _recovered(it, COOLING_OFF, cancelled=True)


FORGERIES: dict[str, Callable[[Insider], object]] = {
    "in a session": lambda it: it.say(EVERYTHING),
    "as an import": lambda it: it.insert(it.draft(EVERYTHING, EvidenceClass.IMPORTED)),
    "class A, not signed": lambda it: it.insert(it.draft(EVERYTHING, EvidenceClass.PASSKEY)),
    "class A, signed by the insider": lambda it: it.say(EVERYTHING, INSIDER),
    "class A, signed by another customer": lambda it: it.say(EVERYTHING, OTHER),
    "with a signature of something else": lambda it: _under(it, stolen),
    "with the insider's signature in the customer's name": lambda it: _under(
        it, lambda said: datareplace(INSIDER.sign(said), key=CUSTOMER.key.id)
    ),
    "with a key enrolled in a session": lambda it: [
        it.say(KeyEnrolled(INSIDER.key)),
        it.say(EVERYTHING, INSIDER),
    ],
    "with a key that enrolled itself": lambda it: [
        it.say(KeyEnrolled(INSIDER.key), INSIDER),
        it.say(EVERYTHING, INSIDER),
    ],
    "with a key that took the customer's place": lambda it: [
        it.say(KeyReplaced(CUSTOMER.key.id, INSIDER.key), INSIDER),
        it.say(EVERYTHING, INSIDER),
    ],
    "under a mandate the customer never gave": lambda it: _mandated(it, None),
    "under a mandate the insider gave": lambda it: _mandated(it, INSIDER),
    "after a recovery without delay": lambda it: _recovered(it, timedelta(hours=1)),
    "after a recovery that the rules refuse": lambda it: _recovered(it, timedelta()),
    "after a recovery that was cancelled": _cancelled,
}


@pytest.mark.parametrize("why", FORGERIES)
def test_no_forgery_by_database_and_all_company_keys_convinces(why: str, insider: Insider) -> None:
    FORGERIES[why](insider)
    last = insider.ledger.version("c1")
    for seq in (last, 2):  # the forged one; and the customer's own, of which the forged are later
        with pytest.raises(EvidenceError):
            insider.convinces(seq)
    insider.ledger.close()
    assert [*fsck(insider.home)] != []
    insider.ledger = opened(insider.home)


def test_leaving_the_forgery_out_of_the_evidence_is_found(insider: Insider) -> None:
    insider.say(EVERYTHING)
    whole = insider.evidence(2)
    fewer = datareplace(whole, entries=whole.entries[:-1])
    with pytest.raises(EvidenceError, match="or their hashes differ"):
        evidence.verify(fewer, policies(insider.home))


def test_a_backdated_recovery_shows_whose_key_it_brought(insider: Insider) -> None:
    """What no signature can prevent is shown: the key is another, and a session brought it."""
    _recovered(insider, COOLING_OFF)
    proven = insider.convinces(insider.ledger.version("c1"))
    assert proven.key == INSIDER.key.key != CUSTOMER.key.key
    assert [each.how for each in proven.steps] == [
        "said",
        "recovered a key",
        "asked to recover",
    ]
    assert proven.steps[-1].key is None


def test_a_first_key_that_the_insider_enrolled_shows_as_a_sessions(tmp_path: Path) -> None:
    it = Insider(tmp_path)
    it.say(KeyEnrolled(INSIDER.key))
    it.say(EVERYTHING, INSIDER)
    proven = it.convinces(2)
    assert [(each.how, each.key) for each in proven.steps] == [
        ("said", INSIDER.key.id),
        ("enrolled a key", None),
    ]
    it.ledger.close()


def test_a_rewritten_history_finds_no_witnesses(tmp_path: Path) -> None:
    """The same log keys, and another first key for the customer. Three witnesses saw the first."""
    with ExitStack() as stack:
        (tmp_path / "home").mkdir()
        opened(tmp_path / "home").close()
        copytree(tmp_path / "home", tmp_path / "empty")
        watched(tmp_path, stack, Clock())
        ledger = opened(tmp_path / "home", lambda: NOON)
        trusted = policies(tmp_path / "home")
        give(ledger, KeyEnrolled(CUSTOMER.key))
        give(ledger, GRANTED, CUSTOMER)
        evidence.verify(build_evidence(ledger, tmp_path / "home", "c1", 2), trusted)
        ledger.close()
        (tmp_path / "empty/witnesses.policy").write_bytes(
            (tmp_path / "home/witnesses.policy").read_bytes()
        )
        asking = opened(tmp_path / "empty", lambda: NOON)
        with pytest.raises(RolledBackError):
            give(asking, KeyEnrolled(INSIDER.key))
        asking.close()
        (tmp_path / "empty/witnesses.policy").unlink()
        it = Insider(tmp_path / "empty")
        it.say(KeyEnrolled(INSIDER.key))
        it.say(EVERYTHING, INSIDER)
        it.convinces(2)  # whoever asks for no witness
        with pytest.raises(EvidenceError, match="no witness"):
            evidence.verify(it.evidence(2), trusted)
        it.ledger.close()


def test_the_customers_own_receipt_gives_a_rewritten_history_away(insider: Insider) -> None:
    kept = insider.receipt(1)
    receipt.verify(kept, insider.ledger.log.verifiers)
    assert insider.evidence(2).entries[1].extra == kept.extra


def replays(insider: Insider) -> tuple[Instruction, PasskeySignature]:
    said = insider.ledger.history("c1")[1]
    assert isinstance(said.signature, PasskeySignature)
    return said.event, said.signature


REPLAYS: dict[str, Callable[[Insider, Instruction], Instruction]] = {
    "as it was": lambda _, said: said,
    "under the next number": lambda it, said: replace(said, seq=it.ledger.version("c1") + 1),
    "as the next": lambda it, said: replace(it.draft(said.act, EvidenceClass.PASSKEY), at=said.at),
    "as the next, with its nonce": lambda it, said: replace(
        it.draft(said.act, EvidenceClass.PASSKEY), at=said.at, nonce=said.nonce
    ),
    "in another log": lambda _, said: replace(said, origin="other.example/consent"),
    "for another customer": lambda _, said: replace(said, subject="c2", seq=1, prev=envelope.FIRST),
}


@pytest.mark.parametrize("why", REPLAYS)
def test_a_grant_is_not_replayed_after_the_withdrawal(why: str, insider: Insider) -> None:
    said, signature = replays(insider)
    before = insider.ledger.checkpoint()
    again = REPLAYS[why](insider, said)
    with pytest.raises((InstructionError, VersionConflictError)):
        insider.ledger.record([again], signatures=[signature])
    assert insider.ledger.checkpoint() == before


@pytest.mark.parametrize("why", ["as it was", "under the next number", "as the next"])
def test_a_replay_that_the_insider_inserts_convinces_nobody(why: str, insider: Insider) -> None:
    said, signature = replays(insider)
    again = REPLAYS[why](insider, said)
    if why == "as it was":  # the same tag twice: the store itself has no place for it
        whole = insider.evidence(2)
        twice = datareplace(whole, entries=(*whole.entries, whole.entries[1]))
        with pytest.raises(EvidenceError):
            evidence.verify(twice, policies(insider.home))
        return
    insider.insert(again, signature)
    with pytest.raises(EvidenceError):
        insider.convinces(insider.ledger.version("c1"))


REWORDED: dict[str, Callable[[Instruction], Instruction]] = {
    "another notice": lambda said: replace(said, wording=Wording("en", b"\1" * 32)),
    "another language": lambda said: replace(said, wording=replace(said.wording, locale="zh-CN")),
    "another scene": lambda said: replace(said, act=EVERYTHING),
    "a field more": lambda said: replace(said, act=replace(GRANTED, fields=("age", "job", "ip"))),
    "for longer": lambda said: replace(said, act=replace(GRANTED, until=LATER)),
    "earlier": lambda said: replace(said, at=NOON),
    "by an authenticator that verified nobody": lambda said: said,
}


@pytest.mark.parametrize("why", REWORDED)
def test_what_was_signed_is_not_reworded(why: str, insider: Insider) -> None:
    said = insider.draft(GRANTED, EvidenceClass.PASSKEY)
    unverified = "verified nobody" in why
    signature = CUSTOMER.sign(said, data=CUSTOMER.data(flags=1 | 8) if unverified else None)
    changed = REWORDED[why](said)
    with pytest.raises(InstructionError):
        insider.ledger.record([changed], signatures=[signature])
    index = insider.insert(changed, signature)
    with pytest.raises(ReceiptError):
        receipt.verify(insider.receipt(index), insider.ledger.log.verifiers)
    with pytest.raises(EvidenceError):
        insider.convinces(4)


def test_another_customers_key_signs_nothing_here(insider: Insider) -> None:
    give(insider.ledger, KeyEnrolled(OTHER.key), subject="c2")
    said = insider.draft(EVERYTHING, EvidenceClass.PASSKEY)
    with pytest.raises(InstructionError, match="none of the customer's"):
        insider.ledger.record([said], signatures=[OTHER.sign(said)])
    enrolment = insider.draft(KeyEnrolled(OTHER.key), EvidenceClass.PASSKEY)
    with pytest.raises(InstructionError):
        insider.ledger.record([enrolment], signatures=[OTHER.sign(enrolment)])


LAUNDERED: dict[str, Callable[[Instruction], PasskeySignature]] = {
    "the login's relying party": lambda said: CUSTOMER.sign(
        said, data=CUSTOMER.data(rp="login.test.example")
    ),
    "the company's domain as relying party": lambda said: CUSTOMER.sign(
        said, data=CUSTOMER.data(rp="test.example")
    ),
    "the login page as origin": lambda said: CUSTOMER.sign(
        said, client={"origin": "https://login.test.example"}
    ),
    "a page under the consent's domain that is not the consent's": lambda said: CUSTOMER.sign(
        said, client={"origin": "https://blog.consent.test.example"}
    ),
    "the key of the login": LOGIN.sign,
    "the key of the login in the customer's name": lambda said: datareplace(
        LOGIN.sign(said), key=CUSTOMER.key.id
    ),
    "a registration": lambda said: CUSTOMER.sign(said, client={"type": "webauthn.create"}),
    "a frame in another page": lambda said: CUSTOMER.sign(said, client={"crossOrigin": True}),
    "a frame that hides": lambda said: CUSTOMER.sign(
        said, client={"crossOrigin": False, "topOrigin": "https://evil.example"}
    ),
    "a frame by another spelling": lambda said: CUSTOMER.sign(
        said, client=CUSTOMER.client_data(said).replace(b"false", b"true ")
    ),
    "a second crossOrigin that says no": lambda said: CUSTOMER.sign(
        said, client=CUSTOMER.client_data(said)[:-1] + b',"crossOrigin":true}'
    ),
}


@pytest.mark.parametrize("why", LAUNDERED)
def test_no_other_page_launders_a_signature(why: str, insider: Insider) -> None:
    said = insider.draft(EVERYTHING, EvidenceClass.PASSKEY)
    signature = LAUNDERED[why](said)
    with pytest.raises(InstructionError):
        insider.ledger.record([said], signatures=[signature])
    insider.insert(said, signature)
    with pytest.raises(EvidenceError):
        insider.convinces(4)


def test_a_gap_in_the_numbers_is_found(insider: Insider) -> None:
    said = insider.draft(GRANTED, EvidenceClass.PASSKEY)
    skipping = replace(said, seq=said.seq + 1)
    with pytest.raises(VersionConflictError):
        insider.ledger.record([skipping], signatures=[CUSTOMER.sign(skipping)])
    whole = insider.evidence(3)
    for at in range(3):
        gap = whole.entries[:at] + whole.entries[at + 1 :]
        with pytest.raises(EvidenceError):
            evidence.verify(datareplace(whole, entries=gap, seq=1), policies(insider.home))


def test_of_two_instructions_with_one_number_one_is_recorded(insider: Insider) -> None:
    one, two = (insider.draft(act, EvidenceClass.PASSKEY) for act in (GRANTED, EVERYTHING))
    insider.ledger.record([one], signatures=[CUSTOMER.sign(one)])
    with pytest.raises(VersionConflictError):
        insider.ledger.record([two], signatures=[CUSTOMER.sign(two)])


def test_a_fork_of_a_customers_history_shows_two_heads_for_one_label(tmp_path: Path) -> None:
    """Two ledgers that both are the insider's: the customer's and the regulator's."""
    first = Insider(tmp_path / "one")
    first.say(KeyEnrolled(CUSTOMER.key))
    first.ledger.close()
    copytree(tmp_path / "one", tmp_path / "two")
    shown_to_customer, shown_to_regulator = Insider(tmp_path / "one"), Insider(tmp_path / "two")
    kept = shown_to_customer.say(Withdrawn("segmentation"), CUSTOMER)
    shown_to_regulator.say(GRANTED, CUSTOMER)
    theirs = shown_to_customer.receipt(kept)
    found = shown_to_regulator.evidence(2)
    evidence.verify(found, policies(tmp_path / "two"))
    # Both are signed by one log for one size, with other roots: the two notes convict the log.
    mine, other = (checkpoint.parse(each.text) for each in (theirs.checkpoint, found.checkpoint))
    assert (mine.origin, mine.size) == (other.origin, other.size)
    assert mine.root != other.root
    for each in (shown_to_customer, shown_to_regulator):
        each.ledger.close()


SPELLINGS: dict[str, Callable[[str], str]] = {
    "decomposed": lambda name: unicodedata.normalize("NFD", name),
    "of compatibility": lambda name: unicodedata.normalize("NFKC", name),
    "with a mark of direction": lambda name: name + "\u200e",
    "with another letter that looks alike": lambda name: name.replace("e", "е"),
}


@pytest.mark.parametrize("why", SPELLINGS)
def test_a_text_that_looks_the_same_is_another_instruction(why: str, insider: Insider) -> None:
    proof = "Ausweis, Zürich, ﬁliale e"
    shown_act = RecoveryRequested(OTHER.key, proof, LATER + COOLING_OFF)
    said = insider.draft(shown_act, EvidenceClass.PASSKEY)
    signature = CUSTOMER.sign(said)
    changed = replace(said, act=replace(shown_act, proof=SPELLINGS[why](proof)))
    assert envelope.encode(changed) != envelope.encode(said)
    with pytest.raises(InstructionError):
        insider.ledger.record([changed], signatures=[signature])
    insider.ledger.record([said], signatures=[signature])


REWRITTEN: dict[str, Callable[[bytes], bytes]] = {
    "with white space": lambda data: data.replace(b'"seq":', b'"seq": '),
    "with its keys in another order": lambda data: json.dumps(
        dict(reversed([*json.loads(data).items()])), separators=(",", ":")
    ).encode(),
    "with an escape": lambda data: data.replace(b"segmentation", b"segmentatio\\u006e"),
    "with a number in another form": lambda data: data.replace(b'"seq":4', b'"seq":4.0'),
    "with a key twice": lambda data: data.replace(b'"seq":4', b'"seq":9,"seq":4'),
}


@pytest.mark.parametrize("why", REWRITTEN)
def test_bytes_that_some_parser_reads_alike_are_refused(why: str, insider: Insider) -> None:
    data = envelope.encode(insider.draft(GRANTED, EvidenceClass.PASSKEY))
    other = REWRITTEN[why](data)
    assert other != data
    with pytest.raises(envelope.MalformedEventError):
        envelope.decode(other)

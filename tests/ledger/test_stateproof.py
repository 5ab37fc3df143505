"""specs/statemap.md, "State": a writer in a few lines, and everything that must not pass."""

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.events import envelope, reducer, state_document
from ledger.events.envelope import (
    Act,
    EvidenceClass,
    Granted,
    Instruction,
    TriggerCleared,
    TriggerSet,
    Withdrawn,
    Wording,
)
from ledger.events.reducer import ConsentState
from ledger.statemap import map_proof
from ledger.statemap.map_proof import MalformedStateProofError, StateOpening, StateProof, StateRoot
from ledger.statemap.verifiable_map import StateMap
from ledger.tlog import checkpoint, signed_note
from ledger.tlog.merkle import ProofError
from ledger.tlog.signed_note import NoteError
from ledger.tlog.writer import Log
from tests.ledger.witnessing import NOON

ORIGIN = "ledger.example/state"
SIGNER = signed_note.generate(ORIGIN)
CONSENT = "ledger.example/consent"
WORDS = Wording(locale="en", digest=bytes(32))
KEYS = [SIGNER.verifier]
SALT = bytes(range(32))
GRANT = Granted(scene="segmentation", fields=("age", "job"), until=None)
WITHDRAWAL = Withdrawn(scene="segmentation")


def said(acts: list[Act], subject: str = "c-1") -> list[Instruction]:
    """Instructions of one customer, chained."""
    made: list[Instruction] = []
    for act in acts:
        prev = envelope.digest(made[-1]) if made else envelope.FIRST
        made.append(
            envelope.instruction(
                CONSENT,
                subject,
                len(made),
                prev,
                act,
                NOON,
                WORDS,
                EvidenceClass.SESSION,
            )
        )
    return made


def members(instructions: list[Instruction]) -> list[dict[str, Any]]:
    return [json.loads(envelope.encode(each)) for each in instructions]


def folded(instructions: list[Instruction]) -> ConsentState:
    found: ConsentState | None = None
    for index, each in enumerate(instructions):
        found = reducer.apply(found, each, index)
    assert found is not None
    return found


@dataclass
class Writer:
    """The map and the state log, as the sequencer keeps them."""

    log: Log
    shown: dict[bytes, StateOpening] = field(default_factory=dict)
    buckets: dict[int, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.map = StateMap({}, lambda numbers: {n: self.buckets[n] for n in numbers})

    def publish(self, instructions: list[Instruction]) -> None:
        """The state after these instructions of one customer."""
        shown = StateOpening(state_document.document(folded(instructions)), SALT)
        where = map_proof.unbound_label(envelope.encode(instructions[0]))
        self.shown[where] = shown
        change = self.map.change({where: shown.value})
        self.buckets.update(change.buckets)
        self.map.apply(change)
        self.entry = StateRoot(len(instructions), bytes(32), change.root)
        self.log.append([bytes(self.entry)])

    def prove(self, where: bytes) -> StateProof:
        index = self.log.size - 1
        return StateProof(
            self.shown.get(where),
            self.map.prove(where),
            self.entry,
            index,
            tuple(self.log.prove_inclusion(index)),
            signed_note.parse(self.log.checkpoint()),
        )


@pytest.fixture
def writer(tmp_path: Path) -> Writer:
    made = Writer(Log.open(tmp_path / "state.sqlite", ORIGIN, SIGNER))
    for number in range(20):
        made.publish(said([GRANT], f"other-{number}"))
    return made


BOTH = said([GRANT, WITHDRAWAL])
LABEL = map_proof.unbound_label(envelope.encode(BOTH[0]))


def verified(proof: StateProof, where: bytes = LABEL) -> StateProof:
    """What a verifier makes of the proof's text."""
    read = map_proof.parse(str(proof))
    assert read == proof
    map_proof.verify(read, where, KEYS)
    return read


def test_the_latest_state_is_proven(writer: Writer) -> None:
    writer.publish(BOTH)
    proof = verified(writer.prove(LABEL))
    assert proof.opening is not None
    assert proof.opening.state == state_document.document(folded(BOTH))
    assert proof.opening.state["scenes"]["segmentation"]["fields"] is None
    map_proof.require_complete(proof, members(BOTH))


def test_that_there_is_no_state_is_proven(writer: Writer) -> None:
    proof = verified(writer.prove(LABEL))
    assert proof.opening is None
    map_proof.require_complete(proof, [])


def test_a_hidden_newer_withdrawal_is_found(writer: Writer) -> None:
    writer.publish(BOTH[:1])
    old = writer.prove(LABEL)
    map_proof.require_complete(verified(old), members(BOTH[:1]))
    with pytest.raises(ProofError, match="1 instructions, 2 receipts were given"):
        map_proof.require_complete(verified(old), members(BOTH))
    writer.publish(BOTH)
    stale = replace(
        old,
        path=tuple(writer.log.prove_inclusion(old.index)),
        note=signed_note.parse(writer.log.checkpoint()),
    )
    with pytest.raises(ProofError, match="want the newest"):
        map_proof.verify(stale, LABEL, KEYS)


def test_an_old_state_does_not_pass_under_the_newest_entry(writer: Writer) -> None:
    writer.publish(BOTH[:1])
    old = writer.prove(LABEL)
    writer.publish(BOTH)
    new = writer.prove(LABEL)
    for forged in (
        replace(new, opening=old.opening),
        replace(new, opening=old.opening, in_map=old.in_map),
    ):
        with pytest.raises(ProofError):
            map_proof.verify(forged, LABEL, KEYS)


def test_a_customer_left_out_of_the_map_is_found(writer: Writer) -> None:
    with pytest.raises(ProofError, match="has no state for this customer"):
        map_proof.require_complete(verified(writer.prove(LABEL)), members(BOTH))


LEFT_OUT = {
    "the last": [0],
    "the first": [1],
    "all": [],
    "doubled": [0, 1, 1],
    "swapped": [1, 0],
}


@pytest.mark.parametrize("kept", LEFT_OUT.values(), ids=LEFT_OUT.keys())
def test_instructions_that_are_not_all_are_found(writer: Writer, kept: list[int]) -> None:
    writer.publish(BOTH)
    proof = verified(writer.prove(LABEL))
    with pytest.raises(ProofError):
        map_proof.require_complete(proof, [members(BOTH)[at] for at in kept])


def test_an_instruction_left_out_in_the_middle_is_found(writer: Writer) -> None:
    three = said([GRANT, WITHDRAWAL, GRANT])
    writer.publish(three)
    where = map_proof.unbound_label(envelope.encode(three[0]))
    proof = verified(writer.prove(where), where)
    map_proof.require_complete(proof, members(three))
    with pytest.raises(ProofError, match="instruction 2 does not follow"):
        map_proof.require_complete(proof, [members(three)[0], members(three)[2]])


def test_a_changed_instruction_is_found(writer: Writer) -> None:
    writer.publish(BOTH)
    proof = verified(writer.prove(LABEL))
    for at in range(2):
        changed = members(BOTH)
        changed[at]["at"] = "2026-11-21T12:00:01Z"
        with pytest.raises(ProofError):
            map_proof.require_complete(proof, changed)


@pytest.mark.parametrize("present", [True, False], ids=["presence", "absence"])
def test_changing_any_byte_of_a_state_proof_is_found(writer: Writer, present: bool) -> None:
    if present:
        writer.publish(BOTH)
    data = str(writer.prove(LABEL)).encode()
    for at in range(len(data)):
        for changed in (
            data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :],
            data[:at] + data[at + 1 :],
            data[:at] + b"\n" + data[at:],
        ):
            if changed != data:
                assert _refused(changed), at


def _refused(data: bytes) -> bool:
    try:
        map_proof.verify(map_proof.parse(data.decode()), LABEL, KEYS)
    except (UnicodeDecodeError, MalformedStateProofError, NoteError, ProofError):
        return True
    return False


def test_a_proof_of_another_log_or_key_is_refused(writer: Writer) -> None:
    proof = writer.prove(LABEL)
    with pytest.raises(NoteError):
        map_proof.verify(proof, LABEL, [signed_note.generate(ORIGIN).verifier])
    with pytest.raises(NoteError):
        map_proof.verify(proof, LABEL, [])
    text = str(checkpoint.parse(proof.note.text)).replace(ORIGIN, "other.example/state")
    with pytest.raises(ProofError, match=r"other\.example"):
        map_proof.verify(replace(proof, note=signed_note.sign(text, [SIGNER])), LABEL, KEYS)


@given(st.text())
def test_only_its_own_error_leaves_the_parser(text: str) -> None:
    with pytest.raises(MalformedStateProofError):
        map_proof.parse(text)


acts: st.SearchStrategy[Act] = st.one_of(
    st.builds(
        Granted,
        scene=st.sampled_from(["a", "b"]),
        fields=st.sampled_from([("x",), ("x", "y")]),
        until=st.none() | st.just(NOON),
    ),
    st.builds(Withdrawn, scene=st.sampled_from(["a", "b"]), fields=st.none() | st.just(("x",))),
    st.just(TriggerSet(scene="a", template="metric_below", signal="auc", threshold=9200)),
    st.just(TriggerCleared(scene="a", template="metric_below", signal="auc")),
)


@given(st.lists(acts, min_size=1, max_size=8))
def test_the_document_says_what_is_in_force(chosen: list[Act]) -> None:
    found = folded(said(chosen))
    document = state_document.document(found)
    assert json.loads(json.dumps(document)) == document
    assert (document["seq"], document["subject"]) == (len(chosen), "c-1")
    for scene, held in found.scenes.items():
        fields = document["scenes"][scene]["fields"]
        assert fields == (sorted(held.fields) if hasattr(held, "fields") else None)
    armed = any(found.triggers.values())
    assert bool(document["triggers"]) == armed


def test_the_value_cannot_be_guessed_without_its_salt() -> None:
    document = state_document.document(folded(BOTH))
    values = {StateOpening(document, bytes([number]) * 32).value for number in range(9)}
    assert len(values) == 9


def test_a_proof_is_for_one_label(writer: Writer) -> None:
    writer.publish(BOTH)
    other = bytes([LABEL[0] ^ 128]) + LABEL[1:]
    with pytest.raises(ProofError):
        map_proof.verify(writer.prove(LABEL), other, KEYS)
    with pytest.raises(ProofError):
        map_proof.verify(replace(writer.prove(other), in_map=writer.map.prove(LABEL)), LABEL, KEYS)


def test_a_label_is_of_one_first_instruction() -> None:
    again = said([GRANT])  # the same words, another nonce
    assert map_proof.unbound_label(envelope.encode(again[0])) != LABEL

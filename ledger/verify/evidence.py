r"""Evidence: one file that proves an instruction, its signer, and how the key came to be theirs.

    {"checkpoint":"demo.example/consent\n7\n…","entries":[{"extra":{…},"index":3,"proof":["…"]}],
     "kept":["c2sp.org/tlog-proof@v1\n…"],"rotations":[{"proof":["…"],"receipt":"c2sp.org/tlog-proof@v1\n…"}],"seq":2,
     "state":"c2sp.org/tlog-proof@v1\n…","type":"sovereign-evidence/v1"}

`entries` are all that the customer said, oldest first: what receipts carry, under one checkpoint.
`seq` is the instruction that the evidence is about. `state` proves that nothing newer is hidden.
`rotations` lead from the log keys of an old policy to those that signed the checkpoint. `kept` are
receipts from earlier, whose cosignatures tell when witnesses saw an entry at the latest.

The standard library and `cryptography` are enough, and no server. The law: specs/instruction.md.
"""

from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

from ledger.events import authority, canonical_json, instruction_signature
from ledger.events.authority import NOBODY, Authority
from ledger.events.customer_keys import Key
from ledger.statemap import map_proof
from ledger.statemap.map_proof import StateProof
from ledger.tlog import merkle, signed_note
from ledger.tlog.checkpoint import Checkpoint
from ledger.tlog.merkle import Hash, ProofError
from ledger.tlog.policy import LogPolicy
from ledger.tlog.signed_note import Note
from ledger.vault import commitments
from ledger.verify import receipt as receipts
from ledger.verify.key_history import KeyHistory, Rotation
from ledger.verify.receipt import Receipt

TYPE = "sovereign-evidence/v1"
_PARTS = {"checkpoint", "entries", "kept", "rotations", "seq", "state", "type"}
SKEW = timedelta(minutes=5)  # between the clocks of a log and its witnesses


class EvidenceError(ValueError):
    """The evidence is malformed, or does not prove what it claims."""


@dataclass(frozen=True, slots=True)
class Evidence:
    seq: int
    entries: tuple[Receipt, ...]  # all under `checkpoint`
    checkpoint: Note
    state: StateProof
    rotations: tuple[Rotation, ...] = ()
    kept: tuple[Receipt, ...] = ()  # of some entries, as witnesses saw them earlier

    def __str__(self) -> str:
        members = {
            "checkpoint": str(self.checkpoint),
            "entries": [_entry(each) for each in self.entries],
            "kept": [str(each) for each in self.kept],
            "rotations": [
                {"proof": _texts(each.proof), "receipt": str(each.receipt)}
                for each in self.rotations
            ],
            "seq": self.seq,
            "state": str(self.state),
            "type": TYPE,
        }
        return canonical_json.canonical(members).decode() + "\n"


@dataclass(frozen=True, slots=True)
class EvidenceStep:
    """One instruction on the way to the one that the evidence is about."""

    seq: int
    index: int
    at: str
    how: str  # in words
    key: bytes | None  # id of the key that signed it; None: a session
    seen: datetime | None = None  # by witnesses, at the latest; None: only the log says when


@dataclass(frozen=True, slots=True)
class Proven:
    """What evidence proves."""

    head: Checkpoint
    said: Mapping[str, Any]  # the instruction
    index: int
    key: Key | None  # that signed it; None: a session vouches for it
    way: tuple[EvidenceStep, ...]  # how that key came to be the customer's, latest first
    latest: Mapping[str, Any]  # the customer's state when the evidence was made


def parse(text: str) -> Evidence:
    """Read evidence; it formats back to the same text. Raises EvidenceError."""
    try:
        found = _parse(canonical_json.parse(text.encode()))
        same = str(found) == text
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise EvidenceError(f"this is no evidence: {error!r}"[:500]) from error
    if not same:
        raise EvidenceError("evidence, but not in its canonical form")
    return found


def verify(evidence: Evidence, trusted: Sequence[LogPolicy]) -> Proven:
    """What the evidence proves to whoever trusts these policies. Raises EvidenceError.

    Together they list the consent log and the state log beside it, by keys of any age.
    """
    try:
        trust = KeyHistory([*trusted])
        for each in evidence.rotations:
            trust.follow(each)
        head = trust.verify(evidence.checkpoint)
        for each in evidence.rotations:
            _require_there(each, head)
        _require_complete(evidence, trust, head)
        _require_past(evidence, trust)
        return _replayed(evidence, head, _seen(evidence, trust))
    except (ValueError, ProofError) as error:
        if isinstance(error, EvidenceError):
            raise
        raise EvidenceError(str(error)) from error


def _require_there(rotation: Rotation, head: Checkpoint) -> None:
    leaf = merkle.leaf_hash(rotation.receipt.entry())
    merkle.verify_inclusion(leaf, rotation.receipt.index, head.size, head.root, rotation.proof)


def _require_complete(evidence: Evidence, trust: KeyHistory, head: Checkpoint) -> None:
    """Every entry stands under the checkpoint, and the state of the same moment knows no more."""
    said = [each.extra["event"] for each in evidence.entries]
    _want(1 <= evidence.seq <= len(said), f"instruction {evidence.seq} of {len(said)}")
    for each in evidence.entries:
        receipts.require_proven(each, head)
    spoken = all(each["type"] == "instruction" for each in said)
    _want(spoken, "an act of the company's among what the customer said")
    indexes = [each.index for each in evidence.entries]
    _want(indexes == sorted({*indexes}), "the entries are not in the order of the log")
    _want(len({each["subject"] for each in said}) == 1, "entries of more than one customer")
    states = trust.verify(evidence.state.note)
    _want(states.origin == f"{head.origin}/state", f"a state of {states.origin!r}: another log's")
    where = map_proof.label(commitments.canonical(said[0]))
    map_proof.require_newest(evidence.state, where, states)
    at = evidence.state.entry
    _want((at.size, at.root) == (head.size, head.root), "the state is of another moment")
    map_proof.require_complete(evidence.state, said)


def _require_past(evidence: Evidence, trust: KeyHistory) -> None:
    """Nothing was said after the witnesses saw it."""
    if not (times := trust.times(evidence.checkpoint)):
        return
    now = min(times) + SKEW
    for each in evidence.entries:
        at = authority.moment(each.extra["event"]["at"])
        _want(at <= now, f"said at {at}, but witnesses saw it at {now - SKEW}: not yet")


def _seen(evidence: Evidence, trust: KeyHistory) -> dict[int, datetime]:
    """Entry -> when witnesses saw it at the latest, as far as receipts from then were kept."""
    entries = {each.index: each.entry() for each in evidence.entries}
    seen: dict[int, datetime] = {}
    for each in evidence.kept:
        _want(entries.get(each.index) == each.entry(), "a kept receipt of another entry")
        head, times = trust.verify_then(each.checkpoint)
        receipts.require_proven(each, head)
        _want(bool(times), "a kept receipt that no witness saw tells nothing: leave it out")
        seen[each.index] = max(times)
    _want(len(seen) == len(evidence.kept), "an entry with two kept receipts, want the older one")
    return seen


def _replayed(evidence: Evidence, head: Checkpoint, seen: Mapping[int, datetime]) -> Proven:
    """All rules applied to all that was said, in order; and the way to one signer's key."""
    held, history = NOBODY, _History()
    for each in evidence.entries:
        said = each.extra["event"]
        given = each.extra.get("signature")
        signature = None if given is None else instruction_signature.parse(given)
        key = authority.require(held, said, signature, narrows=history.narrows(said["act"]))
        history.add(said, each.index, key, held)
        digest = sha256(commitments.canonical(said)).digest()
        held = authority.apply(held, said, digest, each.index)
    shown = evidence.state.shown
    latest = shown.state if shown else {}
    signers = {name: latest[name] for name in ("keys", "mandates", "recovery") if name in latest}
    _want(signers == authority.document(held), "the state shows other keys than were brought")
    asked = evidence.entries[evidence.seq - 1]
    way = (*history.way(evidence.seq, seen),)
    return Proven(head, asked.extra["event"], asked.index, history.key(evidence.seq), way, latest)


@dataclass(frozen=True, slots=True)
class _Given:
    """An instruction, and the entry that brought in force what it was signed with."""

    said: Mapping[str, Any]
    index: int
    key: Key | None
    after: int | None  # None: a session gave it


@dataclass
class _History:
    """What was said so far, by seq from 1, and the thresholds that triggers have."""

    given: list[_Given] = field(default_factory=list)
    triggers: dict[tuple[str, ...], int] = field(default_factory=dict)

    def narrows(self, act: Mapping[str, Any]) -> bool:
        if act["type"] == "trigger-set":
            return self.triggers.get(_trigger(act)) in (None, act["threshold"])
        return act["type"] in authority.OPEN

    def add(self, said: Mapping[str, Any], index: int, key: Key | None, held: Authority) -> None:
        """`held`: the authority under which it was said."""
        act = said["act"]
        if act["type"] == "trigger-set":
            self.triggers[_trigger(act)] = act["threshold"]
        if act["type"] == "trigger-cleared":
            self.triggers.pop(_trigger(act), None)
        self.given.append(_Given(said, index, key, _brought(said, key, held)))

    def key(self, seq: int) -> Key | None:
        return self.given[seq - 1].key

    def way(self, seq: int, seen: Mapping[int, datetime]) -> Iterator[EvidenceStep]:
        """The instruction, what brought its key in force, what brought that one's, and so on."""
        by_index = {each.index: each for each in self.given}
        each: _Given | None = self.given[seq - 1]
        while each:
            how = _HOW.get(each.said["act"]["type"], "said")
            key = each.key.id if each.key else None
            at, index = each.said["at"], each.index
            yield EvidenceStep(each.said["seq"], index, at, how, key, seen.get(index))
            each = None if each.after is None else by_index[each.after]


def _brought(said: Mapping[str, Any], key: Key | None, held: Authority) -> int | None:
    """The entry that let this one be given; None if a session did."""
    if said["act"]["type"] == "key-recovered" and held.recovery:
        return held.recovery.index
    if key is None:
        return None
    if (mandate := said.get("mandate")) is not None:
        return held.mandates[b64decode(mandate)].index
    return held.keys[key.id].index


_HOW = {
    "key-enrolled": "enrolled a key",
    "key-replaced": "replaced a key",
    "key-recovered": "recovered a key",
    "recovery-requested": "asked to recover",
    "mandate-given": "gave a mandate",
}


def _trigger(act: Mapping[str, Any]) -> tuple[str, ...]:
    return act["scene"], act["template"], act["signal"]


def _entry(each: Receipt) -> dict[str, Any]:
    return {"extra": each.extra, "index": each.index, "proof": _texts(each.proof)}


def _parse(members: Any) -> Evidence:
    _want(set(members) == _PARTS and members["type"] == TYPE, f"want the parts {sorted(_PARTS)}")
    _want(type(members["seq"]) is int, f"about instruction {members['seq']!r}, want its number")
    signed = signed_note.parse(members["checkpoint"])
    rotations = [
        Rotation(receipts.parse(each["receipt"]), _hashes(each["proof"]))
        for each in members["rotations"]
    ]
    entries = [
        Receipt(each["index"], _hashes(each["proof"]), signed, each["extra"])
        for each in members["entries"]
    ]
    _want(all(map(receipts.well_formed, entries)), "an entry is no part of a receipt")
    state = map_proof.parse(members["state"])
    kept = (*map(receipts.parse, members["kept"]),)
    return Evidence(members["seq"], (*entries,), signed, state, (*rotations,), kept)


def _hashes(texts: Sequence[str]) -> tuple[Hash, ...]:
    return tuple(signed_note.decode_base64(each) for each in texts)


def _texts(hashes: Sequence[Hash]) -> list[str]:
    return [b64encode(each).decode() for each in hashes]


def _want(condition: bool, otherwise: str) -> None:
    if not condition:
        raise EvidenceError(otherwise)

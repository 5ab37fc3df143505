r"""Evidence: one file that proves an instruction, its signer, and how the key came to be theirs.

    {"checkpoint":"demo.example/consent\n7\n…","entries":[{"extra":{…},"index":3,"proof":["…"]}],
     "rotations":[{"proof":["…"],"receipt":"c2sp.org/tlog-proof@v1\n…"}],"seq":2,
     "state":"c2sp.org/tlog-proof@v1\n…","type":"sovereign-evidence/v1"}

`entries` are all that the customer said, oldest first: what receipts carry, under one checkpoint.
`seq` is the instruction that the evidence is about. `state` proves that nothing newer is hidden.
`rotations` lead from the log keys of an old policy to those that signed the checkpoint.

The standard library and `cryptography` are enough, and no server. The law: specs/instruction.md.
"""

from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any

from ledger import (
    authority,
    checkpoint,
    commitment,
    instruction,
    jcs,
    note,
    stateproof,
    tree,
)
from ledger import policy as policies
from ledger import receipt as receipts
from ledger.authority import NOBODY, Authority
from ledger.checkpoint import Checkpoint
from ledger.customer_key import Key
from ledger.note import Note
from ledger.policy import LogKey, Policy, PolicyError
from ledger.receipt import Receipt
from ledger.stateproof import StateProof
from ledger.tree import Hash, ProofError

TYPE = "sovereign-evidence/v1"
_PARTS = {"checkpoint", "entries", "rotations", "seq", "state", "type"}


class EvidenceError(ValueError):
    """The evidence is malformed, or does not prove what it claims."""


@dataclass(frozen=True, slots=True)
class Rotation:
    """The receipt of a `key-rotated`, and the same entry under the evidence's checkpoint."""

    receipt: Receipt
    proof: tuple[Hash, ...]


@dataclass(frozen=True, slots=True)
class Evidence:
    seq: int
    entries: tuple[Receipt, ...]  # all under `checkpoint`
    checkpoint: Note
    state: StateProof
    rotations: tuple[Rotation, ...] = ()

    def __str__(self) -> str:
        members = {
            "checkpoint": str(self.checkpoint),
            "entries": [_entry(each) for each in self.entries],
            "rotations": [
                {"proof": _texts(each.proof), "receipt": str(each.receipt)}
                for each in self.rotations
            ],
            "seq": self.seq,
            "state": str(self.state),
            "type": TYPE,
        }
        return jcs.canonical(members).decode() + "\n"


@dataclass(frozen=True, slots=True)
class Step:
    """One instruction on the way to the one that the evidence is about."""

    seq: int
    index: int
    at: str
    how: str  # in words
    key: bytes | None  # id of the key that signed it; None: a session


@dataclass(frozen=True, slots=True)
class Proven:
    """What evidence proves."""

    head: Checkpoint
    said: Mapping[str, Any]  # the instruction
    index: int
    key: Key | None  # that signed it; None: a session vouches for it
    way: tuple[Step, ...]  # how that key came to be the customer's, latest first
    latest: Mapping[str, Any]  # the customer's state when the evidence was made


def parse(text: str) -> Evidence:
    """Read evidence; it formats back to the same text. Raises EvidenceError."""
    try:
        found = _parse(jcs.parse(text.encode()))
        same = str(found) == text
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise EvidenceError(f"this is no evidence: {error!r}"[:500]) from error
    if not same:
        raise EvidenceError("evidence, but not in its canonical form")
    return found


def verify(evidence: Evidence, trusted: Sequence[Policy]) -> Proven:
    """What the evidence proves to whoever trusts these policies. Raises EvidenceError.

    Together they list the consent log and the state log beside it, by keys of any age.
    """
    try:
        trust = _Trust([*trusted])
        for each in evidence.rotations:
            trust.follow(each)
        head = trust.verify(evidence.checkpoint)
        for each in evidence.rotations:
            _require_there(each, head)
        _require_complete(evidence, trust, head)
        return _replayed(evidence, head)
    except (ValueError, ProofError) as error:
        if isinstance(error, EvidenceError):
            raise
        raise EvidenceError(str(error)) from error


@dataclass
class _Trust:
    """Which keys are believed of each log, and which witnesses must have cosigned."""

    known: list[Policy]
    followed: int = -1  # entry of the newest rotation

    def verify(self, signed: Note) -> Checkpoint:
        return self._of(checkpoint.parse(signed.text).origin).verify(signed)

    def follow(self, rotation: Rotation) -> None:
        """Believe the keys that a rotation names, if those believed so far signed it."""
        event, index = rotation.receipt.extra["event"], rotation.receipt.index
        origin = checkpoint.parse(rotation.receipt.checkpoint.text).origin
        _want(event.get("type") == "key-rotated", "an entry among the rotations that is none")
        _want(event["origin"] in {origin, f"{origin}/state"}, "a rotation of another log's keys")
        _want(index > self.followed, "the rotations are not in the order of the log")
        self.followed = index
        keys = tuple(policies.log_key(each) for each in event["keys"])
        _want(
            bool(keys) and all(key.name == event["origin"] for key in keys),
            "a rotation to keys of another name",
        )
        believed = self._of(origin)
        if not _signs(believed, rotation.receipt.checkpoint):
            return  # older than the policy: it brings no trust, and needs none
        receipts.verify_under(rotation.receipt, replace(believed, quorum=policies.NONE))
        if event["origin"] == origin:
            note.verify(rotation.receipt.checkpoint, keys)
        self._believe(origin, event["origin"], keys)

    def _believe(self, origin: str, name: str, keys: tuple[LogKey, ...]) -> None:
        held = self._of(name if self._lists(name) else origin)
        others = tuple(key for key in held.logs if key.name != name)
        self.known[self.known.index(held)] = replace(held, logs=(*others, *keys))

    def _lists(self, name: str) -> bool:
        return any(key.name == name for each in self.known for key in each.logs)

    def _of(self, name: str) -> Policy:
        for each in self.known:
            if any(key.name == name for key in each.logs):
                return each
        raise PolicyError(f"no policy lists the log {name!r}: give the one that does as well")


def _signs(believed: Policy, signed: Note) -> bool:
    known = {(key.name, key.key_id) for key in believed.logs}
    return any((each.name, each.key_id) in known for each in signed.signatures)


def _require_there(rotation: Rotation, head: Checkpoint) -> None:
    leaf = tree.leaf_hash(rotation.receipt.entry())
    tree.verify_inclusion(leaf, rotation.receipt.index, head.size, head.root, rotation.proof)


def _require_complete(evidence: Evidence, trust: _Trust, head: Checkpoint) -> None:
    """Every entry stands under the checkpoint, and the state of the same moment knows no more."""
    said = [each.extra["event"] for each in evidence.entries]
    _want(1 <= evidence.seq <= len(said), f"instruction {evidence.seq} of {len(said)}")
    for each in evidence.entries:
        receipts.require_proven(each, head)
    indexes = [each.index for each in evidence.entries]
    _want(indexes == sorted({*indexes}), "the entries are not in the order of the log")
    _want(len({each["subject"] for each in said}) == 1, "entries of more than one customer")
    states = trust.verify(evidence.state.note)
    _want(states.origin == f"{head.origin}/state", f"a state of {states.origin!r}: another log's")
    where = stateproof.label(commitment.canonical(said[0]))
    stateproof.require_newest(evidence.state, where, states)
    at = evidence.state.entry
    _want((at.size, at.root) == (head.size, head.root), "the state is of another moment")
    stateproof.require_complete(evidence.state, said)


def _replayed(evidence: Evidence, head: Checkpoint) -> Proven:
    """All rules applied to all that was said, in order; and the way to one signer's key."""
    held, history = NOBODY, _History()
    for each in evidence.entries:
        said = each.extra["event"]
        given = each.extra.get("signature")
        signature = None if given is None else instruction.parse(given)
        key = authority.require(held, said, signature, narrows=history.narrows(said["act"]))
        history.add(said, each.index, key, held)
        digest = sha256(commitment.canonical(said)).digest()
        held = authority.apply(held, said, digest, each.index)
    shown = evidence.state.shown
    latest = shown.state if shown else {}
    signers = {name: latest[name] for name in ("keys", "mandates", "recovery") if name in latest}
    _want(signers == authority.document(held), "the state shows other keys than were brought")
    asked = evidence.entries[evidence.seq - 1]
    way = (*history.way(evidence.seq),)
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

    def way(self, seq: int) -> Iterator[Step]:
        """The instruction, what brought its key in force, what brought that one's, and so on."""
        by_index = {each.index: each for each in self.given}
        each: _Given | None = self.given[seq - 1]
        while each:
            how = _HOW.get(each.said["act"]["type"], "said")
            key = each.key.id if each.key else None
            yield Step(each.said["seq"], each.index, each.said["at"], how, key)
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
    "key-recovered": "recovered, after the delay",
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
    signed = note.parse(members["checkpoint"])
    rotations = [
        Rotation(receipts.parse(each["receipt"]), _hashes(each["proof"]))
        for each in members["rotations"]
    ]
    entries = [
        receipts.parse(str(Receipt(each["index"], _hashes(each["proof"]), signed, each["extra"])))
        for each in members["entries"]
    ]
    state = stateproof.parse(members["state"])
    return Evidence(members["seq"], (*entries,), signed, state, (*rotations,))


def _hashes(texts: Sequence[str]) -> tuple[Hash, ...]:
    return tuple(note.decode_base64(each) for each in texts)


def _texts(hashes: Sequence[Hash]) -> list[str]:
    return [b64encode(each).decode() for each in hashes]


def _want(condition: bool, otherwise: str) -> None:
    if not condition:
        raise EvidenceError(otherwise)

r"""Evidence: a file that proves an instruction, its signer, and how they got their key.

    {"checkpoint":"demo.example/consent\n7\n…","entries":[{"extra":{…},"index":3,"proof":["…"]}],
     "kept":["c2sp.org/tlog-proof@v1\n…"],"rotations":[{"proof":["…"],"receipt":"c2sp.org/tlog-proof@v1\n…"}],"seq":2,
     "state":"c2sp.org/tlog-proof@v1\n…","type":"sovereign-evidence/v1"}

`entries` are all instructions of the customer, oldest first, each as in a receipt, under one
checkpoint. `seq` is the instruction that the evidence is about. `state` proves that no newer
instruction is hidden. `rotations` lead from the log keys of an old policy to those that signed the
checkpoint. `kept` are earlier receipts, whose cosignatures prove by when witnesses saw an entry.

Verification needs the standard library, `cryptography` and no server. Specification:
specs/instruction.md.
"""

from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

from ledger.events import authority, canonical_json, instruction_signature
from ledger.events.authority import EMPTY_AUTHORITY, Authority
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
MAX_SIZE = 1 << 26  # characters: all instructions of a customer
_PARTS = {"checkpoint", "entries", "kept", "rotations", "seq", "state", "type"}
SKEW = timedelta(minutes=5)  # tolerated between the clocks of a log and its witnesses


class EvidenceError(ValueError):
    """The evidence is malformed, or does not prove what it claims."""


@dataclass(frozen=True, slots=True)
class Evidence:
    seq: int
    entries: tuple[Receipt, ...]  # all under `checkpoint`
    checkpoint: Note
    state: StateProof
    rotations: tuple[Rotation, ...] = ()
    earlier_receipts: tuple[Receipt, ...] = ()  # JSON member "kept": cosigned earlier

    def __str__(self) -> str:
        members = {
            "checkpoint": str(self.checkpoint),
            "entries": [_entry(each) for each in self.entries],
            "kept": [str(each) for each in self.earlier_receipts],
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
    """One instruction in the chain that leads to the signer's key."""

    seq: int
    index: int
    at: str
    how: str  # what it did, in words: "enrolled a key"
    key: bytes | None  # id of the key that signed it; None: a session
    seen: datetime | None = None  # witnesses had seen it by then; None: only the log says when


@dataclass(frozen=True, slots=True)
class Proven:
    """What evidence proves."""

    head: Checkpoint
    instruction: Mapping[str, Any]
    index: int
    key: Key | None  # the key that signed it; None: a session vouches for it
    steps: tuple[EvidenceStep, ...]  # how that key came to be the customer's, latest first
    latest: Mapping[str, Any]  # the customer's state when the evidence was made
    map_key: bytes | None  # of the map's labels: rules out another history; None: not bound yet


def parse(text: str) -> Evidence:
    """Read evidence; it formats back to the same text. Raises EvidenceError."""
    if len(text) > MAX_SIZE:
        raise EvidenceError(f"more than {MAX_SIZE:,} characters are no evidence")
    try:
        evidence = _parse(canonical_json.parse(text.encode()))
        same = str(evidence) == text
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise EvidenceError(f"not an evidence file: {error!r}"[:500]) from error
    if not same:
        raise EvidenceError("an evidence file, but not in canonical form")
    return evidence


def verify(evidence: Evidence, trusted: Sequence[LogPolicy]) -> Proven:
    """What the evidence proves under these policies. Raises EvidenceError.

    Together the policies must list the consent log and its state log, with keys of any age.
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
        seen = _seen(evidence, trust)
        proven = _replayed(evidence, head, {index: each.by for index, each in seen.items()})
        if trust.is_witnessed(head.origin):
            _require_waits(evidence, seen)
    except (ValueError, ProofError) as error:
        if isinstance(error, EvidenceError):
            raise
        raise EvidenceError(str(error)) from error
    return proven


def _require_there(rotation: Rotation, head: Checkpoint) -> None:
    leaf = merkle.leaf_hash(rotation.receipt.entry())
    merkle.verify_inclusion(leaf, rotation.receipt.index, head.size, head.root, rotation.proof)


def _require_complete(evidence: Evidence, trust: KeyHistory, head: Checkpoint) -> None:
    """Check that each entry is under the checkpoint and that the state proof knows no more."""
    events = [each.extra["event"] for each in evidence.entries]
    _want(
        1 <= evidence.seq <= len(events),
        f"it is about instruction {evidence.seq}, but has {len(events)}",
    )
    for each in evidence.entries:
        receipts.require_proven(each, head)
    spoken = all(each["type"] == "instruction" for each in events)
    _want(spoken, "one of the entries is a public act of the company, want instructions only")
    indexes = [each.index for each in evidence.entries]
    _want(indexes == sorted({*indexes}), "the entries are not in the order of the log")
    _want(len({each["subject"] for each in events}) == 1, "entries of more than one customer")
    states = trust.verify(evidence.state.note)
    _want(
        states.origin == f"{head.origin}/state",
        f"the state proof is of the log {states.origin!r}, want {head.origin}/state",
    )
    trusted, first = trust.map_key(states.origin), commitments.canonical(events[0])
    where = map_proof.proven_label(evidence.state, events[0]["subject"], trusted, first)
    map_proof.require_newest(evidence.state, where, states)
    at = evidence.state.entry
    _want(
        (at.size, at.root) == (head.size, head.root),
        f"the state proof is for {at.size} entries, the checkpoint for {head.size}, or their roots "
        "differ",
    )
    map_proof.require_complete(evidence.state, events)


def _require_past(evidence: Evidence, trust: KeyHistory) -> None:
    """Check that no instruction claims a time after the witnesses' cosignatures."""
    if not (times := trust.times(evidence.checkpoint)):
        return
    now = min(times)  # a sum with it may be no date: witnesses may state the last day of all
    for each in evidence.entries:
        at = authority.moment(each.extra["event"]["at"])
        _want(at - now <= SKEW, f"an instruction of {at} was seen by witnesses earlier, at {now}")


@dataclass(slots=True)
class _Seen:
    """When witnesses saw an entry: by then, and still as the newest checkpoints of these sizes."""

    by: datetime
    later: list[tuple[int, datetime]]  # size of the checkpoint, and when they cosigned it


def _seen(evidence: Evidence, trust: KeyHistory) -> dict[int, _Seen]:
    """By entry index, for the entries with an earlier receipt, or with several, oldest first."""
    entries = {each.index: each.entry() for each in evidence.entries}
    seen: dict[int, _Seen] = {}
    for each in evidence.earlier_receipts:
        _want(
            entries.get(each.index) == each.entry(),
            f"the earlier receipt of entry {each.index} is not of an entry of the evidence",
        )
        head, times = trust.verify_then(each.checkpoint)
        receipts.require_proven(each, head)
        _want(
            bool(times),
            f"no witness cosigned the earlier receipt of entry {each.index}: leave it out",
        )
        before = seen.setdefault(each.index, _Seen(max(times), []))
        _want(
            not before.later or (head.size, min(times)) > before.later[-1],
            f"the earlier receipts of entry {each.index} are not each newer than the one before",
        )
        before.later.append((head.size, min(times)))
    return seen


def _require_waits(evidence: Evidence, seen: Mapping[int, _Seen]) -> None:
    """Check that witnesses saw 72 hours pass between the request and the end of each recovery.

    They saw the request by a time, and later a log that had the request and not yet its end.
    """
    request: int | None = None
    for each in evidence.entries:
        kind = each.extra["event"]["act"]["type"]
        if kind == "recovery-requested":
            request = each.index
        if kind != "key-recovered" or request is None:
            continue
        known = seen.get(request)
        later = [at for size, at in known.later if size <= each.index] if known else []
        waited = max(later) - known.by if known and later else timedelta(0)
        _want(
            waited >= authority.COOLING_OFF - SKEW,
            f"witnesses saw {waited} pass between the request of the recovery (entry {request}) and"
            f" its end (entry {each.index}), want {authority.COOLING_OFF}: only the log says when",
        )


def _replayed(evidence: Evidence, head: Checkpoint, seen: Mapping[int, datetime]) -> Proven:
    """Apply all rules to the whole history in order; return what it proves about `seq`."""
    authority_now, history = EMPTY_AUTHORITY, _History()
    for each in evidence.entries:
        instruction = each.extra["event"]
        given = each.extra.get("signature")
        signature = None if given is None else instruction_signature.parse(given)
        key = authority.require(
            authority_now, instruction, signature, narrows=history.narrows(instruction["act"])
        )
        history.add(instruction, each.index, key, authority_now)
        digest = sha256(commitments.canonical(instruction)).digest()
        authority_now = authority.apply(authority_now, instruction, digest, each.index)
    shown = evidence.state.opening
    latest = shown.state if shown else {}
    signers = {name: latest[name] for name in ("keys", "mandates", "recovery") if name in latest}
    wanted = authority.document(authority_now)
    _want(
        commitments.canonical(signers) == commitments.canonical(wanted),  # true is no 1
        "the state shows other keys than were brought",
    )
    asked = evidence.entries[evidence.seq - 1]
    way = (*history.steps(evidence.seq, seen),)
    key, map_key = history.key(evidence.seq), evidence.state.entry.vrf
    return Proven(head, asked.extra["event"], asked.index, key, way, latest, map_key)


@dataclass(frozen=True, slots=True)
class _Given:
    """An instruction, and the entry that activated the key it was signed with."""

    instruction: Mapping[str, Any]
    index: int
    key: Key | None
    after: int | None  # index of that entry; None: given in a session


@dataclass
class _History:
    """The instructions so far, by seq from 1, and the thresholds of active triggers."""

    given: list[_Given] = field(default_factory=list)
    triggers: dict[tuple[str, ...], int] = field(default_factory=dict)

    def narrows(self, act: Mapping[str, Any]) -> bool:
        if act["type"] == "trigger-set":
            return self.triggers.get(_trigger(act)) in (None, act["threshold"])
        return act["type"] in authority.SESSION_ACTS

    def add(
        self, instruction: Mapping[str, Any], index: int, key: Key | None, before: Authority
    ) -> None:
        """`before`: the customer's authority before this instruction."""
        act = instruction["act"]
        if act["type"] == "trigger-set":
            self.triggers[_trigger(act)] = act["threshold"]
        if act["type"] == "trigger-cleared":
            self.triggers.pop(_trigger(act), None)
        self.given.append(_Given(instruction, index, key, _brought(instruction, key, before)))

    def key(self, seq: int) -> Key | None:
        return self.given[seq - 1].key

    def steps(self, seq: int, seen: Mapping[int, datetime]) -> Iterator[EvidenceStep]:
        """The instruction, the one that activated its key, and so on back to a session."""
        by_index = {each.index: each for each in self.given}
        each: _Given | None = self.given[seq - 1]
        while each:
            how = _HOW.get(each.instruction["act"]["type"], "said")
            key = each.key.id if each.key else None
            at, index = each.instruction["at"], each.index
            yield EvidenceStep(each.instruction["seq"], index, at, how, key, seen.get(index))
            each = None if each.after is None else by_index[each.after]


def _brought(instruction: Mapping[str, Any], key: Key | None, before: Authority) -> int | None:
    """Index of the entry that activated the key of this instruction; None for a session."""
    if instruction["act"]["type"] == "key-recovered" and before.recovery:
        return before.recovery.index
    if key is None:
        return None
    if (mandate := instruction.get("mandate")) is not None:
        return before.mandates[b64decode(mandate)].index
    return before.keys[key.id].index


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
    _want(
        set(members) == _PARTS and members["type"] == TYPE,
        f"members {sorted(members)} of type {members.get('type')!r}, want {sorted(_PARTS)} of type "
        f"{TYPE!r}",
    )
    _want(type(members["seq"]) is int, f"seq is {members['seq']!r}, want an integer")
    signed = signed_note.parse(members["checkpoint"])
    rotations = [
        Rotation(receipts.parse(each["receipt"]), _hashes(each["proof"]))
        for each in members["rotations"]
    ]
    entries = [
        Receipt(each["index"], _hashes(each["proof"]), signed, each["extra"])
        for each in members["entries"]
    ]
    _want(all(type(each.index) is int for each in entries), "an index is not an integer")
    _want(all(map(receipts.well_formed, entries)), "an entry does not have the form of a receipt's")
    state = map_proof.parse(members["state"])
    earlier = (*map(receipts.parse, members["kept"]),)
    return Evidence(members["seq"], (*entries,), signed, state, (*rotations,), earlier)


def _hashes(texts: Sequence[str]) -> tuple[Hash, ...]:
    return tuple(signed_note.decode_base64(each) for each in texts)


def _texts(hashes: Sequence[Hash]) -> list[str]:
    return [b64encode(each).decode() for each in hashes]


def _want(condition: bool, otherwise: str) -> None:
    if not condition:
        raise EvidenceError(otherwise)

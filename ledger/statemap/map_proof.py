"""Proof of a customer's latest state: nothing newer is hidden, or nothing is there at all.

The state log's newest entry names the map's root at a size of the consent log, as canonical JSON:

    {"map":"<64 hex>","root":"<64 hex>","size":70000,"type":"state-root"}

A proof is a C2SP tlog-proof of that entry, in the state log; its `extra` is canonical JSON with
the entry, the map's proof (base64) and, if the label is there, the state and its salt. The label
is not in it: who asks knows it. Labels come from the customer's first instruction, so that who
holds its receipt knows where in the map to look, and nobody else does:

    label = SHA-256("sovereign/label/v1" ‖ 00 ‖ SHA-256(first instruction))
    value = SHA-256("sovereign/state/v1" ‖ 00 ‖ salt (32) ‖ state)

The standard library and `cryptography` are enough. The law: specs/statemap.md, "State".
"""

import json
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from ledger.statemap import verifiable_map
from ledger.statemap.verifiable_map import MapProof
from ledger.tlog import checkpoint, merkle, signed_note
from ledger.tlog.checkpoint import Checkpoint
from ledger.tlog.merkle import EMPTY_ROOT, HASH_SIZE, Hash, ProofError
from ledger.tlog.policy import LogPolicy
from ledger.tlog.signed_note import Note, Verifying
from ledger.vault import commitments

SALT_SIZE = 32
_HEADER = "c2sp.org/tlog-proof@v1"
_FIRST = b64encode(bytes(32)).decode()  # `prev` of a first instruction
_MOST_HASHES = 63
_LARGEST = 1 << 53


class MalformedStateProofError(ValueError):
    """The bytes are not a state proof."""


@dataclass(frozen=True, slots=True)
class StateRoot:
    """An entry of the state log: the map's root when the consent log had this size and root."""

    size: int
    root: Hash
    map: Hash

    def members(self) -> dict[str, Any]:
        hashes = {"map": self.map.hex(), "root": self.root.hex()}
        return {**hashes, "size": self.size, "type": "state-root"}

    def __bytes__(self) -> bytes:
        return commitments.canonical(self.members())


@dataclass(frozen=True, slots=True)
class StateOpening:
    """A state and what keeps it from being guessed."""

    state: dict[str, Any]
    salt: bytes

    @property
    def value(self) -> bytes:
        data = commitments.canonical(self.state)
        return sha256(b"sovereign/state/v1\x00" + self.salt + data).digest()


@dataclass(frozen=True, slots=True)
class StateProof:
    shown: StateOpening | None  # None: the label is absent
    in_map: MapProof
    entry: StateRoot
    index: int
    path: tuple[Hash, ...]
    note: Note  # the state log's checkpoint

    def __str__(self) -> str:
        extra = b64encode(commitments.canonical(self._extra())).decode()
        path = "".join(f"{b64encode(each).decode()}\n" for each in self.path)
        return f"{_HEADER}\nextra {extra}\nindex {self.index}\n{path}\n{self.note}"

    def _extra(self) -> dict[str, Any]:
        proof = b64encode(bytes(self.in_map)).decode()
        extra: dict[str, Any] = {"entry": self.entry.members(), "proof": proof}
        if self.shown is None:
            return extra
        return {**extra, "salt": self.shown.salt.hex(), "state": self.shown.state}


def label(first: bytes) -> bytes:
    """Where the map keeps a customer, given the canonical bytes of their first instruction."""
    return sha256(b"sovereign/label/v1\x00" + sha256(first).digest()).digest()


def parse(text: str) -> StateProof:
    """Read a proof; it formats back to the same text. Raises MalformedStateProofError."""
    try:
        found = _parse(text)
        same = str(found) == text
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise MalformedStateProofError(f"no state proof: {error!r}") from error
    if not same:
        raise MalformedStateProofError("a state proof, but not in its canonical form")
    return found


def verify(proof: StateProof, where: bytes, verifiers: Sequence[Verifying]) -> Checkpoint:
    """The state log's checkpoint under which this is the *latest* state of the label `where`.

    Every one of `verifiers` must have signed it, under the state log's name. Raises NoteError,
    ProofError. Compare `proof.entry` with a checkpoint of the consent log to know how late it is.
    """
    signed_note.verify(proof.note, verifiers)
    head = checkpoint.parse(proof.note.text)
    if any(each.name != head.origin for each in verifiers):
        raise ProofError(f"a checkpoint of {head.origin}, want one of {verifiers[0].name}")
    require_newest(proof, where, head)
    return head


def verify_under(proof: StateProof, where: bytes, policy: LogPolicy) -> Checkpoint:
    """The same, for a checkpoint that is signed and cosigned as `policy` demands.

    Raises PolicyError, ProofError.
    """
    head = policy.verify(proof.note)
    require_newest(proof, where, head)
    return head


def require_complete(proof: StateProof, instructions: Sequence[dict[str, Any]]) -> None:
    """Return if these are all instructions of the customer, none missing, else raise ProofError.

    The proof must have been verified at the label of the first. `instructions` are the events of
    the customer's receipts, oldest first: each names the hash of the one before, and the state
    names that of the last.
    """
    if not instructions:
        _want(proof.shown is None, "no instruction was given, but the map holds a state")
        return
    data = [commitments.canonical(each) for each in instructions]
    if proof.shown is None:
        raise ProofError("the map holds nothing for this customer: all was left out")
    _want_chain(instructions, data)
    state, last = proof.shown.state, _digest(data[-1])
    _want(
        (state.get("seq"), state.get("head")) == (len(data), last),
        f"the state is of {state.get('seq')} instructions, {len(data)} were given: not the same",
    )


def require_newest(proof: StateProof, where: bytes, head: Checkpoint) -> None:
    if proof.index != head.size - 1:
        raise ProofError(f"entry {proof.index} of {head.size}, want the newest: ask again")
    leaf = merkle.leaf_hash(bytes(proof.entry))
    merkle.verify_inclusion(leaf, proof.index, head.size, head.root, proof.path)
    if proof.shown is None:
        verifiable_map.verify_absence(where, proof.entry.map, proof.in_map)
    else:
        verifiable_map.verify_presence(where, proof.shown.value, proof.entry.map, proof.in_map)


def _digest(data: bytes) -> str:
    """A hash as events write it."""
    return b64encode(sha256(data).digest()).decode()


def _want_chain(instructions: Sequence[dict[str, Any]], data: Sequence[bytes]) -> None:
    before = [_FIRST, *map(_digest, data)]
    for number, (said, prev) in enumerate(zip(instructions, before, strict=False), start=1):
        found = (said.get("seq"), said.get("prev"))
        _want(found == (number, prev), f"instruction {number} does not follow the one before it")


def _parse(text: str) -> StateProof:
    head, _, signed = text.partition("\n\n")
    header, extra, index, *hashes = head.split("\n")
    members = json.loads(signed_note.decode_base64(extra.removeprefix("extra ")))
    if header != _HEADER or len(hashes) > _MOST_HASHES:
        raise MalformedStateProofError(f"want {_HEADER} and at most {_MOST_HASHES} hashes")
    found = signed_note.parse(signed)
    checkpoint.parse(found.text)
    return StateProof(
        shown=_shown(members) if "state" in members else None,
        in_map=verifiable_map.parse(signed_note.decode_base64(members["proof"])),
        entry=entry(members["entry"]),
        index=_count(int(index.removeprefix("index "))),
        path=tuple(map(_hash, hashes)),
        note=found,
    )


def _shown(members: dict[str, Any]) -> StateOpening:
    if not isinstance(members["state"], dict):
        raise MalformedStateProofError("a state is an object")
    return StateOpening(members["state"], _bytes(members["salt"]))


def entry(members: dict[str, Any]) -> StateRoot:
    """Read an entry of the state log from its JSON. Raises ValueError, KeyError or TypeError."""
    return StateRoot(_count(members["size"]), _bytes(members["root"]), _bytes(members["map"]))


def newest(entries: Sequence[bytes]) -> StateRoot:
    """The last of these entries of a state log; that of an empty map if there are none.

    Raises ValueError, KeyError or TypeError if it is none.
    """
    return entry(json.loads(entries[-1])) if entries else StateRoot(0, EMPTY_ROOT, EMPTY_ROOT)


def _hash(line: str) -> Hash:
    return _sized(signed_note.decode_base64(line))


def _bytes(text: str) -> bytes:
    return _sized(bytes.fromhex(text))


def _sized(value: bytes) -> bytes:
    if len(value) != HASH_SIZE:
        raise MalformedStateProofError(f"{len(value)} bytes, want {HASH_SIZE}")
    return value


def _count(value: int) -> int:
    if type(value) is not int or not 0 <= value < _LARGEST:
        raise MalformedStateProofError(f"{value!r} is no count of entries")
    return value


def _want(condition: bool, otherwise: str) -> None:
    if not condition:
        raise ProofError(otherwise)

"""State proofs: prove a customer's latest state, or that the map has no state for a label.

The state log's newest entry names the map's root at a size of the consent log, as canonical JSON:

    {"map":"<64 hex>","root":"<64 hex>","size":70000,"type":"state-root"}

A proof is a C2SP tlog-proof of that entry in the state log. Its `extra` is canonical JSON with the
entry, the map proof (base64) and, if the map has the label, the state and its salt. The label is
not included: the verifier computes it from the customer's first instruction, so whoever has that
receipt knows the label, and nobody else does:

    label = SHA-256("sovereign/label/v1" ‖ 00 ‖ SHA-256(first instruction))
    value = SHA-256("sovereign/state/v1" ‖ 00 ‖ salt (32) ‖ state)

The verifier imports this module, so it uses the standard library and `cryptography` only.
Specification: specs/statemap.md, "State".
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
_MAX_HASHES = 63
_LARGEST = 1 << 53


class MalformedStateProofError(ValueError):
    """The bytes are not a state proof."""


@dataclass(frozen=True, slots=True)
class StateRoot:
    """An entry of the state log: the root of the map at this size and root of the consent log."""

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
    """A state document, and the salt that prevents guessing it from its value in the map."""

    state: dict[str, Any]
    salt: bytes

    @property
    def value(self) -> bytes:
        data = commitments.canonical(self.state)
        return sha256(b"sovereign/state/v1\x00" + self.salt + data).digest()


@dataclass(frozen=True, slots=True)
class StateProof:
    opening: StateOpening | None  # None: the label is absent
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
        if self.opening is None:
            return extra
        return {**extra, "salt": self.opening.salt.hex(), "state": self.opening.state}


def label(first: bytes) -> bytes:
    """The customer's label, computed from the canonical bytes of their first instruction."""
    return sha256(b"sovereign/label/v1\x00" + sha256(first).digest()).digest()


def parse(text: str) -> StateProof:
    """Parse a proof; it formats back to the same text. Raises MalformedStateProofError."""
    try:
        proof = _parse(text)
        same = str(proof) == text
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise MalformedStateProofError(f"not a state proof: {error!r}") from error
    if not same:
        raise MalformedStateProofError("a state proof, but not in canonical form")
    return proof


def verify(proof: StateProof, where: bytes, verifiers: Sequence[Verifying]) -> Checkpoint:
    """Verify that the proof shows the latest state of the label `where`; return its checkpoint.

    Every one of `verifiers` must have signed the checkpoint, under the state log's name. Compare
    `proof.entry` with a checkpoint of the consent log to know how recent the state is. Raises
    NoteError, ProofError.
    """
    signed_note.verify(proof.note, verifiers)
    head = checkpoint.parse(proof.note.text)
    if any(each.name != head.origin for each in verifiers):
        raise ProofError(f"a checkpoint of {head.origin}, want one of {verifiers[0].name}")
    require_newest(proof, where, head)
    return head


def verify_under(proof: StateProof, where: bytes, policy: LogPolicy) -> Checkpoint:
    """As `verify`, for a checkpoint with the signatures and cosignatures that `policy` requires.

    Raises LogPolicyError, ProofError.
    """
    head = policy.verify(proof.note)
    require_newest(proof, where, head)
    return head


def require_complete(proof: StateProof, instructions: Sequence[dict[str, Any]]) -> None:
    """Raise ProofError unless these are all instructions of the customer.

    `instructions`: the events of the customer's receipts, oldest first. Each names the hash of the
    previous one, and the state names the hash of the last. The proof must have been verified for
    the label of the first.
    """
    if not instructions:
        _want(proof.opening is None, "no instruction was given, but the map has a state")
        return
    data = [commitments.canonical(each) for each in instructions]
    if proof.opening is None:
        raise ProofError("the map has no state for this customer, although they gave instructions")
    _want_chain(instructions, data)
    state, last = proof.opening.state, _digest(data[-1])
    _want(
        (state.get("seq"), state.get("head")) == (len(data), last),
        f"the state is the result of {state.get('seq')} instructions, {len(data)} receipts were "
        "given, or their hashes differ",
    )


def require_newest(proof: StateProof, where: bytes, head: Checkpoint) -> None:
    if proof.index != head.size - 1:
        raise ProofError(
            f"the proof is of entry {proof.index} of {head.size}, want the newest: get a new proof"
        )
    leaf = merkle.leaf_hash(bytes(proof.entry))
    merkle.verify_inclusion(leaf, proof.index, head.size, head.root, proof.path)
    if proof.opening is None:
        verifiable_map.verify_absence(where, proof.entry.map, proof.in_map)
    else:
        verifiable_map.verify_presence(where, proof.opening.value, proof.entry.map, proof.in_map)


def _digest(data: bytes) -> str:
    """A hash as events write it."""
    return b64encode(sha256(data).digest()).decode()


def _want_chain(instructions: Sequence[dict[str, Any]], data: Sequence[bytes]) -> None:
    before = [_FIRST, *map(_digest, data)]
    for number, (instruction, prev) in enumerate(zip(instructions, before, strict=False), start=1):
        given = (instruction.get("seq"), instruction.get("prev"))
        _want(
            given == (number, prev), f"instruction {number} does not follow the previous receipt's"
        )


def _parse(text: str) -> StateProof:
    head, _, signed = text.partition("\n\n")
    header, extra, index, *hashes = head.split("\n")
    members = json.loads(signed_note.decode_base64(extra.removeprefix("extra ")))
    if header != _HEADER or len(hashes) > _MAX_HASHES:
        raise MalformedStateProofError(f"want {_HEADER} and at most {_MAX_HASHES} hashes")
    note = signed_note.parse(signed)
    checkpoint.parse(note.text)
    return StateProof(
        opening=_opening(members) if "state" in members else None,
        in_map=verifiable_map.parse(signed_note.decode_base64(members["proof"])),
        entry=entry(members["entry"]),
        index=_count(int(index.removeprefix("index "))),
        path=tuple(map(_hash, hashes)),
        note=note,
    )


def _opening(members: dict[str, Any]) -> StateOpening:
    if not isinstance(members["state"], dict):
        raise MalformedStateProofError(
            f"the state is a {type(members['state']).__name__}, want an object"
        )
    return StateOpening(members["state"], _bytes(members["salt"]))


def entry(members: dict[str, Any]) -> StateRoot:
    """Parse an entry of the state log from its JSON. Raises ValueError, KeyError or TypeError."""
    return StateRoot(_count(members["size"]), _bytes(members["root"]), _bytes(members["map"]))


def newest(entries: Sequence[bytes]) -> StateRoot:
    """The last of these entries of a state log; for an empty list, that of an empty map.

    Raises ValueError, KeyError or TypeError if it is malformed.
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
        raise MalformedStateProofError(f"{value!r} is not a number of entries below 2^53")
    return value


def _want(condition: bool, otherwise: str) -> None:
    if not condition:
        raise ProofError(otherwise)

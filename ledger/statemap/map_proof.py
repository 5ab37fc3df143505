"""State proofs: prove a customer's latest state, or that the map has no state for a label.

The state log's newest entry names the map's root at a size of the consent log, as canonical JSON:

    {"map":"<64 hex>","root":"<64 hex>","size":70000,"type":"state-root","vrf":"<64 hex>"}

`vrf` is the public key of the map's labels. A proof is a C2SP tlog-proof of that entry in the state
log. Its `extra` is canonical JSON with the entry, the map proof, the VRF proof `vrf` (both base64)
and, if the map has the label, the state and its salt. The label is not included: the VRF proof
proves that it is the one label of the customer's id.

    label = the first 32 bytes of VRF("sovereign/label/v2" ‖ 00 ‖ the customer's id)
    value = SHA-256("sovereign/state/v2" ‖ 00 ‖ version (8) ‖ digest)
    digest = SHA-256("sovereign/state/v1" ‖ 00 ‖ salt (32) ‖ state)

`version` is the `seq` of the state. The value of a customer who gave no instruction since values
name the version is the digest itself.

Entries from before a map was bound have no `vrf`. There the label is that of a first instruction,
so nothing rules out another history of the same customer:

    label = SHA-256("sovereign/label/v1" ‖ 00 ‖ SHA-256(first instruction))

The verifier imports this module, so it uses the standard library and `cryptography` only.
Specification: specs/statemap.md, "Labels" and "State".
"""

import json
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from ledger.events import canonical_json
from ledger.statemap import verifiable_map, vrf
from ledger.statemap.transition import MAX_VERSION, StateVersion
from ledger.statemap.verifiable_map import Label, MapProof, Value
from ledger.statemap.vrf import VrfError
from ledger.tlog import checkpoint, merkle, signed_note
from ledger.tlog.checkpoint import Checkpoint
from ledger.tlog.merkle import EMPTY_ROOT, HASH_SIZE, Hash, ProofError
from ledger.tlog.policy import LogPolicy, MapKey
from ledger.tlog.signed_note import Note, Verifying
from ledger.vault import commitments

SALT_SIZE = 32
_HEADER = "c2sp.org/tlog-proof@v1"
_FIRST = b64encode(bytes(32)).decode()  # `prev` of a first instruction
_MAX_HASHES = 63
MAX_SIZE = 1 << 20  # characters
_LARGEST = 1 << 53


class MalformedStateProofError(ValueError):
    """The bytes are not a state proof."""


@dataclass(frozen=True, slots=True)
class StateRoot:
    """An entry of the state log: the root of the map at this size and root of the consent log."""

    size: int
    root: Hash
    map: Hash
    vrf: bytes | None = None  # the key of the labels; None: the map is not bound

    def members(self) -> dict[str, Any]:
        hashes = {"map": self.map.hex(), "root": self.root.hex()}
        members = {**hashes, "size": self.size, "type": "state-root"}
        return members if self.vrf is None else {**members, "vrf": self.vrf.hex()}

    def __bytes__(self) -> bytes:
        return commitments.canonical(self.members())


@dataclass(frozen=True, slots=True)
class StateOpening:
    """A state document, and the salt that prevents guessing it from its value in the map."""

    state: dict[str, Any]
    salt: bytes

    @property
    def digest(self) -> bytes:
        """The hash that commits to state and salt."""
        data = commitments.canonical(self.state)
        return sha256(b"sovereign/state/v1\x00" + self.salt + data).digest()

    @property
    def version(self) -> StateVersion:
        """Version and digest, which an auditor sees. Raises ProofError if the state has none."""
        seq = self.state.get("seq")
        if type(seq) is not int or not 0 < seq < MAX_VERSION:
            raise ProofError(f"the state has the version {seq!r}, want a number from 1 on")
        return StateVersion(seq, self.digest)

    @property
    def value(self) -> Value:
        return self.version.value

    def is_of(self, value: Value | None) -> bool:
        """Whether this is the state with this value in the map. Raises ProofError."""
        version = self.version
        return value in (version.value, version.digest)


@dataclass(frozen=True, slots=True)
class StateProof:
    opening: StateOpening | None  # None: the label is absent
    in_map: MapProof
    entry: StateRoot
    index: int
    path: tuple[Hash, ...]
    note: Note  # the state log's checkpoint
    vrf: bytes | None = None  # proves the label; None: the map is not bound

    def __str__(self) -> str:
        extra = b64encode(commitments.canonical(self._extra())).decode()
        path = "".join(f"{b64encode(each).decode()}\n" for each in self.path)
        return f"{_HEADER}\nextra {extra}\nindex {self.index}\n{path}\n{self.note}"

    def _extra(self) -> dict[str, Any]:
        proof = b64encode(bytes(self.in_map)).decode()
        extra: dict[str, Any] = {"entry": self.entry.members(), "proof": proof}
        if self.vrf is not None:
            extra["vrf"] = b64encode(self.vrf).decode()
        if self.opening is None:
            return extra
        return {**extra, "salt": self.opening.salt.hex(), "state": self.opening.state}


def label_input(subject: str) -> bytes:
    """What the verifiable random function is computed of, for the customer with this id."""
    return b"sovereign/label/v2\x00" + subject.encode()


def label(output: bytes) -> Label:
    """The label, from the output of the verifiable random function."""
    return output[:HASH_SIZE]


def unbound_label(first: bytes) -> Label:
    """The label in a map that is not bound, from the canonical bytes of a first instruction."""
    return sha256(b"sovereign/label/v1\x00" + sha256(first).digest()).digest()


def proven_label(proof: StateProof, subject: str, trusted: MapKey, first: bytes = b"") -> Label:
    """The label of the customer `subject`, under the key of the map that the verifier trusts.

    `first`: the canonical bytes of the customer's first instruction, which lead to the label in a
    map that is not bound yet. Raises ProofError.
    """
    _want(
        proof.opening is None or proof.opening.state.get("subject") == subject,
        "the state is of another customer",
    )
    if proof.index < trusted.since:
        _want(proof.entry.vrf is None and proof.vrf is None, "the map was not bound yet")
        return unbound_label(first)
    _want(
        proof.entry.vrf == trusted.public,
        f"the state log's entry {proof.index} names another key of the map's labels than the "
        "policy, or none",
    )
    _want(proof.vrf is not None, "the map's label is not proven to be that of the customer")
    try:
        return label(vrf.verify(trusted.public, label_input(subject), proof.vrf or b""))
    except VrfError as error:
        raise ProofError(f"the map's label is not that of the customer: {error}") from error


def parse(text: str) -> StateProof:
    """Parse a proof; it formats back to the same text. Raises MalformedStateProofError."""
    if len(text) > MAX_SIZE:
        raise MalformedStateProofError(f"more than {MAX_SIZE:,} characters are no state proof")
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
        _, value = proof.in_map.leaf or (where, b"")
        _want(proof.opening.is_of(value), "the proof is for another label or value")
        verifiable_map.verify_presence(where, value, proof.entry.map, proof.in_map)


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
    members = canonical_json.parse(signed_note.decode_base64(extra.removeprefix("extra ")))
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
        vrf=signed_note.decode_base64(members["vrf"]) if "vrf" in members else None,
    )


def _opening(members: dict[str, Any]) -> StateOpening:
    if not isinstance(members["state"], dict):
        raise MalformedStateProofError(
            f"the state is a {type(members['state']).__name__}, want an object"
        )
    return StateOpening(members["state"], _bytes(members["salt"]))


def entry(members: dict[str, Any]) -> StateRoot:
    """Parse an entry of the state log from its JSON. Raises ValueError, KeyError or TypeError."""
    key = _bytes(members["vrf"]) if "vrf" in members else None
    return StateRoot(_count(members["size"]), _bytes(members["root"]), _bytes(members["map"]), key)


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

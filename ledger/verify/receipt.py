"""Receipts: C2SP tlog-proofs with which a customer can prove an entry at any later time.

    c2sp.org/tlog-proof@v1
    extra eyJldmVudCI6…
    index 3
    gSKyXoYZUgZ6jduWYrkDOARinOMGJveXjgMkBTcdPlQ=

    demo.example/consent
    7
    3d7b…=

    — demo.example/consent Az3grlgtzPICa5OS8…=

`extra` is base64 of canonical JSON from which anyone can recompute the leaf: the event, and for a
personal event the tag and salt of its commitment. If a customer's key signed the instruction, it
also has `signature` (see ledger.events.instruction_signature) and `signer`, the key.
"""

import json
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ledger.events import instruction_signature
from ledger.events.instruction_signature import InstructionSigner, SignatureError
from ledger.tlog import checkpoint, signed_note
from ledger.tlog.checkpoint import Checkpoint, MalformedCheckpointError
from ledger.tlog.merkle import HASH_SIZE, Hash, ProofError, leaf_hash, verify_inclusion
from ledger.tlog.policy import LogPolicy, LogPolicyError
from ledger.tlog.signed_note import Note, NoteError, Verifying
from ledger.vault import commitments
from ledger.verify.event_profile import ProfileError, require_event

_HEADER = "c2sp.org/tlog-proof@v1"
MAX_SIZE = 1 << 20  # characters; an entry has at most 65,535 bytes


class ReceiptError(ValueError):
    """The receipt is malformed, or does not prove what it claims."""


@dataclass(frozen=True, slots=True)
class Receipt:
    index: int
    proof: tuple[Hash, ...]
    checkpoint: Note
    extra: dict[str, Any]  # "event"; "salt" and "tag", hex; "signature" and "signer"

    def __str__(self) -> str:
        hashes = "".join(f"{b64encode(each).decode()}\n" for each in self.proof)
        extra = b64encode(commitments.canonical(self.extra)).decode()
        return f"{_HEADER}\nextra {extra}\nindex {self.index}\n{hashes}\n{self.checkpoint}"

    def entry(self) -> bytes:
        """The log entry, recomputed from the extra data. Raises ReceiptError."""
        data = commitments.canonical(self.extra["event"])
        if "tag" not in self.extra:
            return commitments.public_entry(data)
        tag, salt = bytes.fromhex(self.extra["tag"]), bytes.fromhex(self.extra["salt"])
        return commitments.personal_entry(commitments.Opening(tag, salt), data)

    def signer(self) -> InstructionSigner | None:
        """The key that signed the instruction; None if a session vouches for it.

        Raises ReceiptError if the signature is wrong, and for class A or B without a signature.
        That the key is the customer's is proven by evidence: ledger.verify.evidence.
        """
        event = self.extra["event"]
        if "signature" not in self.extra:
            if event.get("evidence") in instruction_signature.CLASSES:
                raise ReceiptError(f"evidence class {event['evidence']}, but no signature")
            return None
        try:
            key = instruction_signature.signer(self.extra["signer"])
            signature = instruction_signature.parse(self.extra["signature"])
            instruction_signature.verify_alone(event, signature, key)
        except SignatureError as error:
            raise ReceiptError(str(error)) from error
        return key


def parse(text: str) -> Receipt:
    """Parse a receipt; it formats back to the same text. Raises ReceiptError."""
    if len(text) > MAX_SIZE:
        raise ReceiptError(f"more than {MAX_SIZE:,} characters are no receipt")
    try:
        head, _, signed = text.partition("\n\n")
        header, extra, index, *hashes = head.split("\n")
        proof = tuple(signed_note.decode_base64(each) for each in hashes)
        data = json.loads(signed_note.decode_base64(extra.removeprefix("extra ")))
        receipt = Receipt(int(index.removeprefix("index ")), proof, signed_note.parse(signed), data)
        formatted = str(receipt)
    except (ValueError, RecursionError, AttributeError, TypeError) as error:
        raise ReceiptError(f"not a tlog-proof: {error}") from error
    if header != _HEADER or not well_formed(receipt) or formatted != text:
        raise ReceiptError("not a tlog-proof in canonical form")
    return receipt


def verify(receipt: Receipt, verifiers: Sequence[Verifying]) -> Checkpoint:
    """The checkpoint under which the entry is proven. Raises ReceiptError.

    Every one of `verifiers` must have signed the checkpoint, each under the log's own name.
    """
    try:
        signed_note.verify(receipt.checkpoint, verifiers)
        proven = checkpoint.parse(receipt.checkpoint.text)
    except (NoteError, MalformedCheckpointError) as error:
        raise ReceiptError(str(error)) from error
    if any(each.name != proven.origin for each in verifiers):
        names = sorted({each.name for each in verifiers})
        raise ReceiptError(f"a checkpoint of {proven.origin!r}, want one of {names}")
    require_proven(receipt, proven)
    return proven


def verify_under(receipt: Receipt, policy: LogPolicy) -> Checkpoint:
    """The checkpoint under which the entry is proven, signed as `policy` demands.

    Raises ReceiptError.
    """
    try:
        proven = policy.verify(receipt.checkpoint)
    except LogPolicyError as error:
        raise ReceiptError(str(error)) from error
    require_proven(receipt, proven)
    return proven


def well_formed(receipt: Receipt) -> bool:
    """Whether the members of `extra` and the hashes have the types and sizes of a receipt."""
    keys = set(receipt.extra) if isinstance(receipt.extra, dict) else set()
    if keys - {"signature", "signer"} == {"event", "salt", "tag"}:
        sizes = (("salt", commitments.SALT_SIZE), ("tag", commitments.TAG_SIZE))
        values = [(receipt.extra[name], size) for name, size in sizes]
        hexadecimal = all(isinstance(v, str) and _is_hex(v, size) for v, size in values)
    else:
        hexadecimal = keys == {"event"}
    paired = ("signature" in keys) == ("signer" in keys)
    return (
        receipt.index >= 0
        and hexadecimal
        and paired
        and all(len(h) == HASH_SIZE for h in receipt.proof)
    )


def require_proven(receipt: Receipt, head: Checkpoint) -> None:
    """Raise ReceiptError unless the entry is included under `head` and its signature is good.

    The caller has verified the checkpoint `head`.
    """
    try:
        _require_event(receipt, head.origin)
        receipt.signer()
        leaf = leaf_hash(receipt.entry())
        verify_inclusion(leaf, receipt.index, head.size, head.root, receipt.proof)
    except (ProofError, ProfileError) as error:
        raise ReceiptError(str(error)) from error


def _require_event(receipt: Receipt, origin: str) -> None:
    """Raise unless the event is of the profile, and instructions are commitments for this log."""
    event = receipt.extra["event"]
    require_event(event)
    is_instruction = event["type"] == "instruction"
    if is_instruction != ("tag" in receipt.extra):
        raise ReceiptError(
            "an instruction needs a tag and salt, because the log has its commitment; a public "
            "event has none"
        )
    if is_instruction and event["origin"] != origin:
        raise ReceiptError(f"an instruction for {event['origin']!r} in the log {origin!r}")


def _is_hex(text: str, size: int) -> bool:
    return len(text) == 2 * size and set(text) <= set("0123456789abcdef")

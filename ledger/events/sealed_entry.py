"""Entries of the consent log: decrypt sealed instructions, decode public events.

The plaintext of a sealed event is the instruction's canonical bytes and, if a customer's key
signed it, a newline and the signature's canonical JSON. The leaf commits to the instruction alone,
because a signature can be verified by itself.
"""

from ledger.errors import CorruptLogError
from ledger.events import canonical_json, envelope, instruction_signature
from ledger.events.canonical_json import StrictJsonError
from ledger.events.envelope import Instruction, PublicEvent
from ledger.events.instruction_signature import Signature, SignatureError
from ledger.vault import commitments, sealing


def payload(data: bytes, signature: Signature | None) -> bytes:
    """The plaintext to seal for an instruction whose canonical bytes are `data`."""
    if signature is None:
        return data
    return data + b"\n" + canonical_json.canonical(instruction_signature.members(signature))


def opened(
    derived: commitments.Secrets, sealed: bytes, entry: bytes
) -> tuple[Instruction, Signature | None]:
    """Decrypt the instruction that `entry` commits to, and its signature if it has one.

    The signature is parsed, not verified: fsck and the offline verifier do that. Raises VaultError,
    CorruptLogError.
    """
    data, signed, signature = sealing.unseal(derived, sealed, entry).partition(b"\n")
    if commitments.personal_entry(derived.opening, data) != entry:
        raise CorruptLogError("a sealed event is not the one that its leaf commits to; run fsck")
    event = envelope.decode_stored(data)
    if not isinstance(event, Instruction):
        raise CorruptLogError("a sealed event is not an instruction; run fsck")
    return event, _signature(signature) if signed else None


def public(entry: bytes) -> PublicEvent:
    """The public event in `entry`. Raises CorruptLogError, MalformedEventError."""
    event = envelope.decode(entry[1:])
    if isinstance(event, Instruction):
        raise CorruptLogError("the log has an unencrypted instruction; run fsck")
    return event


def _signature(data: bytes) -> Signature:
    try:
        parsed = instruction_signature.parse(canonical_json.parse(data))
    except (StrictJsonError, SignatureError) as error:
        raise CorruptLogError(f"a sealed signature is malformed: {error}; run fsck") from error
    if canonical_json.canonical(instruction_signature.members(parsed)) != data:
        raise CorruptLogError("a sealed signature is not in canonical form; run fsck")
    return parsed


def consent_entry(entry: bytes) -> str | None:
    """What is wrong with an entry of a consent log, or None: an `EntryCheck` for auditors."""
    if entry[:1] == commitments.PERSONAL:
        wanted = commitments.PERSONAL_SIZE
        return (
            None if len(entry) == wanted else f"a commitment of {len(entry)} bytes, want {wanted}"
        )
    if entry[:1] != commitments.PUBLIC:
        return f"entry kind {entry[:1].hex() or 'none'}, want 01 or 02"
    try:
        event = envelope.decode(entry[1:])
    except ValueError as error:
        return f"not a public event: {error}"
    return "an unencrypted instruction" if isinstance(event, Instruction) else None

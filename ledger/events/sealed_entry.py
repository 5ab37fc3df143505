"""What an entry of the consent log says: in clear, or once it is opened.

Sealed lie the instruction's canonical bytes and, if a customer's key signed it, a newline and the
signature's canonical JSON. The leaf commits to the instruction alone: a signature proves itself.
"""

from ledger.errors import CorruptLogError
from ledger.events import canonical_json, envelope, instruction_signature
from ledger.events.canonical_json import StrictJsonError
from ledger.events.envelope import Instruction, PublicEvent
from ledger.events.instruction_signature import Signature, SignatureError
from ledger.vault import commitments, vault


def payload(data: bytes, signature: Signature | None) -> bytes:
    """What is sealed of an instruction whose canonical bytes are `data`."""
    if signature is None:
        return data
    return data + b"\n" + canonical_json.canonical(instruction_signature.members(signature))


def opened(
    derived: commitments.Secrets, sealed: bytes, entry: bytes
) -> tuple[Instruction, Signature | None]:
    """The instruction that `entry` commits to, and what it was signed with.

    Raises VaultError, CorruptLogError. Whether the signature is good, fsck and verifiers say.
    """
    data, signed, signature = vault.unseal(derived, sealed, entry).partition(b"\n")
    if commitments.personal_entry(derived.opening, data) != entry:
        raise CorruptLogError("a sealed event is not the one its leaf commits to; run fsck")
    found = envelope.decode(data)
    if not isinstance(found, Instruction):
        raise CorruptLogError("a sealed event is not an instruction; run fsck")
    return found, _signature(signature) if signed else None


def public(entry: bytes) -> PublicEvent:
    """The public act that stands in `entry`. Raises CorruptLogError, MalformedEventError."""
    found = envelope.decode(entry[1:])
    if isinstance(found, Instruction):
        raise CorruptLogError("an instruction stands in clear in the log; run fsck")
    return found


def _signature(data: bytes) -> Signature:
    try:
        found = instruction_signature.parse(canonical_json.parse(data))
    except (StrictJsonError, SignatureError) as error:
        raise CorruptLogError(f"a sealed signature does not read: {error}; run fsck") from error
    if canonical_json.canonical(instruction_signature.members(found)) != data:
        raise CorruptLogError("a sealed signature is not in its canonical form; run fsck")
    return found


def consent_entry(entry: bytes) -> str | None:
    """The judge of a consent log: what is no entry of one, and why."""
    if entry[:1] == commitments.PERSONAL:
        wanted = commitments.PERSONAL_SIZE
        return None if len(entry) == wanted else f"a commitment of {len(entry)} bytes, not {wanted}"
    if entry[:1] != commitments.PUBLIC:
        return f"kind {entry[:1].hex() or 'none'}, want 01 or 02"
    try:
        said = envelope.decode(entry[1:])
    except ValueError as error:
        return f"no public event: {error}"
    return "an instruction in the clear" if isinstance(said, Instruction) else None

"""What an entry of the consent log says: in clear, or once it is opened."""

from ledger import commitment, event, vault
from ledger.event import Instruction, PublicEvent
from ledger.log import CorruptLogError


def opened(derived: commitment.Secrets, sealed: bytes, entry: bytes) -> Instruction:
    """The instruction that `entry` commits to. Raises VaultError, CorruptLogError."""
    data = vault.unseal(derived, sealed, entry)
    if commitment.personal_entry(derived.opening, data) != entry:
        raise CorruptLogError("a sealed event is not the one its leaf commits to; run fsck")
    found = event.decode(data)
    if not isinstance(found, Instruction):
        raise CorruptLogError("a sealed event is not an instruction; run fsck")
    return found


def public(entry: bytes) -> PublicEvent:
    """The public act that stands in `entry`. Raises CorruptLogError, MalformedEventError."""
    found = event.decode(entry[1:])
    if isinstance(found, Instruction):
        raise CorruptLogError("an instruction stands in clear in the log; run fsck")
    return found

"""What a batch of instructions makes of the customers' states, if each may follow. It writes
nothing."""

from collections.abc import Callable, Sequence

from ledger.errors import VersionConflictError
from ledger.events import reducer
from ledger.events.envelope import Instruction
from ledger.events.instruction_signature import InstructionError, Signature
from ledger.latest_state import CustomerState


def chained(
    origin: str,
    instructions: Sequence[Instruction],
    encoded: Sequence[bytes],
    signatures: Sequence[Signature | None],
    first: int,
    latest: Callable[[str], CustomerState],
) -> dict[str, CustomerState]:
    """Everybody's state after these instructions, the first at entry `first` of the log `origin`.

    Raises VersionConflictError or InstructionError if one does not follow what `latest` says of
    its customer, or its signer may not give it.
    """
    held: dict[str, CustomerState] = {}
    for index, (each, data, signature) in enumerate(
        zip(instructions, encoded, signatures, strict=True), first
    ):
        before = held.get(each.subject) or latest(each.subject)
        if each.origin != origin:
            raise InstructionError(f"for the log {each.origin!r}, want {origin!r}")
        if each.seq != before.state.seq + 1:
            raise VersionConflictError(each.subject, each.seq - 1, before.state.seq)
        if each.prev != before.state.head:
            raise InstructionError("its predecessor is not the instruction before it")
        reducer.require_authorised(before.state, each, signature)
        held[each.subject] = before.after(each, data, index)
    return held

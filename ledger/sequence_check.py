"""Validate a batch of instructions and return the resulting states. Writes nothing."""

from collections.abc import Callable, Sequence

from ledger.errors import VersionConflictError
from ledger.events import reducer
from ledger.events.envelope import Instruction
from ledger.events.instruction_signature import InstructionError, Signature
from ledger.latest_state import CustomerState


def resulting_states(
    origin: str,
    instructions: Sequence[Instruction],
    encoded: Sequence[bytes],
    signatures: Sequence[Signature | None],
    first: int,
    latest: Callable[[str], CustomerState],
) -> dict[str, CustomerState]:
    """The state of each customer after these instructions, by subject.

    `encoded`: their canonical bytes. `first`: the index of the first in the log `origin`.
    `latest`: returns a customer's state before the batch. Raises VersionConflictError or
    InstructionError if an instruction does not follow its customer's previous one, or if its signer
    is not allowed to give it.
    """
    states: dict[str, CustomerState] = {}
    for index, (each, data, signature) in enumerate(
        zip(instructions, encoded, signatures, strict=True), first
    ):
        before = states.get(each.subject) or latest(each.subject)
        if each.origin != origin:
            raise InstructionError(
                f"the instruction is for the log {each.origin!r}, want {origin!r}"
            )
        if each.seq != before.state.seq + 1:
            raise VersionConflictError(each.subject, each.seq - 1, before.state.seq)
        if each.prev != before.state.head:
            raise InstructionError(
                f"`prev` of instruction {each.seq} is not the digest of the customer's instruction "
                f"{before.state.seq}"
            )
        reducer.require_authorised(before.state, each, signature)
        states[each.subject] = before.after(each, data, index)
    return states

"""Validate a batch of instructions and return the resulting states. Writes nothing."""

from collections.abc import Callable, Sequence

from ledger.errors import VersionConflictError
from ledger.events import reducer
from ledger.events.envelope import Instruction
from ledger.events.instruction_signature import InstructionError, Signature
from ledger.events.reducer import ConsentState
from ledger.latest_state import after


def resulting_states(
    origin: str,
    instructions: Sequence[Instruction],
    encoded: Sequence[bytes],
    signatures: Sequence[Signature | None],
    first: int,
    latest: Callable[[str], ConsentState],
) -> dict[str, ConsentState]:
    """The state of each customer after these instructions, by subject.

    `encoded`: their canonical bytes. `first`: the index of the first in the log `origin`.
    `latest`: returns a customer's state before the batch. Raises VersionConflictError or
    InstructionError if an instruction does not follow its customer's previous one, or if its signer
    is not allowed to give it.
    """
    states: dict[str, ConsentState] = {}
    for index, (each, data, signature) in enumerate(
        zip(instructions, encoded, signatures, strict=True), first
    ):
        before = states.get(each.subject) or latest(each.subject)
        if each.origin != origin:
            raise InstructionError(
                f"the instruction is for the log {each.origin!r}, want {origin!r}"
            )
        if each.seq != before.seq + 1:
            raise VersionConflictError(each.subject, each.seq - 1, before.seq)
        if each.prev != before.head:
            raise InstructionError(
                f"`prev` of instruction {each.seq} is not the digest of the customer's instruction "
                f"{before.seq}"
            )
        reducer.require_authorised(before, each, signature)
        states[each.subject] = after(before, each, data, index)
    return states

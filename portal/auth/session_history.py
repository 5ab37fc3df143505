"""A customer's instructions, opened once a session and kept up to date with the ledger.

Opening an instruction costs the ledger a look-up and a decryption, so a customer with a thousand
of them would wait at every page. What was opened is held in the session, goes when it goes, and is
never older than the ledger: every access compares versions first.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from threading import Lock

from ledger.events import reducer
from ledger.events.envelope import Instruction
from ledger.events.reducer import ConsentState
from ledger.reader import RecordedEvent
from ledger.service import Ledger


@dataclass(slots=True)
class Agreement:
    """Thread-safe."""

    subject: str
    _recorded: list[RecordedEvent] = field(default_factory=list)
    _state: ConsentState | None = None
    _lock: Lock = field(default_factory=Lock)

    def history(self, ledger: Ledger) -> Sequence[RecordedEvent]:
        """Everything the customer said, oldest first."""
        with self._lock:
            self._catch_up(ledger)
            return [*self._recorded]

    def state(self, ledger: Ledger) -> ConsentState | None:
        """What is in force; None if nothing was ever said."""
        with self._lock:
            self._catch_up(ledger)
            return self._state

    def add(self, recorded: RecordedEvent) -> None:
        """One that this session has just recorded. Out of turn it is left to the next access."""
        with self._lock:
            instruction = recorded.event
            if isinstance(instruction, Instruction) and instruction.seq == self._version() + 1:
                self._append(recorded, instruction)

    def _catch_up(self, ledger: Ledger) -> None:
        version = ledger.version(self.subject)
        if version == self._version():
            return
        found = ledger.history(self.subject)
        if version < self._version():  # erased: nothing of before is left
            self._recorded, self._state = [], None
        known = self._version()
        for each in found:
            if each.event.seq > known:
                self._append(each, each.event)

    def _version(self) -> int:
        """Of what was opened; entries that were erased are missing before it."""
        return self._state.seq if self._state else 0

    def _append(self, recorded: RecordedEvent, instruction: Instruction) -> None:
        self._state = reducer.apply(self._state, instruction, recorded.index)
        self._recorded.append(recorded)

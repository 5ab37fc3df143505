"""A customer's instructions, opened once a session and kept up to date with the ledger.

Opening an instruction costs the ledger a look-up and a decryption, so a customer with a thousand
of them would wait at every page. What was opened is held in the session, goes when it goes, and is
never older than the ledger: every access compares versions first.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from threading import Lock

from ledger import consent
from ledger.consent import ConsentState
from ledger.event import Instruction
from ledger.ledger import Ledger
from ledger.reader import Recorded


@dataclass(slots=True)
class Agreement:
    """Thread-safe."""

    subject: str
    _recorded: list[Recorded] = field(default_factory=list)
    _state: ConsentState | None = None
    _lock: Lock = field(default_factory=Lock)

    def history(self, ledger: Ledger) -> Sequence[Recorded]:
        """Everything the customer said, oldest first."""
        with self._lock:
            self._catch_up(ledger)
            return [*self._recorded]

    def state(self, ledger: Ledger) -> ConsentState | None:
        """What is in force; None if nothing was ever said."""
        with self._lock:
            self._catch_up(ledger)
            return self._state

    def add(self, recorded: Recorded) -> None:
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

    def _append(self, recorded: Recorded, instruction: Instruction) -> None:
        self._state = consent.apply(self._state, instruction, recorded.index)
        self._recorded.append(recorded)

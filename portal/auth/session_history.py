"""Caches a customer's decrypted instructions in their session, up to date with the ledger.

Opening an instruction costs a look-up and a decryption, so a customer with a thousand of them would
wait at every page. The cache lives as long as the session and is never older than the ledger: every
access compares versions first.
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
    """The cached agreement of one customer. Thread-safe."""

    subject: str
    _recorded: list[RecordedEvent] = field(default_factory=list)
    _state: ConsentState | None = None
    _lock: Lock = field(default_factory=Lock)

    def history(self, ledger: Ledger) -> Sequence[RecordedEvent]:
        """All instructions of the customer, oldest first."""
        with self._lock:
            self._catch_up(ledger)
            return [*self._recorded]

    def state(self, ledger: Ledger) -> ConsentState | None:
        """The present state; None without any instruction."""
        with self._lock:
            self._catch_up(ledger)
            return self._state

    def add(self, recorded: RecordedEvent) -> None:
        """Add an instruction that this session recorded; if out of order, the next access does."""
        with self._lock:
            instruction = recorded.event
            if isinstance(instruction, Instruction) and instruction.seq == self._version() + 1:
                self._append(recorded, instruction)

    def _catch_up(self, ledger: Ledger) -> None:
        version = ledger.version(self.subject)
        if version == self._version():
            return
        history = ledger.history(self.subject)
        if version < self._version():  # erased: drop everything
            self._recorded, self._state = [], None
        known = self._version()
        for each in history:
            if each.event.seq > known:
                self._append(each, each.event)

    def _version(self) -> int:
        """The version of the cache; erased entries may be missing below it."""
        return self._state.seq if self._state else 0

    def _append(self, recorded: RecordedEvent, instruction: Instruction) -> None:
        self._state = reducer.apply(self._state, instruction, recorded.index)
        self._recorded.append(recorded)

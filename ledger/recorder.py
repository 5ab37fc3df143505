"""Commits entries to the consent log, each batch with the states that follow from it."""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import TypeVar

from ledger.errors import CorruptLogError
from ledger.events import envelope
from ledger.events.envelope import Instruction, PublicEvent
from ledger.events.instruction_signature import Signature
from ledger.events.reducer import ConsentState
from ledger.events.sealed_entry import payload
from ledger.latest_state import LatestStates
from ledger.reader import RecordedEvent, RecordedInstruction
from ledger.statemap.map_log import StateLog
from ledger.statemap.transition import StateVersion
from ledger.statemap.verifiable_map import Label
from ledger.tlog.writer import NOTHING, Log, Sealed
from ledger.vault import commitments, sealing
from ledger.vault.vault import Vault
from ledger.witness.cosigned_checkpoint import CosignedCheckpoints

TAIL = 65_536  # newest decrypted events in memory, for followers that are nearly up to date

OnCommit = Callable[[int], None]
_Event = TypeVar("_Event", bound=RecordedEvent)


class Recorder:
    """Writes one ledger's entries and remembers the newest. The caller holds the ledger's lock."""

    def __init__(
        self,
        log: Log,
        states: StateLog,
        vault: Vault,
        latest: LatestStates,
        cosigned: CosignedCheckpoints,
        on_commit: OnCommit,
    ) -> None:
        self._log = log
        self._states = states
        self._vault = vault
        self._latest = latest
        self._cosigned = cosigned
        self._on_commit = on_commit
        self._tail: deque[RecordedEvent] = deque(maxlen=TAIL)
        self._tail_from = log.size

    def append(
        self,
        batch: Sequence[tuple[Instruction, bytes, Signature | None]],
        states: Mapping[str, ConsentState],
        idempotency: str | None,
        request: bytes,
    ) -> list[RecordedInstruction]:
        """Seal and commit instructions, with their canonical bytes; durable when it returns.

        `states`: the states that follow, by customer. `request`: the digest that is stored under
        the key `idempotency`.
        """
        if not batch:
            return []
        first = self._log.size
        entries: list[bytes] = []
        sealed: dict[bytes, tuple[int, bytes]] = {}
        for index, (each, data, signature) in enumerate(batch, first):
            derived = commitments.secrets(self._key(each.subject), each.seq)
            entry = commitments.personal_entry(derived.opening, data)
            entries.append(entry)
            closed = sealing.seal(derived, payload(data, signature), entry)
            sealed[derived.opening.tag] = (index, closed)
        idempotency_row = {idempotency: (request, first)} if idempotency is not None else {}
        versions = {
            self._latest.label(subject): self._latest.opening_of(each).version
            for subject, each in states.items()
        }
        indexes = self.commit(entries, sealed, idempotency_row, versions)
        return self._remember(
            [
                RecordedInstruction(i, each, signature_used)
                for i, (each, _, signature_used) in zip(indexes, batch, strict=True)
            ]
        )

    def announce(self, events: Sequence[PublicEvent]) -> list[RecordedEvent]:
        """Commit public acts, unencrypted; durable when it returns."""
        if not events:
            return []
        indexes = self.commit([commitments.public_entry(envelope.encode(each)) for each in events])
        return self._remember([RecordedEvent(*each) for each in zip(indexes, events, strict=True)])

    def commit(
        self,
        entries: Sequence[bytes],
        sealed: Sealed = NOTHING,
        idempotency: Mapping[str, tuple[bytes, int]] = NOTHING,
        versions: Mapping[Label, StateVersion] = NOTHING,
    ) -> range:
        """Commit entries together with the states that follow from them, in one transaction."""
        self._cosigned.require_may_sign()
        self._states.cosigned.require_may_sign()
        staged = self._log.stage(entries, sealed=sealed, idempotency=idempotency)
        update = self._states.stage(staged.batch.head.size, staged.root, versions)
        indexes = self._log.commit(staged, update.batch)
        self._states.settle(update)
        return indexes

    def recent(self, since: int) -> list[RecordedEvent] | None:
        """The events from entry `since` on, if all of them are remembered."""
        if since < self._tail_from:
            return None
        newest = islice(reversed(self._tail), max(self._log.size - since, 0))
        return [*newest][::-1]

    def remembered(self, index: int) -> RecordedEvent | None:
        """The event of entry `index`, if it is remembered."""
        recent = range(self._tail_from, self._log.size)
        return self._tail[index - self._log.size] if index in recent else None

    def forget(self) -> None:
        """Remember no event: what was erased must not be answered from memory."""
        self._tail.clear()
        self._tail_from = self._log.size

    def _remember(self, recorded: list[_Event]) -> list[_Event]:
        self._on_commit(self._log.size)
        # Crash before the line above: committed, but `on_commit` was not called. The next start
        # calls it.
        self._tail.extend(recorded)
        if len(self._tail) == TAIL:
            self._tail_from = self._tail[0].index
        return recorded

    def _key(self, subject: str) -> bytes:
        if (key := self._vault.key(subject)) is None:
            raise CorruptLogError("a customer's data key disappeared while sealing their event")
        return key

"""The newest checkpoint that a log's witnesses have cosigned, stored in the log's database.

After a start, a log with witnesses signs nothing until they confirm that none of its entries is
missing.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from threading import Lock
from typing import Any, ClassVar, Protocol, TypeVar

from ledger.storage.interface import Head
from ledger.storage.sqlite import SqlLog
from ledger.tlog import checkpoint, signed_note
from ledger.tlog.policy import LogPolicy
from ledger.tlog.signed_note import Note
from ledger.tlog.writer import Log
from ledger.witness.client import FrozenLog, Provable, QuorumError, Witnesses
from ledger.witness.cosigned_history import CosignedHistory


class _Noted(Protocol):
    """A dataclass with the checkpoint that it was made under."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def note(self) -> Note: ...


P = TypeVar("P", bound=_Noted)


class CosignedCheckpoints:
    """Cosigned checkpoints of one log. Thread-safe. Without witnesses all counts as cosigned."""

    def __init__(
        self,
        log: Log,
        store: SqlLog,
        witnesses: Witnesses,
        history: CosignedHistory | None = None,
    ) -> None:
        """`history`: where cosigned checkpoints are published, if they are."""
        self._log = log
        self._history = history
        self._store = store
        self._witnesses = witnesses
        self._turn = Lock()  # so that no witness is asked about an older checkpoint after a newer
        self._may_sign = not witnesses.asked
        self._named: set[int] = set()  # sizes of checkpoints that left with a proof
        self.left_out: dict[str, str] = {}  # witness -> why it did not cosign when asked last

    def ask(self, witnesses: Witnesses) -> None:
        """Ask these witnesses from now on. Nothing is signed before they have confirmed the log."""
        with self._turn:
            self._witnesses, self.left_out = witnesses, {}
            self._may_sign = not witnesses.asked

    def require_may_sign(self) -> None:
        """Raise RolledBackError or QuorumError unless the log may sign.

        Needs no lock: until this has returned once, the log does not grow.
        """
        if not self._may_sign:
            self._ask(self._log)

    def newest(self) -> str:
        """The newest checkpoint, cosigned; durable on return.

        Raises RolledBackError if a witness has seen more of this log or another history,
        QuorumError if too few of them answer.
        """
        if not self._witnesses.asked:
            return self._log.checkpoint()
        with self._turn:
            return self._ask(self._log)

    def attest(self) -> Note:
        """Have the newest checkpoint cosigned and published, so that later entries are after it.

        Raises as `newest` does. Without witnesses the checkpoint is the log's own.
        """
        signed = self.newest()
        if self._history is not None and self._witnesses.asked:
            self._history.append(signed, self._witnesses.now())
        return signed_note.parse(signed)

    def publish(self) -> str:
        """As `newest`, for a publication: the checkpoint is among those that are published."""
        signed = self.newest()
        if self._history is not None and self._witnesses.asked:
            self._history.publish(signed, self._witnesses.now())
        return signed

    def published(self) -> Iterator[Note]:
        """The cosigned checkpoints that were published, oldest first. Raises as `read` does."""
        return self._history.notes() if self._history is not None else iter(())

    @property
    def policy(self) -> LogPolicy:
        return self._witnesses.policy

    def covering(self, index: int) -> tuple[int, Note]:
        """Size and note of a checkpoint that covers entry `index`, cosigned if witnesses answer."""
        stored = self._store.cosigned() if self._witnesses.asked else None
        if stored is None or stored.size <= index:
            signed = self._log.checkpoint()
            with suppress(QuorumError):
                signed = self.newest()
            note = signed_note.parse(signed)
            size = checkpoint.parse(note.text).size
        else:
            size, note = stored.size, signed_note.parse(stored.note)
        self._named.add(size)
        return size, note

    def stored(self) -> Note | None:
        """The newest checkpoint that the witnesses cosigned, if there is one; asks nobody."""
        stored = self._store.cosigned() if self._witnesses.asked else None
        return None if stored is None else signed_note.parse(stored.note)

    def take_named(self) -> set[int]:
        """The sizes of the checkpoints that left since this was called last."""
        named, self._named = self._named, set()
        return named

    def cosign_proof(self, make: Callable[[], P]) -> P:
        """The proof that `make` returns, with its checkpoint cosigned if the witnesses answer.

        Raises RolledBackError, and the errors of `make`.
        """
        if not self._witnesses.asked:
            return make()
        with suppress(QuorumError):
            self.require_may_sign()
            with self._turn:
                proof = make()
                signed = self._ask(FrozenLog(str(proof.note), self._log))
            return replace(proof, note=signed_note.parse(signed))
        return make()

    def _ask(self, log: Provable) -> str:
        left_out: dict[str, str] = {}
        try:
            signed = self._witnesses.cosigned(log, left_out)
        finally:
            self.left_out = left_out
        self._store.store_cosigned(
            Head(checkpoint.parse(signed_note.parse(signed).text).size, signed)
        )
        if self._history is not None:
            self._history.offer(signed, self._witnesses.now())
        # Crash here: the cosigned checkpoint is stored; the next start asks the witnesses again.
        self._may_sign = True
        return signed

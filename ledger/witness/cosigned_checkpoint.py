"""The newest checkpoint that a log's witnesses have cosigned, kept in the log's database.

A log that has witnesses signs nothing after a start until they agree that nothing of it is missing.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from threading import Lock
from typing import Any, ClassVar, Protocol, TypeVar

from ledger.storage.interface import Head
from ledger.storage.sqlite import SqlLog
from ledger.tlog import checkpoint, signed_note
from ledger.tlog.signed_note import Note
from ledger.tlog.writer import Log
from ledger.witness.client import FrozenLog, Provable, QuorumError, Witnesses


class _Noted(Protocol):
    """A dataclass that carries the checkpoint it was made under."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def note(self) -> Note: ...


P = TypeVar("P", bound=_Noted)


class CosignedCheckpoints:
    """Thread-safe. Without witnesses every checkpoint is as good as cosigned."""

    def __init__(self, log: Log, store: SqlLog, witnesses: Witnesses) -> None:
        self._log = log
        self._store = store
        self._witnesses = witnesses
        self._turn = Lock()  # to ask: a witness never hears of an older checkpoint after a newer
        self._may_sign = not witnesses.asked

    def admit(self) -> None:
        """Return if the log may sign. Raises RolledBackError, QuorumError.

        It waits for nobody's turn, since until it has returned once the log stands still.
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

    def over(self, index: int) -> tuple[int, Note]:
        """Size and note of a checkpoint over entry `index`: cosigned, if the witnesses answer."""
        kept = self._store.cosigned() if self._witnesses.asked else None
        if kept is None or kept.size <= index:
            signed = self._log.checkpoint()
            with suppress(QuorumError):
                signed = self.newest()
            found = signed_note.parse(signed)
            return checkpoint.parse(found.text).size, found
        return kept.size, signed_note.parse(kept.note)

    def shown(self, make: Callable[[], P]) -> P:
        """The proof that `make` returns, its own checkpoint cosigned if the witnesses answer.

        Raises RolledBackError, and what `make` raises.
        """
        if not self._witnesses.asked:
            return make()
        with suppress(QuorumError):
            self.admit()
            with self._turn:
                proof = make()
                signed = self._ask(FrozenLog(str(proof.note), self._log))
            return replace(proof, note=signed_note.parse(signed))
        return make()

    def _ask(self, log: Provable) -> str:
        signed = self._witnesses.cosigned(log)
        self._store.keep_cosigned(
            Head(checkpoint.parse(signed_note.parse(signed).text).size, signed)
        )
        # Crash here: cosigned and kept; the next start asks again.
        self._may_sign = True
        return signed

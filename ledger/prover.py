"""Makes receipts of entries and proofs of customers' latest states, cosigned by witnesses."""

from collections.abc import Sequence
from threading import RLock

from ledger.errors import CorruptLogError, UnknownSubjectError
from ledger.latest_state import LatestStates
from ledger.reader import Reader, RecordedInstruction
from ledger.recorder import Recorder
from ledger.statemap.map_log import StateLog
from ledger.statemap.map_proof import StateProof
from ledger.tlog.signed_note import Note
from ledger.tlog.writer import Log
from ledger.verify import receipt
from ledger.verify.receipt import Receipt, ReceiptError
from ledger.witness.cosigned_checkpoint import CosignedCheckpoints


class Prover:
    """Proves what one ledger recorded. Thread-safe; asks witnesses without holding `lock`."""

    def __init__(
        self,
        log: Log,
        states: StateLog,
        reader: Reader,
        latest: LatestStates,
        recorder: Recorder,
        cosigned: CosignedCheckpoints,
        lock: RLock,
    ) -> None:
        self._log = log
        self._states = states
        self._reader = reader
        self._latest = latest
        self._recorder = recorder
        self._cosigned = cosigned
        self._lock = lock

    def receipt(self, index: int, subject: str | None = None) -> str:
        """See `Ledger.receipt`."""
        size, signed = self._cosigned.covering(index)
        with self._lock:
            cached = self._recorder.remembered(index)
            if isinstance(cached, RecordedInstruction) and subject in {None, cached.event.subject}:
                opening = self._reader.opened(cached)
            else:
                opening = self._reader.opening(index, subject)
            made = Receipt(index, tuple(self._log.prove_inclusion(index, size)), signed, opening)
        try:
            receipt.verify(made, self._log.verifiers)
        except ReceiptError as error:
            raise CorruptLogError(
                f"the stored tiles do not prove entry {index}: {error}; run fsck"
            ) from error
        return str(made)

    def openings(
        self, size: int, history: Sequence[RecordedInstruction]
    ) -> tuple[Note, list[dict[str, object]]]:
        """A checkpoint of `size` entries or more, and the openings of these entries."""
        return self._cosigned.covering(size - 1)[1], self._reader.openings(history)

    def state(self, subject: str) -> StateProof:
        """See `Ledger.state_proof`."""
        return self._states.cosigned.cosign_proof(lambda: self._state(subject))

    def absence(self, subject: str) -> StateProof:
        """See `Ledger.absence_proof`."""
        return self._states.cosigned.cosign_proof(lambda: self._absence(subject))

    def _state(self, subject: str) -> StateProof:
        with self._lock:
            latest = self._latest.of(subject)
            if not latest.seq:
                raise UnknownSubjectError(
                    "this subject has no state to prove: they have given no instruction, or were "
                    "erased"
                )
            return self._states.prove(subject, self._latest.opening_of(latest))

    def _absence(self, subject: str) -> StateProof:
        with self._lock:
            if self._states.value(self._latest.label(subject)) is not None:
                raise UnknownSubjectError(
                    "the map has a value at the subject's label, so absence cannot be proven: ask "
                    "for their state instead; of an erased customer the map keeps the last value"
                )
            return self._states.prove(subject, None)

"""The `Ledger`: the consent log and the vault behind one interface.

It records customers' instructions encrypted, proves them with receipts, and erases them by
destroying keys. Files under the data directory:

home/ledger.sqlite          the consent log, the sealed events, the state log and its map
home/keys, consent.policy   see ledger.keys.log_keys and ledger.vault.vault
"""

from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from threading import RLock

from ledger import bound_logs, clock, entry_erasure, retired_keys
from ledger.errors import (
    CorruptLogError,
    IdempotencyError,
    UnknownSubjectError,
    VersionConflictError,
)
from ledger.events import envelope
from ledger.events.envelope import (
    Act,
    EvidenceClass,
    Instruction,
    KeyRecovered,
    PublicEvent,
    SubjectErased,
    Wording,
)
from ledger.events.instruction_signature import InstructionError, Signature
from ledger.events.reducer import ConsentState
from ledger.integrity import start, witnessed_time
from ledger.keys import log_keys, rotation
from ledger.keys.log_keys import Keys
from ledger.latest_state import LatestStates
from ledger.prover import Prover
from ledger.reader import Reader, RecordedEvent, RecordedInstruction
from ledger.recorder import OnCommit, Recorder
from ledger.sequence_check import resulting_states
from ledger.statemap.map_log import StateLog
from ledger.statemap.map_proof import StateProof
from ledger.storage import database
from ledger.storage.interface import LeaseHeldError
from ledger.storage.log_store import log_store
from ledger.storage.sqlite import LEDGER, SqlStore
from ledger.storage.writer_lock import WriterBusyError
from ledger.tlog import signed_note
from ledger.tlog.merkle import EMPTY_ROOT
from ledger.tlog.signed_note import Note
from ledger.tlog.tiles import WIDTH
from ledger.tlog.writer import Log
from ledger.vault.owners import Erasures
from ledger.vault.pseudonyms import Pseudonyms
from ledger.vault.tombstones import Tombstones
from ledger.vault.vault import Vault
from ledger.witness import own_witnesses
from ledger.witness.client import NO_WITNESSES, Witnesses
from ledger.witness.cosigned_checkpoint import CosignedCheckpoints
from ledger.witness.cosigned_history import CosignedHistory

__all__ = [
    "IdempotencyError",
    "InstructionError",
    "Ledger",
    "RecordedEvent",
    "UnknownSubjectError",
    "VersionConflictError",
]

PUBLISHED = Path("log") / "consent"  # the tile directory, in the data directory


class Ledger(Pseudonyms):
    """The consent log of one data directory. Thread-safe; only one process may write at a time.

    What `record` and `announce` return is durable.
    """

    def __init__(
        self,
        store: SqlStore,
        keys: Vault,
        signers: Keys,
        on_commit: OnCommit = lambda _size: None,
        witnesses: Witnesses = NO_WITNESSES,
        history: CosignedHistory | None = None,
    ) -> None:
        """Raises CorruptLogError if the stored parts do not match each other."""
        self.log = Log(store, signers.consent[0].name, *signers.consent)
        if signers.labels is None:
            raise CorruptLogError(bound_logs.UNBOUND)
        self.states = StateLog(store.state_store(), witnesses, signers.labels, *signers.state)
        self.origin = self.log.origin
        bound_logs.require(self.log, self.states)
        self._store = store
        self._lock = RLock()
        self._witnesses = witnesses
        self._cosigned = CosignedCheckpoints(self.log, store, witnesses, history)
        self._on_commit = on_commit
        self._use(keys)
        self._unannounced: int | None = None  # erasures; None: nobody looked yet
        on_commit(self.log.size)

    @classmethod
    def open(
        cls,
        home: Path,
        *,
        origin: str,
        on_commit: OnCommit = lambda _size: None,
        now: Callable[[], datetime] = clock.now,
    ) -> "Ledger":
        """Open the ledger in the data directory `home`; create it, with new keys, if there is none.

        The process is its writer until `close`: see `SqlStore.take_lease`. `on_commit(size)` is
        called after every commit, before any receipt for it is returned. `now`: the time that the
        witnesses' is compared with. Raises WriterBusyError,
        and CorruptLogError, VaultError or NoteError if the stored parts do not match each other or
        what was published of them: see ledger.integrity.start.
        """
        start.require(home, origin)
        key = home / "keys" / "consent.key"
        if not key.exists() and start.stored_size(home):
            raise CorruptLogError(
                f"there is a log in {home}, but its signing key {key} is missing: restore it"
            )
        store = log_store(database.of(home), LEDGER)
        try:
            try:
                store.take_lease()
            except LeaseHeldError as held:
                raise WriterBusyError(home, held.holder) from held
            return cls._opened(home, store, origin, on_commit, now)
        except BaseException:
            store.close()
            raise

    @classmethod
    def reopen(cls, home: Path, on_commit: OnCommit = lambda _size: None) -> "Ledger":
        """Open the existing ledger in `home` to read it; its first commit makes it the writer.

        Raises CorruptLogError if there is none, and as `open` does.
        """
        origin = cls.origin_in(home)
        start.require(home, origin)
        store = log_store(database.of(home), LEDGER)
        try:
            return cls._opened(home, store, origin, on_commit)
        except BaseException:
            store.close()
            raise

    @classmethod
    def _opened(
        cls,
        home: Path,
        store: SqlStore,
        origin: str,
        on_commit: OnCommit,
        now: Callable[[], datetime] = clock.now,
    ) -> "Ledger":
        try:
            keys = Vault(home / "keys")
        except database.DatabaseError as error:
            raise CorruptLogError(
                f"{error}; if it is damaged, restore the keys from their newest backup"
            ) from error
        try:
            keys.complete_index(store.tags)
            keys.require_tombstones()
            # Crash here: the database has no entries, and there are no keys. The next start goes
            # on: the database is made first, so that keys without one mean that it was lost.
            if not (home / "keys" / "consent.key").exists():
                log_keys.keys(home, origin)
            heads = [each.head() for each in (store, store.state_store())]
            log_keys.end_rotation(home, *(head.note if head else "" for head in heads))
            signers = log_keys.keys(home, origin)
            own_witnesses.ensure(home)
            witnesses = replace(log_keys.witnesses(home), now=now)
            with store.unchanging():  # another process may be writing it
                history = CosignedHistory(home / PUBLISHED)
                made = cls(store, keys, signers, on_commit, witnesses, history)
            rotation.save_receipts(home, made.log, made.receipt)
            retired_keys.limit(home, made.log, made.states.log)
        except BaseException:
            keys.close()
            raise
        return made

    @classmethod
    def origin_in(cls, home: Path) -> str:
        """The name of the ledger in `home`. Raises CorruptLogError if there is none."""
        first = cls.require(home).read_text("utf-8").partition("\n")[0]
        return signed_note.verifier(first).name

    @staticmethod
    def exists(home: Path) -> bool:
        return (home / "keys" / "consent.vkey").exists()

    @classmethod
    def require(cls, home: Path) -> Path:
        """The file that names the ledger under `home`. Raises CorruptLogError if there is none."""
        key = home / "keys" / "consent.vkey"
        if not cls.exists(home):
            raise CorruptLogError(f"no ledger under {home}: {key} is missing")
        return key

    @property
    def size(self) -> int:
        """The number of entries. Gates ask for it at every decision.

        Raises LeaseLostError or LeaseUnconfirmedError if another process may write the log now.
        """
        self._store.require_lease()
        return self.log.size

    def confirm_lease(self) -> None:
        """Make sure that this process is still the writer, if it was. Asks the server, if any.

        Raises LeaseLostError: stop answering, and exit. Raises LeaseUnconfirmedError: answer
        nothing until this returns again. Meanwhile `size`, and so every decision, raises it too.
        """
        self._store.confirm_lease()

    def root(self) -> tuple[int, str]:
        """The current checkpoint's size, and its root in base64."""
        head = self.log.head()
        return head.size, b64encode(head.root).decode()

    def root_at(self, size: int) -> str:
        """The root of the first `size` entries, in base64."""
        return b64encode(self.log.root_at(size)).decode()

    def checkpoint(self) -> str:
        return self.log.checkpoint()

    def cosign(self) -> str:
        """The newest checkpoint, cosigned by the witnesses and stored with their cosignatures.

        Raises RolledBackError, QuorumError.
        """
        return self._cosigned.newest()

    def witnesses(self) -> list[str]:
        """The names of the witnesses that are asked to cosign."""
        return [each.name for each in self._witnesses.asked]

    def ask_witnesses(self, home: Path) -> None:
        """Ask the witnesses that `home/witnesses.policy` names now. Raises LogPolicyError."""
        with self._lock:
            self._witnesses.close()
            self._witnesses = replace(log_keys.witnesses(home), now=self._witnesses.now)
            self._cosigned.ask(self._witnesses)
            self.states.cosigned.ask(self._witnesses)

    def left_out(self) -> Mapping[str, str]:
        """The witnesses that did not cosign the newest checkpoint when asked last, and why."""
        return {**self.states.cosigned.left_out, **self._cosigned.left_out}

    def cosigned_history(self) -> Iterator[Note]:
        """The cosigned checkpoints of the consent log that were published, oldest first.

        Raises OSError, MalformedHistoryError.
        """
        return self._cosigned.published()

    def require_unforked(self) -> None:
        """Ask the witnesses whether they have seen more of either log, or another history.

        Raises RolledBackError, and QuorumError if too few of them answer.
        """
        self._cosigned.require_may_sign()
        self.states.cosigned.require_may_sign()

    def require_owners(self) -> None:
        """Make sure that the key store knows the customers of the newest entries.

        Raises CorruptLogError: an older key store would make its newest customers look erased.
        """
        tags = self._store.sealed_tags(max(self.log.size - WIDTH, 0), self.log.size)
        self._vault.owners_of([*tags.values()])

    def version(self, subject: str) -> int:
        """How many instructions the subject has given: the version of the agreement."""
        with self._lock:
            return self._latest.of(subject).seq

    def draft(  # noqa: PLR0913 - the envelope has that many parts
        self,
        subject: str,
        act: Act,
        *,
        at: datetime,
        wording: Wording,
        evidence: EvidenceClass = EvidenceClass.SESSION,
        expected: int | None = None,
        mandate: bytes | None = None,
        time_uncertain: bool = False,
    ) -> Instruction:
        """Build the subject's next instruction; nothing is recorded.

        `expected`: the version the customer was shown; VersionConflictError is raised if it is not
        the current one. `mandate`: the digest of the `mandate-given` instruction, if another
        person's key will sign. `time_uncertain`: whether `at` is of a clock that is in doubt; one
        that is behind what witnesses saw always is, and the instruction is recorded nevertheless.
        """
        with self._lock:
            current = self._latest.of(subject)
        if expected is not None and expected != current.seq:
            raise VersionConflictError(subject, expected, current.seq)
        return envelope.instruction(
            self.origin,
            subject,
            current.seq,
            current.head,
            act,
            at,
            wording,
            evidence,
            mandate,
            time_uncertain=time_uncertain or witnessed_time.is_behind(self._cosigned, at),
        )

    def record(
        self,
        instructions: Sequence[Instruction],
        *,
        signatures: Sequence[Signature | None] = (),
        idempotency: str | None = None,
    ) -> list[RecordedInstruction]:
        """Record instructions, all or none; durable when it returns.

        `signatures`: one per instruction, None where a login session vouches for it; if omitted,
        all are None. If the key `idempotency` was used for the same instructions before, their
        recorded entries are returned, whatever the signatures are now. Raises
        VersionConflictError, InstructionError (SignatureError, UnauthorisedError),
        UnwitnessedTimeError, and IdempotencyError if the key was used for other instructions.
        """
        encoded = [envelope.encode(each) for each in instructions]
        request = sha256(b"".join(encoded)).digest()
        self._require_waited(instructions)
        with self._lock:
            self._announce_erasures(clock.now())
            if idempotency is not None and (earlier := self._store.idempotent(idempotency)):
                return _again(earlier, request, instructions)
            signers = signatures or [None] * len(encoded)
            dated = [each.at for each in instructions if not each.time_uncertain]
            if dated:
                witnessed_time.require_timely(self._cosigned, min(dated))
            known = self.log.size, self._latest.of
            states = resulting_states(self.origin, instructions, encoded, signers, *known)
            self._vault.create(each.subject for each in instructions)
            self._vault.expect(
                {each: (self._latest.of(each).seq, new.seq) for each, new in states.items()}
            )
            batch = [*zip(instructions, encoded, signers, strict=True)]
            recorded = self._recorder.append(batch, states, idempotency, request)
            self._latest.remember(states)
        return recorded

    def announce(self, events: Sequence[PublicEvent]) -> list[RecordedEvent]:
        """Record public acts of the company, unencrypted; durable when it returns."""
        with self._lock:
            self._announce_erasures(clock.now())
            return self._recorder.announce(events)

    def state(self, subject: str) -> ConsentState | None:
        """The subject's current state, or None if they have given no instruction."""
        with self._lock:
            state = self._latest.of(subject)
        return state if state.seq else None

    def state_proof(self, subject: str) -> StateProof:
        """A proof of the subject's latest state, cosigned like a receipt.

        Raises UnknownSubjectError, CorruptLogError, RolledBackError.
        """
        return self._prover.state(subject)

    def absence_proof(self, subject: str) -> StateProof:
        """A proof that the map has no state of `subject`. Raises UnknownSubjectError if it has."""
        return self._prover.absence(subject)

    def history(self, subject: str) -> list[RecordedInstruction]:
        """The subject's instructions, oldest first. Raises CorruptLogError if one is missing."""
        try:
            return self._reader.history(subject, self.version(subject))
        except CorruptLogError:
            with self._lock:  # an instruction may have come in between; now none does
                return self._reader.history(subject, self.version(subject))

    def follow(self, since: int) -> Iterator[RecordedEvent]:
        """Every event from entry `since` on that can still be decrypted, in log order."""
        with self._lock:
            if (recent := self._recorder.recent(since)) is not None:
                return iter(recent)
            upto = self.log.size
        return self._reader.between(since, upto)

    def announced(self, since: int = 0) -> Iterator[RecordedEvent]:
        """The company's public acts from entry `since` on, in log order. Needs no key."""
        return self._reader.announced(since)

    def receipt(self, index: int, subject: str | None = None) -> str:
        """A receipt (C2SP tlog-proof) of entry `index`, cosigned if configured witnesses answer.

        `subject`: the customer whose entry it is; None tries all. Raises IndexError if there is no
        such entry, KeyError if its event can no longer be decrypted, RolledBackError, and
        CorruptLogError if the stored tiles do not prove it.
        """
        return self._prover.receipt(index, subject)

    def openings(
        self, history: Sequence[RecordedInstruction]
    ) -> tuple[Note, list[dict[str, object]]]:
        """The newest checkpoint, cosigned as in `receipt`, and the openings of these entries.

        An opening is the `extra` part of a receipt: the event, and the tag and salt of its
        commitment.
        """
        return self._prover.openings(self.size, history)

    def reserve_numbers(self, last: int) -> None:
        """See `Vault.reserve_numbers`."""
        self._vault.reserve_numbers(last)

    def create_keys(self, subjects: Sequence[str]) -> int:
        """Create data keys for customers who have none, and return how many. Durable.

        Not for those who were erased: they get a key with their next instruction. Nor for those who
        are in the map of states and have no key: it was lost, and with a new one they would count
        as customers who never decided anything. Instructions and decisions go on meanwhile. Raises
        LeaseLostError, LeaseUnconfirmedError, VaultError.
        """
        self._store.require_lease()
        awaited = self._vault.awaited(subjects)
        return len(self._vault.create(each for each in awaited if not self._has_state(each)))

    def erasures(self, since: int) -> Erasures:
        """Customers who were erased after the first `since` lines of the erasure list."""
        return self._vault.erasures(since)

    def erase(self, subject: str, at: datetime) -> None:
        """Destroy the subject's data key. Proofs stay valid; the contents can never be read again.

        The sealed events stay stored, because removing them would show which belonged together. A
        tombstone stays, so that no import brings back what was given before `at`: `tombstones`.
        """
        with self._lock:
            self._store.require_lease()
            self._announce_erasures(at)
            self._vault.bury(subject, at)
            # Crash here: nothing is erased; only imports of what is older than `at` are refused.
            self._unannounced = int(self._vault.destroy(subject))
            # Crash here: the key is destroyed and the log has no `subject-erased` entry. It is
            # added before the next entry, whoever makes that.
            self._latest.forget(subject)
            self._recorder.forget()
            self._announce_erasures(at)

    def tombstones(self) -> Tombstones:
        """Tell whether and when a customer was erased here. Raises VaultError."""
        with self._lock:
            return self._vault.tombstones()

    def tombstone_secrets(self, subject: str) -> list[bytes]:
        """Secrets for what is stored beyond an erasure, newest last; never empty.

        Only the subject's id and the key of the tombstones give them. Raises VaultError.
        """
        return self._vault.tombstone_secrets(subject)

    def erase_entry(self, subject: str, index: int, at: datetime) -> None:
        """Make one instruction permanently unreadable.

        Raises the errors of `ledger.entry_erasure.erase_entry`.
        """
        with self._lock:
            self._store.require_lease()
            entry_erasure.erase_entry(self._reader, self._latest, self._vault, subject, index)
            # Crash here: the entry is erased but the log has no `entry-erased` entry, and a retry
            # cannot add it, because the entry is no longer found.
            self._latest.forget(subject)
            self._recorder.forget()
            self.announce([envelope.EntryErased(index, _in_seconds(at))])

    def reindex(self) -> None:
        """Rebuild the vault's index of owners. Durable on return."""
        with self._lock:
            self._vault.rebuild_index(self._store.tags)

    def reindex_restored(self) -> None:
        """As `reindex`, after keys of an earlier backup were restored. Durable on return."""
        with self._lock:
            self._vault.rebuild_restored_index(self._store.tags)

    def rotate(self, home: Path, at: datetime) -> None:
        """Replace the signing keys of both logs, recorded in entries that old and new keys sign."""
        with self._lock:
            self._announce_erasures(at)
            rotation.rotate(home, (self.log, self.states.log), self.announce, at)
            rotation.save_receipts(home, self.log, self.receipt)

    def export(self, folder: Path) -> None:
        """Write the public tile directory of the consent log, cosigned if it has witnesses.

        Raises RolledBackError, QuorumError; then the published directory is unchanged.
        """
        self.log.export(folder, self._cosigned.publish(), self._cosigned.take_named())

    def close(self) -> None:
        self._witnesses.close()
        self.log.close()
        self._vault.close()

    def _use(self, keys: Vault) -> None:
        """Read, record and prove with the data keys of this key store."""
        self._vault = keys
        self._reader = Reader(self.log, self._store, keys)
        self._latest = LatestStates(self._reader, keys, self.states)
        parts = self.log, self.states
        self._recorder = Recorder(*parts, keys, self._latest, self._cosigned, self._on_commit)
        self._prover = Prover(
            *parts, self._reader, self._latest, self._recorder, self._cosigned, self._lock
        )

    def _require_waited(self, instructions: Sequence[Instruction]) -> None:
        """Ask the witnesses about the waits that these instructions end, without the lock."""
        for each in instructions:
            if isinstance(each.act, KeyRecovered):
                with self._lock:
                    pending = self._latest.of(each.subject).authority.recovery
                if pending is not None:
                    witnessed_time.require_waited(self._cosigned, pending.index)

    def _has_state(self, subject: str) -> bool:
        if self.states.newest().map == EMPTY_ROOT:  # as at a first start, with everybody to come
            return False
        label = self._latest.label(subject)
        with self._lock:
            return self.states.value(label) is not None

    def _announce_erasures(self, at: datetime) -> None:
        """Announce whoever was erased just before a crash, ahead of any other entry.

        A customer who comes back begins a second history, and the log must say so before it does.
        """
        if self._unannounced is None:
            destroyed = self._vault.destroyed()
            known = self._reader.erasures() if destroyed else 0
            self._unannounced = max(0, destroyed - known)
        if self._unannounced:
            self._recorder.announce([SubjectErased(_in_seconds(at))] * self._unannounced)
            self._unannounced = 0


def _in_seconds(at: datetime) -> datetime:
    return at.astimezone(UTC).replace(microsecond=0)


def _again(
    earlier: tuple[bytes, int], request: bytes, instructions: Sequence[Instruction]
) -> list[RecordedInstruction]:
    digest, first = earlier
    if digest != request:
        raise IdempotencyError(
            "the idempotency key was already used for other instructions: use a new key"
        )
    return [RecordedInstruction(first + at, each) for at, each in enumerate(instructions)]

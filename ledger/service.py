"""The `Ledger`: the consent log and the vault behind one interface.

It records customers' instructions encrypted, proves them with receipts, and erases them by
destroying keys. Files under the data directory:

home/ledger.sqlite          the consent log, the sealed events, the state log and its map
home/keys, consent.policy   see ledger.keys.log_keys and ledger.vault.vault
"""

from base64 import b64encode
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256
from itertools import islice
from pathlib import Path
from threading import RLock
from typing import TypeVar

from ledger import entry_erasure
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
    PublicEvent,
    SubjectErased,
    Wording,
)
from ledger.events.instruction_signature import InstructionError, Signature
from ledger.events.reducer import ConsentState
from ledger.events.sealed_entry import payload
from ledger.integrity import start
from ledger.keys import log_keys, rotation
from ledger.keys.log_keys import Keys
from ledger.latest_state import CustomerState, LatestStates
from ledger.reader import Reader, RecordedEvent, RecordedInstruction
from ledger.sequence_check import resulting_states
from ledger.statemap.map_log import StateLog
from ledger.statemap.map_proof import StateProof
from ledger.statemap.verifiable_map import Label, Value
from ledger.storage.sqlite import SqlStore
from ledger.tlog import signed_note
from ledger.tlog.signed_note import Note
from ledger.tlog.writer import NOTHING, Log, Sealed
from ledger.vault import commitments, vault
from ledger.vault.commitments import ReadLogTags
from ledger.vault.owners import Erasures
from ledger.vault.tombstones import Tombstones
from ledger.vault.vault import Vault
from ledger.verify import receipt
from ledger.verify.receipt import Receipt, ReceiptError
from ledger.witness.client import NO_WITNESSES, Witnesses
from ledger.witness.cosigned_checkpoint import CosignedCheckpoints

__all__ = [
    "IdempotencyError",
    "InstructionError",
    "Ledger",
    "RecordedEvent",
    "UnknownSubjectError",
    "VersionConflictError",
]
TAIL = 65_536  # newest decrypted events in memory, for followers that are nearly up to date

OnCommit = Callable[[int], None]
_Event = TypeVar("_Event", bound=RecordedEvent)


class Ledger:
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
    ) -> None:
        """Raises CorruptLogError if the stored parts do not match each other."""
        self.log = Log(store, signers.consent[0].name, *signers.consent)
        self.states = StateLog(store.state_store(), witnesses, *signers.state)
        self.origin = self.log.origin
        self._store = store
        self._vault = keys
        self._reader = Reader(self.log, store, keys)
        self._latest = LatestStates(self._reader, keys, self.states)
        self._lock = RLock()
        self._tail: deque[RecordedEvent] = deque(maxlen=TAIL)
        self._tail_from = self.log.size
        self._on_commit = on_commit
        self._cosigned = CosignedCheckpoints(self.log, store, witnesses)
        self._require_same_size()
        on_commit(self.log.size)

    @classmethod
    def open(cls, home: Path, *, origin: str, on_commit: OnCommit = lambda _size: None) -> "Ledger":
        """Open the ledger in the data directory `home`; create it, with new keys, if there is none.

        `on_commit(size)` is called after every commit, before any receipt for it is returned.
        Raises CorruptLogError, VaultError or NoteError if the stored parts do not match each other
        or what was published of them: see ledger.integrity.start.
        """
        start.require(home, origin)
        database, key = home / start.DATABASE, home / "keys" / "consent.key"
        if not key.exists() and start.stored_size(home):
            raise CorruptLogError(
                f"{database} exists, but its signing key {key} is missing: restore it"
            )
        keys = Vault(home / "keys")
        store = SqlStore(database)
        keys.complete_index(store.tags)
        store.state_store()
        # Crash here: the database has no entries, and there are no keys. The next start goes on:
        # the database is made first, so that keys without one mean that it was lost.
        if not key.exists():
            log_keys.keys(home, origin)
        heads = [each.head() for each in (store, store.state_store())]
        log_keys.end_rotation(home, *(head.note if head else "" for head in heads))
        signers = log_keys.keys(home, origin)
        made = cls(store, keys, signers, on_commit, log_keys.witnesses(home))
        rotation.save_receipts(home, made.log, made.receipt)
        return made

    @classmethod
    def reopen(cls, home: Path, on_commit: OnCommit = lambda _size: None) -> "Ledger":
        """Open the existing ledger in `home`. Raises CorruptLogError if there is none."""
        key = cls.require(home)
        first = key.read_text("utf-8").partition("\n")[0]
        return cls.open(home, origin=signed_note.verifier(first).name, on_commit=on_commit)

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
        return self.log.size

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

    def require_unforked(self) -> None:
        """Ask the witnesses whether they have seen more of either log, or another history.

        Raises RolledBackError, and QuorumError if too few of them answer.
        """
        self._cosigned.require_may_sign()
        self.states.cosigned.require_may_sign()

    def subjects(self) -> list[str]:
        """The ids of all customers who have a data key."""
        return [subject for subject, _ in self._vault.data_keys()]

    def version(self, subject: str) -> int:
        """How many instructions the subject has given: the version of the agreement."""
        with self._lock:
            return self._latest.of(subject).state.seq

    def draft(
        self,
        subject: str,
        act: Act,
        *,
        at: datetime,
        wording: Wording,
        evidence: EvidenceClass = EvidenceClass.SESSION,
        expected: int | None = None,
        mandate: bytes | None = None,
    ) -> Instruction:
        """Build the subject's next instruction; nothing is recorded.

        `expected`: the version the customer was shown; VersionConflictError is raised if it is not
        the current one. `mandate`: the digest of the `mandate-given` instruction, if another
        person's key will sign.
        """
        with self._lock:
            current = self._latest.of(subject).state
        if expected is not None and expected != current.seq:
            raise VersionConflictError(subject, expected, current.seq)
        return envelope.instruction(
            self.origin, subject, current.seq, current.head, act, at, wording, evidence, mandate
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
        VersionConflictError, InstructionError (SignatureError, UnauthorisedError), and
        IdempotencyError if the key was used for other instructions.
        """
        encoded = [envelope.encode(each) for each in instructions]
        request = sha256(b"".join(encoded)).digest()
        with self._lock:
            if idempotency is not None and (earlier := self._store.idempotent(idempotency)):
                return self._again(earlier, request, instructions)
            signers = signatures or [None] * len(encoded)
            known = self.log.size, self._latest.of
            states = resulting_states(self.origin, instructions, encoded, signers, *known)
            self._vault.create(each.subject for each in instructions)
            self._vault.expect(
                {
                    each: (self._latest.of(each).state.seq, new.state.seq)
                    for each, new in states.items()
                }
            )
            batch = [*zip(instructions, encoded, signers, strict=True)]
            recorded = self._append(batch, states, idempotency, request)
            self._latest.remember(states)
        return recorded

    def announce(self, events: Sequence[PublicEvent]) -> list[RecordedEvent]:
        """Record public acts of the company, unencrypted; durable when it returns."""
        entries = [commitments.public_entry(envelope.encode(each)) for each in events]
        with self._lock:
            if not entries:
                return []
            indexes = self._commit(entries)
            return self._remember(
                [RecordedEvent(*each) for each in zip(indexes, events, strict=True)]
            )

    def state(self, subject: str) -> ConsentState | None:
        """The subject's current state, or None if they have given no instruction."""
        with self._lock:
            state = self._latest.of(subject).state
        return state if state.seq else None

    def state_proof(self, subject: str) -> StateProof:
        """A proof of the subject's latest state, cosigned like a receipt.

        Raises UnknownSubjectError, CorruptLogError, RolledBackError.
        """
        return self.states.cosigned.cosign_proof(lambda: self._state_proof(subject))

    def absence_proof(self, label: Label) -> StateProof:
        """A proof that the map has no value at `label`. Raises UnknownSubjectError if it has."""
        return self.states.cosigned.cosign_proof(lambda: self._absence_proof(label))

    def history(self, subject: str) -> list[RecordedInstruction]:
        """The subject's instructions, oldest first. Raises CorruptLogError if one is missing."""
        return self._reader.history(subject, self.version(subject))

    def follow(self, since: int) -> Iterator[RecordedEvent]:
        """Every event from entry `since` on that can still be decrypted, in log order."""
        with self._lock:
            if since >= self._tail_from:
                newest = islice(reversed(self._tail), max(self.log.size - since, 0))
                return iter([*newest][::-1])
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
        size, signed = self._cosigned.covering(index)
        with self._lock:
            recent = range(self._tail_from, self.log.size)
            cached = self._tail[index - self.log.size] if index in recent else None
            if isinstance(cached, RecordedInstruction) and subject in {None, cached.event.subject}:
                opening = self._reader.opened(cached)
            else:
                opening = self._reader.opening(index, subject)
            made = Receipt(index, tuple(self.log.prove_inclusion(index, size)), signed, opening)
        try:
            receipt.verify(made, self.log.verifiers)
        except ReceiptError as error:
            raise CorruptLogError(
                f"the stored tiles do not prove entry {index}: {error}; run fsck"
            ) from error
        return str(made)

    def openings(
        self, history: Sequence[RecordedInstruction]
    ) -> tuple[Note, list[dict[str, object]]]:
        """The newest checkpoint, cosigned as in `receipt`, and the openings of these entries.

        An opening is the `extra` part of a receipt: the event, and the tag and salt of its
        commitment.
        """
        return self._cosigned.covering(self.size - 1)[1], self._reader.openings(history)

    def read_log_tag(self, subject: str, log_origin: str, index: int) -> bytes:
        """The subject's pseudonym in one entry of a read log; random if they have no data key."""
        if (key := self._vault.key(subject)) is None:
            return commitments.random_tag()
        return commitments.read_log_tag(key, log_origin, index)

    def read_log_tags(self, subject: str, log_origin: str) -> ReadLogTags | None:
        """Computes the subject's pseudonyms in one read log; None if they have no data key."""
        return self._vault.read_log_tags(subject, log_origin)

    def erasures(self, since: int) -> Erasures:
        """Customers who were erased after the first `since` lines of the erasure list."""
        return self._vault.erasures(since)

    def erase(self, subject: str, at: datetime) -> None:
        """Destroy the subject's data key. Proofs stay valid; the contents can never be read again.

        The sealed events stay stored, because removing them would show which belonged together. A
        tombstone stays, so that no import brings back what was given before `at`: `tombstones`.
        """
        with self._lock:
            self._vault.bury(subject, at)
            # Crash here: nothing is erased; only imports of what is older than `at` are refused.
            self._vault.destroy(subject)
            # Crash here: the key is destroyed and the log has no `subject-erased` entry. Calling
            # erase again adds it.
            self._forget(subject, SubjectErased, at)

    def tombstones(self) -> Tombstones:
        """Tell whether and when a customer was erased here. Raises VaultError."""
        with self._lock:
            return self._vault.tombstones()

    def erase_entry(self, subject: str, index: int, at: datetime) -> None:
        """Make one instruction permanently unreadable.

        Raises the errors of `ledger.entry_erasure.erase_entry`.
        """
        with self._lock:
            entry_erasure.erase_entry(self._reader, self._latest, self._vault, subject, index)
            # Crash here: the entry is erased but the log has no `entry-erased` entry, and a retry
            # cannot add it, because the entry is no longer found.
            self._forget(subject, partial(envelope.EntryErased, index), at)

    def reindex(self) -> None:
        """Rebuild the vault's index of owners. Durable on return."""
        with self._lock:
            self._vault.rebuild_index(self._store.tags)

    def rotate(self, home: Path, at: datetime) -> None:
        """Replace the signing keys of both logs, recorded in entries that old and new keys sign."""
        with self._lock:
            rotation.rotate(home, (self.log, self.states.log), self.announce, at)
            rotation.save_receipts(home, self.log, self.receipt)

    def export(self, folder: Path) -> None:
        """Write the public tile directory of the consent log, cosigned if it has witnesses.

        Raises RolledBackError, QuorumError; then the published directory is unchanged.
        """
        self.log.export(folder, self.cosign())

    def close(self) -> None:
        self.log.close()
        self._vault.close()

    def _state_proof(self, subject: str) -> StateProof:
        with self._lock:
            latest = self._latest.of(subject)
            if not latest.label:
                raise UnknownSubjectError(
                    "this subject has no state to prove: they have given no instruction, or were "
                    "erased"
                )
            return self.states.prove(latest.label, self._latest.opening_of(latest))

    def _absence_proof(self, label: Label) -> StateProof:
        with self._lock:
            if self.states.value(label) is not None:
                raise UnknownSubjectError(
                    "the map has a value at this label, so absence cannot be proven: ask for the "
                    "subject's state instead"
                )
            return self.states.prove(label, None)

    def _append(
        self,
        batch: Sequence[tuple[Instruction, bytes, Signature | None]],
        states: Mapping[str, CustomerState],
        idempotency: str | None,
        request: bytes,
    ) -> list[RecordedInstruction]:
        if not batch:
            return []
        first = self.log.size
        entries: list[bytes] = []
        sealed: dict[bytes, tuple[int, bytes]] = {}
        for index, (each, data, signature) in enumerate(batch, first):
            derived = commitments.secrets(self._key(each.subject), each.seq)
            entry = commitments.personal_entry(derived.opening, data)
            entries.append(entry)
            closed = vault.seal(derived, payload(data, signature), entry)
            sealed[derived.opening.tag] = (index, closed)
        idempotency_row = {idempotency: (request, first)} if idempotency is not None else {}
        values = {each.label: self._latest.opening_of(each).value for each in states.values()}
        indexes = self._commit(entries, sealed, idempotency_row, values)
        return self._remember(
            [
                RecordedInstruction(i, each, signature_used)
                for i, (each, _, signature_used) in zip(indexes, batch, strict=True)
            ]
        )

    def _commit(
        self,
        entries: Sequence[bytes],
        sealed: Sealed = NOTHING,
        idempotency: Mapping[str, tuple[bytes, int]] = NOTHING,
        values: Mapping[Label, Value] = NOTHING,
    ) -> range:
        """Commit entries together with the map values that follow from them, in one transaction."""
        self._cosigned.require_may_sign()
        self.states.cosigned.require_may_sign()
        staged = self.log.stage(entries, sealed=sealed, idempotency=idempotency)
        update = self.states.stage(staged.batch.head.size, staged.root, values)
        indexes = self.log.commit(staged, update.batch)
        self.states.settle(update)
        return indexes

    def _forget(self, subject: str, act: Callable[[datetime], PublicEvent], at: datetime) -> None:
        self._latest.forget(subject)
        self._tail.clear()
        self._tail_from = self.log.size
        self.announce([act(at.astimezone(UTC).replace(microsecond=0))])

    def _again(
        self,
        earlier: tuple[bytes, int],
        request: bytes,
        instructions: Sequence[Instruction],
    ) -> list[RecordedInstruction]:
        digest, first = earlier
        if digest != request:
            raise IdempotencyError(
                "the idempotency key was already used for other instructions: use a new key"
            )
        return [RecordedInstruction(first + at, each) for at, each in enumerate(instructions)]

    def _remember(self, recorded: list[_Event]) -> list[_Event]:
        self._on_commit(self.log.size)
        # Crash before the line above: committed, but `on_commit` was not called. The next start
        # calls it.
        self._tail.extend(recorded)
        if len(self._tail) == TAIL:
            self._tail_from = self._tail[0].index
        return recorded

    def _require_same_size(self) -> None:
        """The state log's newest entry names this log's size and root. Raises CorruptLogError."""
        newest, head = self.states.newest(), self.log.head()
        if (newest.size, newest.root) != (head.size, head.root):
            raise CorruptLogError(
                f"the state log's newest entry is for {newest.size} entries with root "
                f"{newest.root.hex()}, the consent log has {head.size} with root "
                f"{head.root.hex()}: restore both from the same backup"
            )

    def _key(self, subject: str) -> bytes:
        if (key := self._vault.key(subject)) is None:
            raise CorruptLogError("a customer's data key disappeared while sealing their event")
        return key

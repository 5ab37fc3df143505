"""The consent log and the vault as one thing: what customers said, sealed, provable, erasable.

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
from ledger.keys import log_keys, rotation
from ledger.keys.log_keys import Keys
from ledger.latest_state import CustomerState, LatestStates
from ledger.reader import Reader, RecordedEvent, RecordedInstruction
from ledger.sequence_check import chained
from ledger.statemap.map_log import StateLog
from ledger.statemap.map_proof import StateProof
from ledger.statemap.verifiable_map import Label, Value
from ledger.storage.sqlite import SqlStore
from ledger.tlog import signed_note
from ledger.tlog.signed_note import Note
from ledger.tlog.writer import NOTHING, Log, Sealed
from ledger.vault import commitments, vault
from ledger.vault.commitments import ReadingTags
from ledger.vault.vault import Vault
from ledger.verify import receipt
from ledger.verify.receipt import Receipt, ReceiptError
from ledger.witness.client import NOBODY, Witnesses
from ledger.witness.cosigned_checkpoint import CosignedCheckpoints

__all__ = [
    "IdempotencyError",
    "InstructionError",
    "Ledger",
    "RecordedEvent",
    "UnknownSubjectError",
    "VersionConflictError",
]
TAIL = 65_536  # entries kept open in memory for those who follow closely

Moved = Callable[[int], None]
_Event = TypeVar("_Event", bound=RecordedEvent)


class Ledger:
    """Thread-safe; one process per home writes. What `record` returned is durable."""

    def __init__(
        self,
        store: SqlStore,
        keys: Vault,
        signers: Keys,
        moved: Moved = lambda _size: None,
        witnesses: Witnesses = NOBODY,
    ) -> None:
        """Raises CorruptLogError if what is stored does not fit together."""
        self.log = Log(store, signers.consent[0].name, *signers.consent)
        self.states = StateLog(store.beside(), witnesses, *signers.state)
        self.origin = self.log.origin
        self._store = store
        self._vault = keys
        self._reader = Reader(self.log, store, keys)
        self._latest = LatestStates(self._reader, keys, self.states)
        self._lock = RLock()
        self._tail: deque[RecordedEvent] = deque(maxlen=TAIL)
        self._tail_from = self.log.size
        self._moved = moved
        self._cosigned = CosignedCheckpoints(self.log, store, witnesses)
        self._require_abreast()
        moved(self.log.size)

    @classmethod
    def open(cls, home: Path, *, origin: str, moved: Moved = lambda _size: None) -> "Ledger":
        """Open the ledger under `home`, or begin it there with fresh keys.

        `moved` is told the size after every commit and before anybody has a receipt for it.
        Raises CorruptLogError, VaultError or NoteError if what is there does not fit together.
        """
        database, key = home / "ledger.sqlite", home / "keys" / "consent.key"
        if database.exists() and not key.exists():
            raise CorruptLogError(
                f"{database} exists, but {key} that signs it does not: restore it"
            )
        keys = Vault(home / "keys")
        if not key.exists():
            log_keys.keys(home, origin)  # before the database: a log that exists has its keys
        store = SqlStore(database)
        heads = [each.head() for each in (store, store.beside())]
        log_keys.end_rotation(home, *(head.note if head else "" for head in heads))
        signers = log_keys.keys(home, origin)
        made = cls(store, keys, signers, moved, log_keys.witnesses(home))
        rotation.keep(home, made.log, made.receipt)
        return made

    @classmethod
    def reopen(cls, home: Path, moved: Moved = lambda _size: None) -> "Ledger":
        """Open the ledger that lies under `home`. Raises CorruptLogError if there is none."""
        key = cls.require(home)
        first = key.read_text("utf-8").partition("\n")[0]
        return cls.open(home, origin=signed_note.verifier(first).name, moved=moved)

    @staticmethod
    def require(home: Path) -> Path:
        """The file that names the ledger under `home`. Raises CorruptLogError if there is none."""
        key = home / "keys" / "consent.vkey"
        if not key.exists():
            raise CorruptLogError(f"no ledger under {home}: {key} is missing")
        return key

    @property
    def size(self) -> int:
        return self.log.size

    def root(self) -> tuple[int, str]:
        """Size and base64 root of the current checkpoint."""
        head = self.log.head()
        return head.size, b64encode(head.root).decode()

    def root_at(self, size: int) -> str:
        """Base64 root of the first `size` entries."""
        return b64encode(self.log.root_at(size)).decode()

    def checkpoint(self) -> str:
        return self.log.checkpoint()

    def cosign(self) -> str:
        """Have the newest checkpoint cosigned and kept so. Raises RolledBackError, QuorumError."""
        return self._cosigned.newest()

    def subjects(self) -> list[str]:
        """Everybody who has a data key."""
        return [subject for subject, _ in self._vault.everybody()]

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
        """The subject's next instruction. `mandate`: digest of what lets somebody else sign it.

        Raises VersionConflictError if the customer was shown another version than `expected`.
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
        """Record instructions, all or nothing; durable when it returns.

        `signatures`: one for each instruction, None for a session's; left out, all are a session's.
        Raises VersionConflictError, InstructionError (SignatureError, UnauthorisedError), and
        IdempotencyError when `idempotency` was used for other instructions; the same ones are
        answered with what was recorded then, whatever they are signed with now.
        """
        encoded = [envelope.encode(each) for each in instructions]
        request = sha256(b"".join(encoded)).digest()
        with self._lock:
            if idempotency is not None and (found := self._store.idempotent(idempotency)):
                return self._again(found, request, instructions)
            hands = signatures or [None] * len(encoded)
            known = self.log.size, self._latest.of
            held = chained(self.origin, instructions, encoded, hands, *known)
            self._vault.create(each.subject for each in instructions)
            said = [*zip(instructions, encoded, hands, strict=True)]
            recorded = self._append(said, held, idempotency, request)
            self._latest.keep(held)
        return recorded

    def announce(self, events: Sequence[PublicEvent]) -> list[RecordedEvent]:
        """Record the company's public acts, in clear; durable when it returns."""
        entries = [commitments.public_entry(envelope.encode(each)) for each in events]
        with self._lock:
            if not entries:
                return []
            indexes = self._commit(entries)
            return self._remember(
                [RecordedEvent(*each) for each in zip(indexes, events, strict=True)]
            )

    def state(self, subject: str) -> ConsentState | None:
        """What the subject has in force; None if nothing was ever said."""
        with self._lock:
            held = self._latest.of(subject).state
        return held if held.seq else None

    def state_proof(self, subject: str) -> StateProof:
        """That this is the subject's latest state, cosigned like a receipt.

        Raises UnknownSubjectError, CorruptLogError, RolledBackError.
        """
        return self.states.cosigned.shown(lambda: self._state_proof(subject))

    def absence_proof(self, label: Label) -> StateProof:
        """That nothing is at the label. Raises UnknownSubjectError if something is."""
        return self.states.cosigned.shown(lambda: self._absence_proof(label))

    def history(self, subject: str) -> list[RecordedInstruction]:
        """Everything the subject said, oldest first. Raises CorruptLogError if some is missing."""
        return self._reader.history(subject, self.version(subject))

    def follow(self, since: int) -> Iterator[RecordedEvent]:
        """Every event that still opens from entry `since` on, in log order."""
        with self._lock:
            if since >= self._tail_from:
                newest = islice(reversed(self._tail), max(self.log.size - since, 0))
                return iter([*newest][::-1])
            upto = self.log.size
        return self._reader.between(since, upto)

    def announced(self, since: int = 0) -> Iterator[RecordedEvent]:
        """The public acts from entry `since` on, in log order. No key is needed."""
        return self._reader.announced(since)

    def receipt(self, index: int, subject: str | None = None) -> str:
        """A C2SP tlog-proof of entry `index`, cosigned if there are witnesses and they answer.

        Raises IndexError if there is no such entry, KeyError if its event no longer opens,
        RolledBackError, and CorruptLogError if the stored tiles do not prove it.
        """
        size, signed = self._cosigned.over(index)
        with self._lock:
            recent = range(self._tail_from, self.log.size)
            said = self._tail[index - self.log.size] if index in recent else None
            if isinstance(said, RecordedInstruction) and subject in {None, said.event.subject}:
                shown = self._reader.opened(said)
            else:
                shown = self._reader.opening(index, subject)
            made = Receipt(index, tuple(self.log.prove_inclusion(index, size)), signed, shown)
        try:
            receipt.verify(made, self.log.verifiers)
        except ReceiptError as error:
            raise CorruptLogError(f"entry {index} does not prove: {error}; run fsck") from error
        return str(made)

    def openings(
        self, history: Sequence[RecordedInstruction]
    ) -> tuple[Note, list[dict[str, object]]]:
        """The newest checkpoint, cosigned as in `receipt`, and what opens all these entries."""
        return self._cosigned.over(self.size - 1)[1], self._reader.openings(history)

    def reading_tag(self, subject: str, log_origin: str, index: int) -> bytes:
        """The subject's name in one entry of a read log. Without a data key: a random one."""
        if (key := self._vault.key(subject)) is None:
            return commitments.random_tag()
        return commitments.reading_tag(key, log_origin, index)

    def reading_tags(self, subject: str, log_origin: str) -> ReadingTags | None:
        """The subject's names in a read log, many at once. Without a data key: None."""
        return self._vault.reading_tags(subject, log_origin)

    def erase(self, subject: str, at: datetime) -> None:
        """Destroy the subject's key. The proofs survive, the contents do not.

        The sealed bytes stay: nobody can open them, and gaps would tell which belonged together.
        """
        with self._lock:
            self._vault.destroy(subject)
            # Crash here: erased, and the log does not say so yet; erase again to have it said.
            self._forget(subject, SubjectErased, at)

    def erase_entry(self, subject: str, index: int, at: datetime) -> None:
        """Make one instruction unreadable for ever. Raises as `ledger.entry_erasure.entry` does."""
        with self._lock:
            entry_erasure.entry(self._reader, self._latest, self._vault, subject, index)
            # Crash here: as above, but it is not found again to be said.
            self._forget(subject, partial(envelope.EntryErased, index), at)

    def rotate(self, home: Path, at: datetime) -> None:
        """Put new signing keys in force in both logs. Entries that old and new sign say so."""
        with self._lock:
            rotation.rotate(home, (self.log, self.states.log), self.announce, at)
            rotation.keep(home, self.log, self.receipt)

    def export(self, folder: Path) -> None:
        """Write the public tile directory of the consent log, cosigned if it has witnesses.

        Raises RolledBackError, QuorumError: then what was published before stands.
        """
        self.log.export(folder, self.cosign())

    def close(self) -> None:
        self.log.close()
        self._vault.close()

    def _state_proof(self, subject: str) -> StateProof:
        with self._lock:
            held = self._latest.of(subject)
            if not held.label:
                raise UnknownSubjectError("nothing can be shown of this subject: no instruction")
            return self.states.prove(held.label, self._latest.shown(held))

    def _absence_proof(self, label: Label) -> StateProof:
        with self._lock:
            if self.states.value(label) is not None:
                raise UnknownSubjectError("something is at this label: ask for its subject's state")
            return self.states.prove(label, None)

    def _append(
        self,
        said: Sequence[tuple[Instruction, bytes, Signature | None]],
        held: Mapping[str, CustomerState],
        idempotency: str | None,
        request: bytes,
    ) -> list[RecordedInstruction]:
        if not said:
            return []
        first = self.log.size
        entries: list[bytes] = []
        sealed: dict[bytes, tuple[int, bytes]] = {}
        for index, (each, data, signature) in enumerate(said, first):
            derived = commitments.secrets(self._key(each.subject), each.seq)
            entry = commitments.personal_entry(derived.opening, data)
            entries.append(entry)
            closed = vault.seal(derived, payload(data, signature), entry)
            sealed[derived.opening.tag] = (index, closed)
        kept = {idempotency: (request, first)} if idempotency is not None else {}
        values = {each.label: self._latest.shown(each).value for each in held.values()}
        indexes = self._commit(entries, sealed, kept, values)
        return self._remember(
            [
                RecordedInstruction(i, each, hand)
                for i, (each, _, hand) in zip(indexes, said, strict=True)
            ]
        )

    def _commit(
        self,
        entries: Sequence[bytes],
        sealed: Sealed = NOTHING,
        idempotency: Mapping[str, tuple[bytes, int]] = NOTHING,
        values: Mapping[Label, Value] = NOTHING,
    ) -> range:
        """Entries, and the map that follows from them, in one transaction."""
        self._cosigned.admit()
        self.states.cosigned.admit()
        staged = self.log.stage(entries, sealed=sealed, idempotency=idempotency)
        moved = self.states.stage(staged.batch.head.size, staged.root, values)
        indexes = self.log.commit(staged, moved.batch)
        self.states.settle(moved)
        return indexes

    def _forget(self, subject: str, act: Callable[[datetime], PublicEvent], at: datetime) -> None:
        self._latest.forget(subject)
        self._tail.clear()
        self._tail_from = self.log.size
        self.announce([act(at.astimezone(UTC).replace(microsecond=0))])

    def _again(
        self,
        found: tuple[bytes, int],
        request: bytes,
        instructions: Sequence[Instruction],
    ) -> list[RecordedInstruction]:
        digest, first = found
        if digest != request:
            raise IdempotencyError("the idempotency key was used for other instructions")
        return [RecordedInstruction(first + at, each) for at, each in enumerate(instructions)]

    def _remember(self, recorded: list[_Event]) -> list[_Event]:
        self._moved(self.log.size)
        # Crash before the line above: committed, and nobody was told. The next start tells.
        self._tail.extend(recorded)
        if len(self._tail) == TAIL:
            self._tail_from = self._tail[0].index
        return recorded

    def _require_abreast(self) -> None:
        """The state log's newest entry is of exactly this log. Raises CorruptLogError."""
        newest, head = self.states.newest(), self.log.head()
        if (newest.size, newest.root) != (head.size, head.root):
            raise CorruptLogError(
                f"the state log stands at {newest.size} entries, the consent log at {head.size}: "
                "restore both from one backup"
            )

    def _key(self, subject: str) -> bytes:
        if (key := self._vault.key(subject)) is None:
            raise CorruptLogError("a data key vanished while its event was being sealed")
        return key

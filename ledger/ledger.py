"""The consent log and the vault as one thing: what customers said, sealed, provable, erasable.

home/ledger.sqlite          the consent log and the sealed events
home/keys, consent.policy   see ledger.keyring and ledger.vault
"""

from base64 import b64encode
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from itertools import islice
from pathlib import Path
from threading import RLock

from ledger import commitment, consent, event, keyring, note, receipt, vault
from ledger.commitment import PERSONAL, PERSONAL_SIZE, TAG_SIZE
from ledger.consent import ConsentState
from ledger.entry import opened, public
from ledger.event import Act, Evidence, Instruction, KeyRotated, PublicEvent, SubjectErased, Wording
from ledger.log import CorruptLogError, Log
from ledger.receipt import Receipt, ReceiptError
from ledger.stores.sql import SqlStore
from ledger.vault import Vault

TAIL = 65_536  # entries kept open in memory for those who follow closely
CHUNK = 4096  # entries opened at once when following from further back


Moved = Callable[[int], None]


class VersionConflictError(Exception):
    """The instruction was written for another version of the agreement. Nothing was recorded.

    Show the customer what is in force at version `current`, and ask again.
    """

    def __init__(self, subject: str, wanted: int, current: int) -> None:
        super().__init__(f"the agreement is at version {current}, the instruction wants {wanted}")
        self.subject, self.wanted, self.current = subject, wanted, current


class InstructionError(ValueError):
    """The instruction is not one for this log, or its chain is broken. Nothing was recorded."""


class IdempotencyError(Exception):
    """The key was used for another request. Nothing was recorded; use a fresh key."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """An event and its place in the log."""

    index: int
    event: Instruction | PublicEvent


@dataclass(frozen=True, slots=True)
class _Version:
    seq: int
    head: bytes


class Ledger:
    """Thread-safe; one process per home writes. What `record` returned is durable."""

    def __init__(self, log: Log, keys: Vault, moved: Moved = lambda _size: None) -> None:
        self.log = log
        self.origin = log.origin
        self._store: SqlStore = log.store
        self._vault = keys
        self._lock = RLock()
        self._versions: dict[str, _Version] = {}
        self._tail: deque[Recorded] = deque(maxlen=TAIL)
        self._tail_from = log.size
        self._moved = moved
        moved(log.size)

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
            keyring.signers(home, origin)  # before the database: a log that exists has its keys
        store = SqlStore(database)
        head = store.head()
        keyring.end_rotation(home, head.note if head else "")
        return cls(Log(store, origin, *keyring.signers(home, origin)), keys, moved)

    @classmethod
    def reopen(cls, home: Path) -> "Ledger":
        """Open the ledger that lies under `home`. Raises CorruptLogError if there is none."""
        key = home / "keys" / "consent.vkey"
        if not key.exists():
            raise CorruptLogError(f"no ledger under {home}: {key} is missing")
        first = key.read_text("utf-8").partition("\n")[0]
        return cls.open(home, origin=note.verifier(first).name)

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

    def subjects(self) -> list[str]:
        """Everybody who has a data key."""
        return [subject for subject, _ in self._vault.everybody()]

    def version(self, subject: str) -> int:
        """How many instructions the subject has given: the version of the agreement."""
        with self._lock:
            return self._version(subject).seq

    def draft(
        self,
        subject: str,
        act: Act,
        *,
        at: datetime,
        wording: Wording,
        evidence: Evidence = Evidence.SESSION,
        expected: int | None = None,
    ) -> Instruction:
        """The subject's next instruction. `expected`: the version that the customer was shown.

        Raises VersionConflictError if the agreement has moved on since.
        """
        with self._lock:
            current = self._version(subject)
        if expected is not None and expected != current.seq:
            raise VersionConflictError(subject, expected, current.seq)
        return event.instruction(
            self.origin, subject, current.seq, current.head, act, at, wording, evidence
        )

    def record(
        self, instructions: Sequence[Instruction], *, idempotency: str | None = None
    ) -> list[Recorded]:
        """Record instructions, all or nothing; durable when it returns.

        Raises VersionConflictError, InstructionError, and IdempotencyError when `idempotency` was
        used for other instructions; the same ones are answered with what was recorded then.
        """
        encoded = [event.encode(each) for each in instructions]
        request = sha256(b"".join(encoded)).digest()
        with self._lock:
            if idempotency is not None and (found := self._store.idempotent(idempotency)):
                return self._again(found, request, instructions)
            versions = self._chained(instructions, encoded)
            self._vault.create(each.subject for each in instructions)
            recorded = self._append(instructions, encoded, idempotency, request)
            self._versions |= versions
        return recorded

    def announce(self, events: Sequence[PublicEvent]) -> list[Recorded]:
        """Record the company's public acts, in clear; durable when it returns."""
        entries = [commitment.public_entry(event.encode(each)) for each in events]
        with self._lock:
            return self._remember(self.log.append(entries), events)

    def state(self, subject: str) -> ConsentState | None:
        """What the subject has in force; None if nothing was ever said."""
        state: ConsentState | None = None
        for each in self.history(subject):
            assert isinstance(each.event, Instruction)  # noqa: S101 - a history holds nothing else
            state = consent.apply(state, each.event, each.index)
        return state

    def history(self, subject: str) -> list[Recorded]:
        """Everything the subject said, oldest first."""
        if (key := self._vault.key(subject)) is None:
            return []
        return [self._open(key, seq) for seq in range(1, self.version(subject) + 1)]

    def follow(self, since: int) -> Iterator[Recorded]:
        """Every event that still opens from entry `since` on, in log order."""
        with self._lock:
            if since >= self._tail_from:
                newest = islice(reversed(self._tail), max(self.log.size - since, 0))
                return iter([*newest][::-1])
            upto = self.log.size
        return self._replay(since, upto)

    def announced(self, since: int = 0) -> Iterator[Recorded]:
        """The public acts from entry `since` on, in log order. No key is needed."""
        for index, entry in enumerate(self.log.entries(since, self.log.size), since):
            if entry[:1] != PERSONAL:
                yield Recorded(index, public(entry))

    def receipt(self, index: int, subject: str | None = None) -> str:
        """A C2SP tlog-proof of entry `index` under the current checkpoint.

        Raises IndexError if there is no such entry, KeyError if its event no longer opens, and
        CorruptLogError if the stored tiles do not prove it.
        """
        with self._lock:
            signed = note.parse(self.log.checkpoint())
            (entry,) = self.log.entries(index, index + 1)
            proof = tuple(self.log.prove_inclusion(index))
            made = Receipt(index, proof, signed, self._extra(index, entry, subject))
        try:
            receipt.verify(made, self.log.verifiers)
        except ReceiptError as error:
            raise CorruptLogError(f"entry {index} does not prove: {error}; run fsck") from error
        return str(made)

    def reading_tag(self, subject: str, log_origin: str, index: int) -> bytes:
        """The subject's name in one entry of a read log. Without a data key: a random one."""
        if (key := self._vault.key(subject)) is None:
            return commitment.random_tag()
        return commitment.reading_tag(key, log_origin, index)

    def erase(self, subject: str, at: datetime) -> None:
        """Destroy the subject's key. The proofs survive, the contents do not.

        The sealed bytes stay where they are: nobody can open them, and gaps where they were would
        tell which entries belonged together.
        """
        with self._lock:
            self._vault.destroy(subject)
            # Crash here: erased, and the log does not say so yet; erase again to have it said.
            self._versions.pop(subject, None)
            self._tail.clear()
            self._tail_from = self.log.size
            self.announce([SubjectErased(at.astimezone(UTC).replace(microsecond=0))])

    def rotate(self, home: Path, at: datetime) -> None:
        """Put new signing keys in force. The entry that says so is signed by the old and the new.

        Crash anywhere: at the next start the old ones are in force, or the new ones.
        """
        with self._lock:
            newer = keyring.begin_rotation(home, self.origin)
            named = tuple(str(each.verifier) for each in newer)
            at = at.astimezone(UTC).replace(microsecond=0)
            self.log.sign_with(*keyring.signers(home, self.origin), *newer)
            self.announce([KeyRotated(self.origin, named, at)])
            # Crash here: the next keys have signed the log, so the next start puts them in force.
            keyring.end_rotation(home, self.log.checkpoint())
            self.log.sign_with(*newer)

    def export(self, folder: Path) -> None:
        """Write the public tile directory."""
        self.log.export(folder)

    def close(self) -> None:
        self.log.close()
        self._vault.close()

    def _version(self, subject: str) -> _Version:
        """Found by galloping over tags: no table says who said how much."""
        if (known := self._versions.get(subject)) is not None:
            return known
        version = _Version(0, event.FIRST)
        if (key := self._vault.key(subject)) is not None:
            seq = self._last(key)
            if seq:
                last = self._open(key, seq).event
                version = _Version(seq, event.digest(last))
        self._versions[subject] = version
        return version

    def _last(self, key: bytes) -> int:
        """The largest seq whose tag is in the store: gallop, then bisect."""
        high = 1
        while self._store.has_tag(commitment.tag(key, high)):
            high *= 2
        low = high // 2
        while high - low > 1:
            middle = (low + high) // 2
            if self._store.has_tag(commitment.tag(key, middle)):
                low = middle
            else:
                high = middle
        return low

    def _chained(
        self, instructions: Sequence[Instruction], encoded: Sequence[bytes]
    ) -> dict[str, _Version]:
        """The versions after these instructions. Raises if one does not follow."""
        versions: dict[str, _Version] = {}
        for each, data in zip(instructions, encoded, strict=True):
            current = versions.get(each.subject) or self._version(each.subject)
            if each.origin != self.origin:
                raise InstructionError(f"for the log {each.origin!r}, want {self.origin!r}")
            if each.seq != current.seq + 1:
                raise VersionConflictError(each.subject, each.seq - 1, current.seq)
            if each.prev != current.head:
                raise InstructionError("its predecessor is not the instruction before it")
            versions[each.subject] = _Version(each.seq, sha256(data).digest())
        return versions

    def _append(
        self,
        instructions: Sequence[Instruction],
        encoded: Sequence[bytes],
        idempotency: str | None,
        request: bytes,
    ) -> list[Recorded]:
        first = self.log.size
        entries: list[bytes] = []
        sealed: dict[bytes, tuple[int, bytes]] = {}
        for index, (each, data) in enumerate(zip(instructions, encoded, strict=True), first):
            derived = commitment.secrets(self._key(each.subject), each.seq)
            entry = commitment.personal_entry(derived.opening, data)
            entries.append(entry)
            sealed[derived.opening.tag] = (index, vault.seal(derived, data, entry))
        kept = {idempotency: (request, first, len(entries))} if idempotency is not None else {}
        added = self.log.append(entries, sealed=sealed, idempotency=kept)
        return self._remember(added, instructions)

    def _again(
        self,
        found: tuple[bytes, int, int],
        request: bytes,
        instructions: Sequence[Instruction],
    ) -> list[Recorded]:
        digest, first, _ = found
        if digest != request:
            raise IdempotencyError("the idempotency key was used for other instructions")
        return [Recorded(first + at, each) for at, each in enumerate(instructions)]

    def _remember(
        self, indexes: range, events: Sequence[Instruction] | Sequence[PublicEvent]
    ) -> list[Recorded]:
        recorded = [Recorded(i, each) for i, each in zip(indexes, events, strict=True)]
        self._moved(self.log.size)
        # Crash before the line above: committed, and nobody was told. The next start tells.
        self._tail.extend(recorded)
        if len(self._tail) == TAIL:
            self._tail_from = self._tail[0].index
        return recorded

    def _key(self, subject: str) -> bytes:
        if (key := self._vault.key(subject)) is None:
            raise CorruptLogError("a data key vanished while its event was being sealed")
        return key

    def _open(self, key: bytes, seq: int) -> Recorded:
        """The customer's event number `seq`, checked against its leaf."""
        derived = commitment.secrets(key, seq)
        if (found := self._store.sealed(derived.opening.tag)) is None:
            raise CorruptLogError(f"event {seq} of a customer is missing from the store")
        index, sealed = found
        (entry,) = self.log.entries(index, index + 1)
        return Recorded(index, opened(derived, sealed, entry))

    def _replay(self, since: int, upto: int) -> Iterator[Recorded]:
        owners = self._owners()
        for lo in range(since, upto, CHUNK):
            hi = min(lo + CHUNK, upto)
            sealed = self._store.sealed_between(lo, hi)
            for index, entry in enumerate(self.log.entries(lo, hi), lo):
                if entry[:1] != PERSONAL:
                    yield Recorded(index, public(entry))
                elif (owner := owners.get(entry[1 : 1 + TAG_SIZE])) and index in sealed:
                    derived = commitment.secrets(*owner)
                    yield Recorded(index, opened(derived, sealed[index], entry))

    def _owners(self) -> dict[bytes, tuple[bytes, int]]:
        """Tag -> (data key, seq), for every sealed event whose key still exists."""
        tags = self._store.tags()
        owners: dict[bytes, tuple[bytes, int]] = {}
        for _, key in self._vault.everybody():
            seq = 1
            while (tag := commitment.tag(key, seq)) in tags:
                owners[tag] = (key, seq)
                seq += 1
        return owners

    def _extra(self, index: int, entry: bytes, subject: str | None) -> dict[str, object]:
        among = self.follow(index) if subject is None else self.history(subject)
        found = next((each for each in among if each.index == index), None)
        if found is None:
            raise KeyError(f"entry {index} no longer opens; its customer was erased")
        shown: dict[str, object] = {"event": commitment.parse(event.encode(found.event))}
        if len(entry) == PERSONAL_SIZE and entry[:1] == PERSONAL:
            assert isinstance(found.event, Instruction)  # noqa: S101 - that is what personal means
            derived = commitment.secrets(self._key(found.event.subject), found.event.seq)
            opening = derived.opening
            shown |= {"salt": opening.salt.hex(), "tag": opening.tag.hex()}
        return shown

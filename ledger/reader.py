"""Read customers' events: decrypt them with their keys and check them against their leaves.

A customer's events are found by the tags that are derived from their data key, one after the other;
the customer of an entry by the vault's index of owners.
"""

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from threading import Lock
from typing import Any, Protocol

from ledger.errors import CorruptLogError
from ledger.events import envelope, instruction_signature
from ledger.events.envelope import (
    Instruction,
    KeyEnrolled,
    KeyReplaced,
    MandateGiven,
    PublicEvent,
    RecoveryRequested,
    SubjectErased,
)
from ledger.events.instruction_signature import InstructionSigner, Signature
from ledger.events.sealed_entry import opened, public
from ledger.storage.sqlite import SqlStore
from ledger.tlog.tiles import WIDTH
from ledger.vault import commitments
from ledger.vault.commitments import PERSONAL, PERSONAL_SIZE, TAG_SIZE, Secrets
from ledger.vault.owners import Owner
from ledger.vault.vault import Vault

CHUNK = 4096  # entries decrypted per batch when a follower is far behind
_NAMING = (KeyEnrolled, KeyReplaced, RecoveryRequested, MandateGiven)  # acts that bring a key
_ERASES = b'"subject-erased"'  # in the JSON of such an act
FIRST_QUERY = 16  # events of a customer in the first query; each further query doubles it


@dataclass(frozen=True, slots=True)
class RecordedEvent:
    """An event and its place in the log."""

    index: int
    event: Instruction | PublicEvent


@dataclass(frozen=True, slots=True)
class RecordedInstruction(RecordedEvent):
    """A customer's instruction, its place in the log, and its signature, if it was signed."""

    event: Instruction
    signature: Signature | None = None


class EntrySource(Protocol):
    """The entries of the consent log, written by this process or by another one."""

    @property
    def size(self) -> int: ...

    def entries(self, lo: int, hi: int) -> Iterator[bytes]:
        """The entries [lo, hi). Raises CorruptLogError."""
        ...


class Reader:
    """Reads and decrypts events with the customers' data keys. Thread-safe."""

    def __init__(self, log: EntrySource, store: SqlStore, keys: Vault) -> None:
        self._log = log
        self._store = store
        self._vault = keys
        self._looking = Lock()
        self._looked = 0  # entries that were searched for public ones; `_places` has their indexes
        self._places = array("Q")

    def history(self, subject: str, upto: int | None = None) -> list[RecordedInstruction]:
        """The subject's instructions, oldest first.

        `upto`: how many there must be, erased ones included; None accepts any number. Raises
        CorruptLogError, VaultError.
        """
        if (key := self._vault.key(subject)) is None:
            return []
        events = self._history(key)
        expected = len(commitments.unerased(key, upto or 0))
        if upto is not None and len(events) != expected:
            raise CorruptLogError(
                f"{len(events)} events of a customer are in the store, want {expected}; run fsck"
            )
        return events

    def _history(self, key: bytes) -> list[RecordedInstruction]:
        sealed_events = list(self._sealed(key))
        entries = entries_at(self._log, [index for _, (index, _) in sealed_events])
        return [
            RecordedInstruction(index, *opened(derived, sealed, entry))
            for (derived, (index, sealed)), entry in zip(sealed_events, entries, strict=True)
        ]

    def announced(self, since: int) -> Iterator[RecordedEvent]:
        """The company's public acts from entry `since` on, in log order. Needs no key.

        Their indexes are cached, which is safe because the log only grows.
        """
        places = self._public_places()
        for start in range(bisect_left(places, since), len(places), WIDTH):
            indexes = places[start : start + WIDTH]
            for index, entry in zip(indexes, entries_at(self._log, indexes), strict=True):
                yield RecordedEvent(index, public(entry))

    def erasures(self) -> int:
        """How many customers were erased, by the company's public acts."""
        places, count = self._public_places(), 0
        for start in range(0, len(places), WIDTH):
            for entry in entries_at(self._log, places[start : start + WIDTH]):
                if _ERASES in entry:  # decodes few of them
                    count += isinstance(public(entry), SubjectErased)
        return count

    def _public_places(self) -> Sequence[int]:
        """Indexes of all public entries of the log at its current size."""
        with self._looking:
            size = self._log.size
            full = range(-(-self._looked // WIDTH), size // WIDTH)
            self._look(min(full.start * WIDTH, size))
            for number, bundle in self._store.bundles(full.start, full.stop):
                if number * WIDTH != self._looked:
                    raise CorruptLogError(f"entry bundle {self._looked // WIDTH} is missing")
                if only_personal(bundle):
                    self._looked += WIDTH
                else:
                    self._look(self._looked + WIDTH)
            self._look(size)
            return self._places[:]

    def _look(self, upto: int) -> None:
        """Search the entries up to `upto` one by one."""
        entries = enumerate(self._log.entries(self._looked, upto), self._looked)
        self._places.extend([index for index, entry in entries if entry[:1] != PERSONAL])
        self._looked = max(self._looked, upto)

    def between(self, since: int, upto: int) -> Iterator[RecordedEvent]:
        """Every event of [since, upto) that can still be decrypted, in log order.

        Raises CorruptLogError if an event is missing although its customer is not erased.
        """
        for lo in range(since, upto, CHUNK):
            hi = min(lo + CHUNK, upto)
            entries = [*self._log.entries(lo, hi)]
            yield from decrypted(lo, entries, self._store.sealed_between(lo, hi), self._vault)

    def opening(self, index: int, subject: str | None) -> dict[str, object]:
        """The opening of entry `index`, as receipts carry it.

        It has the event; for a personal entry also tag and salt; for a signed one the signature
        and the signer's key. With `subject` None it may be anybody's. Raises KeyError if the entry
        can no longer be decrypted.
        """
        (entry,) = self._log.entries(index, index + 1)
        if entry[:1] != PERSONAL:
            return {"event": commitments.parse(envelope.encode_stored(public(entry)))}
        tag = entry[1 : 1 + TAG_SIZE]
        owner = self._vault.owners_of([tag])[tag]
        key = self._vault.key(owner.subject) if owner.subject is not None else None
        if key is None or subject not in {None, owner.subject}:
            raise KeyError(f"entry {index} can no longer be decrypted: its customer was erased")
        derived = commitments.secrets(key, owner.seq)
        sealed = _present(self._store.sealed_between(index, index + 1), index)
        return self._shown(key, derived, *opened(derived, sealed, entry))

    def opened(self, recorded: RecordedInstruction) -> dict[str, object]:
        """As `opening`, for an instruction that is in memory. Raises KeyError if it was erased."""
        if (key := self._vault.key(recorded.event.subject)) is None:
            raise KeyError(
                f"entry {recorded.index} can no longer be decrypted: its customer was erased"
            )
        derived = commitments.secrets(key, recorded.event.seq)
        return self._shown(key, derived, recorded.event, recorded.signature)

    def openings(self, history: Sequence[RecordedInstruction]) -> list[dict[str, object]]:
        """As `opening`, for all instructions of one customer. Raises KeyError if one is erased."""
        signers = _signers(history)
        openings = []
        for recorded in history:
            if (key := self._vault.key(recorded.event.subject)) is None:
                raise KeyError(
                    f"entry {recorded.index} can no longer be decrypted: its customer was erased"
                )
            opening = _opening(commitments.secrets(key, recorded.event.seq), recorded.event)
            openings.append(opening | _signed(recorded.signature, signers))
        return openings

    def _shown(
        self, key: bytes, derived: Secrets, instruction: Instruction, signature: Signature | None
    ) -> dict[str, object]:
        signers = {} if signature is None else _signers(self._history(key))
        return _opening(derived, instruction) | _signed(signature, signers)

    def _sealed(self, key: bytes) -> Iterator[tuple[Secrets, tuple[int, bytes]]]:
        """The customer's sealed events and the secrets that open them, oldest first.

        The number of events per query doubles, so that few queries are enough. Raises
        CorruptLogError if an event is missing and a later one is there.
        """
        first, wanted, missing = 1, FIRST_QUERY, 0
        while not missing:
            numbers = commitments.unerased(key, first + wanted - 1)
            some = {seq: commitments.secrets(key, seq) for seq in numbers if seq >= first}
            places = self._store.sealed_of([each.opening.tag for each in some.values()])
            for seq, each in some.items():
                if (place := places.get(each.opening.tag)) is None:
                    missing = missing or seq
                elif missing:
                    raise CorruptLogError(f"event {missing} of a customer is missing; run fsck")
                else:
                    yield each, place
            first, wanted = first + wanted, min(2 * wanted, CHUNK)


def decrypted(
    lo: int, entries: Sequence[bytes], sealed: Mapping[int, bytes], keys: Vault
) -> Iterator[RecordedEvent]:
    """The events of these entries, the first of which has index `lo`, that are not erased.

    Raises CorruptLogError if an event is missing although its customer is not erased.
    """
    owners = keys.owners_of([each[1 : 1 + TAG_SIZE] for each in entries if each[:1] == PERSONAL])
    for index, entry in enumerate(entries, lo):
        if entry[:1] != PERSONAL:
            yield RecordedEvent(index, public(entry))
            continue
        tag = entry[1 : 1 + TAG_SIZE]
        if (derived := _derived(keys, owners[tag], tag)) is not None:
            yield RecordedInstruction(index, *opened(derived, _present(sealed, index), entry))


def _derived(keys: Vault, owner: Owner, tag: bytes) -> Secrets | None:
    """The secrets of a customer's event; None if it was erased, perhaps just now."""
    if owner.subject is None or (key := keys.key(owner.subject)) is None:
        return None
    if commitments.tag(key, owner.seq) != tag:
        # Another process replaced the key that is cached here.
        key = keys.reloaded(owner.subject)
        if key is None or commitments.tag(key, owner.seq) != tag:
            return None
    return commitments.secrets(key, owner.seq)


def only_personal(bundle: bytes) -> bool:
    """Whether a complete bundle has personal entries only, which are all of one size."""
    size = PERSONAL_SIZE + 2
    lengths = bundle[::size], bundle[1::size]
    return (
        len(bundle) == WIDTH * size
        and lengths == (bytes(WIDTH), bytes([PERSONAL_SIZE]) * WIDTH)
        and bundle[2::size] == PERSONAL * WIDTH
    )


def entries_at(log: EntrySource, indexes: Sequence[int]) -> list[bytes]:
    """The entries at the ascending `indexes`. Entries of one bundle are read together."""
    selected: list[bytes] = []
    for number, together in groupby(indexes, key=lambda index: index // WIDTH):
        places = [*together]
        lo = number * WIDTH
        entries = [*log.entries(lo, max(places) + 1)]
        selected += [entries[index - lo] for index in places]
    return selected


def _opening(derived: Secrets, instruction: Instruction) -> dict[str, object]:
    salt, tag = derived.opening.salt.hex(), derived.opening.tag.hex()
    return {"event": _json(instruction), "salt": salt, "tag": tag}


def _signers(history: Iterable[RecordedInstruction]) -> dict[bytes, dict[str, Any]]:
    """Every key that a customer's history names, by its id, in the form that receipts use."""
    acts = (each.event.act for each in history)
    keys = (act.key for act in acts if isinstance(act, _NAMING))
    return {key.id: InstructionSigner.of(key.key).members() for key in keys}


def _signed(
    signature: Signature | None, signers: Mapping[bytes, dict[str, Any]]
) -> dict[str, object]:
    """The members "signature" and "signer" of an opening; empty for an unsigned instruction."""
    if signature is None:
        return {}
    if (signer := signers.get(signature.key)) is None:
        raise CorruptLogError(
            f"an instruction is signed by the key {signature.key.hex()[:16]}, which the customer's "
            "history does not contain; run fsck"
        )
    return {"signature": instruction_signature.members(signature), "signer": signer}


def _json(instruction: Instruction) -> dict[str, Any]:
    members: dict[str, Any] = commitments.parse(envelope.encode_stored(instruction))
    return members


def _present(sealed: Mapping[int, bytes], index: int) -> bytes:
    if (data := sealed.get(index)) is None:
        raise CorruptLogError(f"the event of entry {index} is missing from the store; run fsck")
    return data

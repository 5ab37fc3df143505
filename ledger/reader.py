"""Read customers' events back: opened with their keys, checked against their leaves.

No table says who said how much, or which entries belong together: a customer's events are found
by the tags that their data key yields, one after the other.
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
)
from ledger.events.instruction_signature import InstructionSigner, Signature
from ledger.events.sealed_entry import opened, public
from ledger.storage.sqlite import SqlStore
from ledger.tlog.tiles import WIDTH
from ledger.vault import commitments
from ledger.vault.commitments import PERSONAL, TAG_SIZE, Secrets
from ledger.vault.vault import Vault

CHUNK = 4096  # entries opened at once when following from far back
_NAMING = (KeyEnrolled, KeyReplaced, RecoveryRequested, MandateGiven)  # acts that bring a key
FIRST_LOOK = 16  # events of a customer looked for at once; then twice as many


@dataclass(frozen=True, slots=True)
class RecordedEvent:
    """An event and its place in the log."""

    index: int
    event: Instruction | PublicEvent


@dataclass(frozen=True, slots=True)
class RecordedInstruction(RecordedEvent):
    """A customer's instruction, its place in the log, and what it was signed with, if it was."""

    event: Instruction
    signature: Signature | None = None


class EntrySource(Protocol):
    """Entries of the consent log, in this process or as another process committed them."""

    @property
    def size(self) -> int: ...

    def entries(self, lo: int, hi: int) -> Iterator[bytes]:
        """The entries [lo, hi). Raises CorruptLogError."""
        ...


class Reader:
    """Reads events for those who hold the customers' keys. Thread-safe."""

    def __init__(self, log: EntrySource, store: SqlStore, keys: Vault) -> None:
        self._log = log
        self._store = store
        self._vault = keys
        self._looking = Lock()
        self._looked = 0  # entries of the log so far, of which the public ones are known
        self._places = array("Q")

    def history(self, subject: str, upto: int | None = None) -> list[RecordedInstruction]:
        """What the subject said, oldest first: so many instructions, or all that are there.

        Raises CorruptLogError, VaultError.
        """
        if (key := self._vault.key(subject)) is None:
            return []
        found = self._history(key)
        want = len(commitments.existing(key, upto or 0))
        if upto is not None and len(found) != want:
            raise CorruptLogError(
                f"{len(found)} events of a customer are in the store, want {want}; run fsck"
            )
        return found

    def _history(self, key: bytes) -> list[RecordedInstruction]:
        found = list(self._sealed(key))
        entries = entries_at(self._log, [index for _, (index, _) in found])
        return [
            RecordedInstruction(index, *opened(derived, sealed, entry))
            for (derived, (index, sealed)), entry in zip(found, entries, strict=True)
        ]

    def announced(self, since: int) -> Iterator[RecordedEvent]:
        """The public acts from entry `since` on, in log order. No key is needed.

        Which entries these are is looked up once, for the log only grows.
        """
        places = self._public_places()
        for start in range(bisect_left(places, since), len(places), WIDTH):
            indexes = places[start : start + WIDTH]
            for index, entry in zip(indexes, entries_at(self._log, indexes), strict=True):
                yield RecordedEvent(index, public(entry))

    def _public_places(self) -> Sequence[int]:
        """Indexes of all public entries of the log as it is now."""
        with self._looking:
            size = self._log.size
            entries = enumerate(self._log.entries(self._looked, size), self._looked)
            self._places.extend([index for index, entry in entries if entry[:1] != PERSONAL])
            self._looked = size
            return self._places[:]

    def between(self, since: int, upto: int) -> Iterator[RecordedEvent]:
        """Every event of [since, upto) that still opens, in log order.

        Raises CorruptLogError for an event that is missing though its customer is not erased.
        """
        owners = self._owners()
        for lo in range(since, upto, CHUNK):
            hi = min(lo + CHUNK, upto)
            sealed = self._store.sealed_between(lo, hi)
            for index, entry in enumerate(self._log.entries(lo, hi), lo):
                if entry[:1] != PERSONAL:
                    yield RecordedEvent(index, public(entry))
                elif owner := owners.get(entry[1 : 1 + TAG_SIZE]):
                    derived = commitments.secrets(*owner)
                    yield RecordedInstruction(
                        index, *opened(derived, _present(sealed, index), entry)
                    )

    def opening(self, index: int, subject: str | None) -> dict[str, object]:
        """What opens entry `index`: the event; of a personal one also tag and salt, and of a
        signed one the signature and its signer's key.

        Without a subject every customer is tried. Raises KeyError if it does not open any more.
        """
        (entry,) = self._log.entries(index, index + 1)
        if entry[:1] != PERSONAL:
            return {"event": commitments.parse(envelope.encode(public(entry)))}
        names = [subject] if subject is not None else [name for name, _ in self._vault.everybody()]
        tag = entry[1 : 1 + TAG_SIZE]
        for key in filter(None, map(self._vault.key, names)):
            for derived, (_, sealed) in self._sealed(key):
                if derived.opening.tag == tag:
                    return self._shown(key, derived, *opened(derived, sealed, entry))
        raise KeyError(f"entry {index} no longer opens; its customer was erased")

    def opened(self, said: RecordedInstruction) -> dict[str, object]:
        """As `opening`, of what is known already. Raises KeyError if the customer was erased."""
        if (key := self._vault.key(said.event.subject)) is None:
            raise KeyError(f"entry {said.index} no longer opens; its customer was erased")
        derived = commitments.secrets(key, said.event.seq)
        return self._shown(key, derived, said.event, said.signature)

    def openings(self, history: Sequence[RecordedInstruction]) -> list[dict[str, object]]:
        """As `opening`, of everything a customer said. Raises KeyError likewise."""
        signers = _signers(history)
        found = []
        for said in history:
            if (key := self._vault.key(said.event.subject)) is None:
                raise KeyError(f"entry {said.index} no longer opens; its customer was erased")
            shown = _opening(commitments.secrets(key, said.event.seq), said.event)
            found.append(shown | _signed(said.signature, signers))
        return found

    def _shown(
        self, key: bytes, derived: Secrets, said: Instruction, signature: Signature | None
    ) -> dict[str, object]:
        signers = {} if signature is None else _signers(self._history(key))
        return _opening(derived, said) | _signed(signature, signers)

    def _sealed(self, key: bytes) -> Iterator[tuple[Secrets, tuple[int, bytes]]]:
        """The customer's sealed events with what opens them, in the order they were said.

        Looked for in ever larger numbers, so that few queries find many. Raises CorruptLogError
        for one that is missing before others.
        """
        first, wanted, missing = 1, FIRST_LOOK, 0
        while not missing:
            numbers = commitments.existing(key, first + wanted - 1)
            some = {seq: commitments.secrets(key, seq) for seq in numbers if seq >= first}
            found = self._store.sealed_of([each.opening.tag for each in some.values()])
            for seq, each in some.items():
                if (place := found.get(each.opening.tag)) is None:
                    missing = missing or seq
                elif missing:
                    raise CorruptLogError(f"event {missing} of a customer is missing; run fsck")
                else:
                    yield each, place
            first, wanted = first + wanted, min(2 * wanted, CHUNK)

    def _owners(self) -> dict[bytes, tuple[bytes, int]]:
        """Tag -> (data key, seq), for all events of whoever still has a key, and the next one."""
        tags = self._store.tags()
        owners: dict[bytes, tuple[bytes, int]] = {}
        for _, key in self._vault.everybody():
            seq = commitments.following(key, 0)
            while (tag := commitments.tag(key, seq)) in tags:
                owners[tag] = (key, seq)
                seq = commitments.following(key, seq)
            owners[tag] = (key, seq)
        return owners


def entries_at(log: EntrySource, indexes: Sequence[int]) -> list[bytes]:
    """The entries at ascending `indexes`; neighbours in one bundle are read together."""
    found: list[bytes] = []
    for number, together in groupby(indexes, key=lambda index: index // WIDTH):
        places = [*together]
        lo = number * WIDTH
        entries = [*log.entries(lo, max(places) + 1)]
        found += [entries[index - lo] for index in places]
    return found


def _opening(derived: Secrets, said: Instruction) -> dict[str, object]:
    salt, tag = derived.opening.salt.hex(), derived.opening.tag.hex()
    return {"event": _json(said), "salt": salt, "tag": tag}


def _signers(history: Iterable[RecordedInstruction]) -> dict[bytes, dict[str, Any]]:
    """Every key that a customer's history names, by its id, as receipts tell it."""
    acts = (each.event.act for each in history)
    keys = (act.key for act in acts if isinstance(act, _NAMING))
    return {key.id: InstructionSigner.of(key.key).members() for key in keys}


def _signed(
    signature: Signature | None, signers: Mapping[bytes, dict[str, Any]]
) -> dict[str, object]:
    """The signature, and the key that made it if the customer's own history names it."""
    if signature is None:
        return {}
    if (signer := signers.get(signature.key)) is None:
        raise CorruptLogError("signed by a key that the customer's history lacks; run fsck")
    return {"signature": instruction_signature.members(signature), "signer": signer}


def _json(said: Instruction) -> dict[str, Any]:
    found: dict[str, Any] = commitments.parse(envelope.encode(said))
    return found


def _present(sealed: Mapping[int, bytes], index: int) -> bytes:
    if (found := sealed.get(index)) is None:
        raise CorruptLogError(f"the event of entry {index} is missing from the store; run fsck")
    return found

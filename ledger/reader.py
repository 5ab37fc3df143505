"""Read customers' events back: opened with their keys, checked against their leaves.

No table says who said how much, or which entries belong together: a customer's events are found
by the tags that their data key yields, one after the other.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ledger import commitment, event
from ledger.commitment import PERSONAL, TAG_SIZE
from ledger.entry import opened, public
from ledger.event import Instruction, PublicEvent
from ledger.log import CorruptLogError, Log
from ledger.stores.sql import SqlStore
from ledger.vault import Vault

CHUNK = 4096  # entries opened at once when following from far back


@dataclass(frozen=True, slots=True)
class Recorded:
    """An event and its place in the log."""

    index: int
    event: Instruction | PublicEvent


@dataclass(frozen=True, slots=True)
class Said(Recorded):
    """A customer's instruction and its place in the log."""

    event: Instruction


class Reader:
    """What the consent log says to those who hold the keys. Thread-safe."""

    def __init__(self, log: Log, store: SqlStore, keys: Vault) -> None:
        self._log = log
        self._store = store
        self._vault = keys

    def history(self, subject: str, upto: int | None = None) -> list[Said]:
        """What the subject said, oldest first: so many instructions, or all that are there.

        Raises CorruptLogError, VaultError.
        """
        if (key := self._vault.key(subject)) is None:
            return []
        last = self._last(key) if upto is None else upto
        return [self._open(key, seq) for seq in range(1, last + 1)]

    def announced(self, since: int) -> Iterator[Recorded]:
        """The public acts from entry `since` on, in log order. No key is needed."""
        for index, entry in enumerate(self._log.entries(since, self._log.size), since):
            if entry[:1] != PERSONAL:
                yield Recorded(index, public(entry))

    def between(self, since: int, upto: int) -> Iterator[Recorded]:
        """Every event of [since, upto) that still opens, in log order.

        Raises CorruptLogError for an event that is missing though its customer is not erased.
        """
        owners = self._owners()
        for lo in range(since, upto, CHUNK):
            hi = min(lo + CHUNK, upto)
            sealed = self._store.sealed_between(lo, hi)
            for index, entry in enumerate(self._log.entries(lo, hi), lo):
                if entry[:1] != PERSONAL:
                    yield Recorded(index, public(entry))
                elif owner := owners.get(entry[1 : 1 + TAG_SIZE]):
                    derived = commitment.secrets(*owner)
                    yield Said(index, opened(derived, _present(sealed, index), entry))

    def opening(self, index: int, subject: str | None) -> dict[str, object]:
        """What opens entry `index`: the event and, of a personal one, tag and salt.

        Without a subject every customer is tried. Raises KeyError if it does not open any more.
        """
        (entry,) = self._log.entries(index, index + 1)
        if entry[:1] != PERSONAL:
            return {"event": commitment.parse(event.encode(public(entry)))}
        names = [subject] if subject is not None else [name for name, _ in self._vault.everybody()]
        for name in names:
            if (key := self._vault.key(name)) and (seq := self._seq(key, entry)):
                said, opening = self._open(key, seq), commitment.secrets(key, seq).opening
                shown = {"salt": opening.salt.hex(), "tag": opening.tag.hex()}
                return {"event": commitment.parse(event.encode(said.event)), **shown}
        raise KeyError(f"entry {index} no longer opens; its customer was erased")

    def _seq(self, key: bytes, entry: bytes) -> int | None:
        """Which event of this customer the entry is, if it is one."""
        tag, last = entry[1 : 1 + TAG_SIZE], self._last(key)
        return next((seq for seq in range(1, last + 1) if commitment.tag(key, seq) == tag), None)

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

    def _open(self, key: bytes, seq: int) -> Said:
        """The customer's event number `seq`, checked against its leaf."""
        derived = commitment.secrets(key, seq)
        if (found := self._store.sealed(derived.opening.tag)) is None:
            raise CorruptLogError(f"event {seq} of a customer is missing from the store")
        index, sealed = found
        (entry,) = self._log.entries(index, index + 1)
        return Said(index, opened(derived, sealed, entry))

    def _owners(self) -> dict[bytes, tuple[bytes, int]]:
        """Tag -> (data key, seq), for all events of whoever still has a key, and the next one."""
        tags = self._store.tags()
        owners: dict[bytes, tuple[bytes, int]] = {}
        for _, key in self._vault.everybody():
            seq = 1
            while (tag := commitment.tag(key, seq)) in tags:
                owners[tag] = (key, seq)
                seq += 1
            owners[tag] = (key, seq)
        return owners


def _present(sealed: Mapping[int, bytes], index: int) -> bytes:
    if (found := sealed.get(index)) is None:
        raise CorruptLogError(f"the event of entry {index} is missing from the store; run fsck")
    return found

"""The checks of fsck that need the vault.

Each sealed event is decrypted and checked against its leaf, its signature and the rules of who may
sign; the states computed from the events are compared with the map. Customers are checked one by
one, so that an error in one customer's events does not hide errors in another's.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from hashlib import sha256
from itertools import islice

from ledger.errors import CorruptLogError
from ledger.events import envelope, reducer
from ledger.events.envelope import Instruction, MalformedEventError, PublicEvent, TriggerSet
from ledger.events.instruction_signature import InstructionError, Signature
from ledger.events.reducer import ConsentState
from ledger.events.sealed_entry import opened
from ledger.integrity.finding import FsckFinding
from ledger.integrity.merges import MergeCheck
from ledger.latest_state import after, state_opening
from ledger.reader import only_personal
from ledger.statemap import map_proof
from ledger.statemap.labels import Labels
from ledger.statemap.map_proof import StateOpening
from ledger.statemap.verifiable_map import Label, StateMap
from ledger.storage.interface import Head
from ledger.storage.sqlite import SqlStore
from ledger.tlog import checkpoint, signed_note, tiles
from ledger.tlog.checkpoint import MalformedCheckpointError
from ledger.tlog.signed_note import NoteError
from ledger.tlog.tiles import WIDTH, MalformedTileError
from ledger.vault import commitments
from ledger.vault.commitments import PERSONAL, PERSONAL_SIZE, TAG_SIZE
from ledger.vault.errors import VaultError
from ledger.vault.stored_keys import StoredKeys

CACHED_BUNDLES = 256  # entry bundles in memory while customers' events are decrypted
Announced = Callable[[int, PublicEvent], object]  # index, event
COMPARE_BATCH = 1_000  # customers whose states are compared with the map in one query
PREFETCHED = 8  # events of each of them that are read in one query
_REINDEX = "run `sovereign vault reindex`"
_BROKEN = (
    VaultError,
    MalformedEventError,
    MalformedTileError,
    CorruptLogError,
    InstructionError,
)


def check(
    store: SqlStore,
    keys: StoredKeys,
    labels: Labels | None,
    announce: Announced = lambda _index, _event: None,
    since: int = 0,
) -> Iterator[FsckFinding]:
    """Check all entries of the consent log in `store`, sealed or public, and the map.

    `labels`: of the map; None if it is not bound. `announce` is called with every public event.
    `since`: the entries before were checked; then `keys` has those of the customers of later
    entries, who are checked from their first event on.
    """
    yield from _Events(store, keys, labels, announce).findings(since)


def tags(store: SqlStore, since: int) -> list[bytes]:
    """The tags of the personal entries of the bundle of entry `since` and of all later ones."""
    size = (store.head() or Head(0, "")).size
    entries = (
        entry
        for number in range(since // WIDTH, -(-size // WIDTH))
        for entry in tiles.unbundle(store.bundle(number) or b"")
    )
    return [each[1 : 1 + TAG_SIZE] for each in entries if each[:1] == PERSONAL]


def _origin(store: SqlStore) -> str:
    """The origin of the state log; empty if it has no readable checkpoint, to compare no state."""
    head = store.state_store().head()
    try:
        return checkpoint.parse(signed_note.parse(head.note).text).origin if head else ""
    except (NoteError, MalformedCheckpointError):
        return ""  # reported with the state log


class _Events:
    """Checks the sealed events against the leaves, the keys and the map."""

    def __init__(
        self, store: SqlStore, keys: StoredKeys, labels: Labels | None, announce: Announced
    ) -> None:
        self._store = store
        self._keys = keys
        self._labels = labels
        self._announce = announce
        self._origin = _origin(store)
        states = store.state_store()
        self._map = StateMap(states.roots(), states.records)
        self._states: dict[Label, StateOpening] = {}  # to be compared with the map
        self._ahead: dict[bytes, tuple[int, bytes]] = {}  # tag -> index, sealed event
        self._entries = lru_cache(CACHED_BUNDLES)(self._unbundled)
        self._ownerless: set[bytes] = set()  # tags that the index of owners lists as erased
        self._lost: set[bytes] = set()  # tags that the customer in the index does not derive
        self._merges = MergeCheck()
        self._unsealed: dict[bytes, int] = {}  # tag -> index of entries without a sealed event

    def findings(self, since: int) -> Iterator[FsckFinding]:
        head = self._store.head() or Head(0, "")
        for index, width in tiles.widths(head.size, 0):
            if index < since // WIDTH:
                yield from self._announced(index)
            else:
                yield from self._bundle(index * WIDTH, width)
        stray = self._store.sealed_tags(head.size, 1 << 62)
        if stray:
            yield FsckFinding(
                "vault",
                f"there are sealed events for the entries {sorted(stray)[:8]}, but the log has "
                f"{head.size} entries",
            )
        everybody = iter(self._keys.keys.values())
        while some := [*islice(everybody, COMPARE_BATCH)]:
            self._ahead = self._store.sealed_of(
                [
                    commitments.tag(key, seq)
                    for key in some
                    for seq in commitments.unerased(key, PREFETCHED)
                ]
            )
            for key in some:
                yield from self._customer(key)
            yield from self._compare()
        yield from self._merges.findings()
        if self._lost:
            yield FsckFinding(
                "key store",
                f"no data key derives {len(self._lost)} entries of customers who were not erased: "
                "restore keys/ from its newest backup",
            )

    def _unbundled(self, index: int) -> list[bytes]:
        return tiles.unbundle(self._store.bundle(index) or b"")

    def _bundle(self, lo: int, width: int) -> Iterator[FsckFinding]:
        try:
            entries = self._entries(lo // WIDTH)[:width]
        except MalformedTileError:
            return  # reported with the log
        yield from self._index(lo, entries)
        tags = self._store.sealed_tags(lo, lo + width)
        for index, entry in enumerate(entries, lo):
            tag = tags.pop(index, None)
            if entry[:1] == PERSONAL and tag is None:
                self._unsealed[entry[1 : 1 + TAG_SIZE]] = index
            elif tag is not None and (entry[:1] != PERSONAL or entry[1 : 1 + TAG_SIZE] != tag):
                yield FsckFinding(f"sealed event {index}", "its tag is not that of its leaf")
            elif tag is None:
                yield from self._public(index, entry)
            elif len(entry) != PERSONAL_SIZE:
                yield FsckFinding(f"entry {index}", f"{len(entry)} bytes, want {PERSONAL_SIZE}")

    def _announced(self, index: int) -> Iterator[FsckFinding]:
        """Announce the public events of a bundle that was checked before."""
        bundle = self._store.bundle(index) or b""
        if only_personal(bundle):
            return
        for at, entry in enumerate(tiles.unbundle(bundle), index * WIDTH):
            if entry[:1] != PERSONAL:
                yield from self._public(at, entry)

    def _index(self, lo: int, entries: Sequence[bytes]) -> Iterator[FsckFinding]:
        """Check that the index of owners has every personal entry, under its customer's key."""
        tags = [each[1 : 1 + TAG_SIZE] for each in entries if each[:1] == PERSONAL]
        if (owners := self._keys.owners_of(tags)) is None:
            return  # of an earlier version: whoever reads the log next makes the index
        for tag in tags:
            if (owner := owners.get(tag)) is None:
                what = f"tag {tag.hex()} of the entries from {lo} on is missing; {_REINDEX}"
                yield FsckFinding("index of owners", what)
            elif owner.subject is None:
                self._ownerless.add(tag)
            elif not (key := self._keys.keys.get(owner.subject)) or tag != _tag(key, owner.seq):
                self._lost.add(tag)  # unless another customer's key derives it, or another event's

    def _misplaced(self, tag: bytes, index: int) -> Iterator[FsckFinding]:
        """Check that the index of owners does not have a customer's entry as somebody else's."""
        if tag in self._lost:
            self._lost.discard(tag)
            what = f"entry {index} is not listed under its customer and event; {_REINDEX}"
            yield FsckFinding("index of owners", what)
        if tag in self._ownerless:
            what = f"entry {index} is listed as erased, and is not; {_REINDEX}"
            yield FsckFinding("index of owners", what)

    def _public(self, index: int, entry: bytes) -> Iterator[FsckFinding]:
        try:
            event = envelope.decode(entry[1:])
        except MalformedEventError as error:
            yield FsckFinding(f"entry {index}", f"not an event: {error}")
            return
        if entry[:1] != commitments.PUBLIC or isinstance(event, envelope.Instruction):
            what = "an unencrypted instruction, or an unknown entry kind"
            yield FsckFinding(f"entry {index}", what)
        else:
            self._announce(index, event)

    def _customer(self, key: bytes) -> Iterator[FsckFinding]:
        """Check that one customer's events decrypt, follow each other, and that none is missing."""
        state: ConsentState | None = ConsentState("")  # None: unknown
        label = commitments.label(key)
        gaps, seq = bool(label), commitments.next_seq(key, 0)
        previous = envelope.FIRST if seq == 1 else b""  # b"": unknown, nothing is compared
        while True:
            secrets = commitments.secrets(key, seq)
            if (index := self._unsealed.get(secrets.opening.tag)) is not None:
                yield FsckFinding(f"entry {index}", "its sealed event is missing")
                state, previous = None, b""
            elif (place := self._sealed_event(secrets.opening.tag, seq)) is None:
                break
            else:
                index, data = place
                yield from self._misplaced(secrets.opening.tag, index)
                try:
                    opened_event = self._open(secrets, seq, index, data)
                    label = label or self._label(opened_event[0])
                    before = state
                    state, previous = _followed(state, previous, *opened_event, index, gaps)
                    if before is not None and state is not None:
                        self._merges.see(before, opened_event[0], index, state)
                except _BROKEN as error:
                    yield FsckFinding(f"sealed event {index}", str(error))
                    state, previous = None, b""
            following = commitments.next_seq(key, seq)
            previous, seq = previous if following == seq + 1 else b"", following
        if state and label and self._origin:
            where = label if self._labels is None else self._labels.of(state.subject)
            self._states[where] = state_opening(state, key, self._origin)

    def _label(self, first: Instruction) -> Label:
        """The label that a first instruction leads to, or any other while the map is bound."""
        return map_proof.unbound_label(envelope.encode_stored(first))

    def _sealed_event(self, tag: bytes, seq: int) -> tuple[int, bytes] | None:
        return self._ahead.get(tag) if seq <= PREFETCHED else self._store.sealed(tag)

    def _open(
        self, secrets: commitments.Secrets, seq: int, index: int, data: bytes
    ) -> tuple[Instruction, Signature | None]:
        bundle = self._entries(index // WIDTH)
        entry = bundle[index % WIDTH] if index % WIDTH < len(bundle) else b""
        instruction, signature = opened(secrets, data, entry)
        if instruction.seq != seq:
            raise CorruptLogError(f"it is the customer's instruction {instruction.seq}, want {seq}")
        return instruction, signature

    def _compare(self) -> Iterator[FsckFinding]:
        """Compare the states that were computed with the map."""
        stored = self._map.values(self._states)
        for label, opening in self._states.items():
            if not opening.is_of(stored.get(label)):
                what = "its value is not the state computed from its customer's events"
                yield FsckFinding(f"state map, label {label.hex()}", what)
        self._states.clear()


def _followed(
    state: ConsentState | None,
    previous: bytes,
    instruction: Instruction,
    signature: Signature | None,
    index: int,
    gaps: bool,
) -> tuple[ConsentState | None, bytes]:
    """State and digest after one more instruction. Raises if the instruction may not follow.

    `gaps`: an entry of the customer was erased, so that the trigger which a `trigger-set` of a
    session replaced may be unknown; who may sign such an act is then not checked.
    """
    if previous and instruction.prev != previous:
        raise CorruptLogError("its `prev` is not the digest of the instruction before it")
    encoded = envelope.encode_stored(instruction)
    if state:
        state = state if state.subject else ConsentState(instruction.subject)
        if signature or not (gaps and isinstance(instruction.act, TriggerSet)):
            reducer.require_authorised(state, instruction, signature)
        state = after(state, instruction, encoded, index)
    return state, sha256(encoded).digest()


def _tag(key: bytes, seq: int) -> bytes:
    """The tag of the customer's event; empty if it was erased."""
    try:
        return commitments.tag(key, seq)
    except commitments.ErasedEntryError:
        return b""

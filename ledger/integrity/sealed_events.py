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
from ledger.latest_state import CustomerState, state_opening
from ledger.statemap.verifiable_map import Label, StateMap, Value
from ledger.storage.interface import Head
from ledger.storage.sqlite import SqlStore
from ledger.tlog import checkpoint, signed_note, tiles
from ledger.tlog.checkpoint import MalformedCheckpointError
from ledger.tlog.signed_note import NoteError
from ledger.tlog.tiles import WIDTH, MalformedTileError
from ledger.vault import commitments
from ledger.vault.commitments import PERSONAL, PERSONAL_SIZE, TAG_SIZE
from ledger.vault.stored_keys import StoredKeys
from ledger.vault.vault import VaultError

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
    store: SqlStore, keys: StoredKeys, announce: Announced = lambda _index, _event: None
) -> Iterator[FsckFinding]:
    """Check all entries of the consent log in `store`, sealed or public, and the map.

    `announce` is called with every public event.
    """
    yield from _Events(store, keys, _origin(store), announce).findings()


def _origin(store: SqlStore) -> str:
    """The origin of the state log; empty if it has no readable checkpoint, to compare no state."""
    head = store.state_store().head()
    try:
        return checkpoint.parse(signed_note.parse(head.note).text).origin if head else ""
    except (NoteError, MalformedCheckpointError):
        return ""  # reported with the state log


class _Events:
    """Checks the sealed events against the leaves, the keys and the map."""

    def __init__(self, store: SqlStore, keys: StoredKeys, origin: str, announce: Announced) -> None:
        """`origin`: of the state log."""
        self._store = store
        self._keys = keys
        self._announce = announce
        self._origin = origin
        states = store.state_store()
        self._map = StateMap(states.roots(), states.records)
        self._states: dict[Label, Value] = {}  # to be compared with the map
        self._ahead: dict[bytes, tuple[int, bytes]] = {}  # tag -> index, sealed event
        self._entries = lru_cache(CACHED_BUNDLES)(self._unbundled)
        self._ownerless: set[bytes] = set()  # tags that the index of owners lists as erased
        self._unsealed: dict[bytes, int] = {}  # tag -> index of entries without a sealed event

    def findings(self) -> Iterator[FsckFinding]:
        head = self._store.head() or Head(0, "")
        for index, width in tiles.widths(head.size, 0):
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
                what = f"tag {tag.hex()} is not of the customer it is listed under; {_REINDEX}"
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
        state: CustomerState | None = CustomerState(
            ConsentState(""), commitments.label(key)
        )  # None: unknown
        gaps, seq = bool(commitments.label(key)), commitments.next_seq(key, 0)
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
                if secrets.opening.tag in self._ownerless:
                    what = f"entry {index} is listed as erased, and is not; {_REINDEX}"
                    yield FsckFinding("index of owners", what)
                try:
                    opened_event = self._open(secrets, seq, index, data)
                    state, previous = _followed(state, previous, *opened_event, index, gaps)
                except _BROKEN as error:
                    yield FsckFinding(f"sealed event {index}", str(error))
                    state, previous = None, b""
            after = commitments.next_seq(key, seq)
            previous, seq = previous if after == seq + 1 else b"", after
        if state and state.label and self._origin:
            self._states[state.label] = state_opening(state.state, key, self._origin).value

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
        for label, value in self._states.items():
            if stored.get(label) != value:
                what = "its value is not the state computed from its customer's events"
                yield FsckFinding(f"state map, label {label.hex()}", what)
        self._states.clear()


def _followed(
    state: CustomerState | None,
    previous: bytes,
    instruction: Instruction,
    signature: Signature | None,
    index: int,
    gaps: bool,
) -> tuple[CustomerState | None, bytes]:
    """State and digest after one more instruction. Raises if the instruction may not follow.

    `gaps`: an entry of the customer was erased, so that the trigger which a `trigger-set` of a
    session replaced may be unknown; who may sign such an act is then not checked.
    """
    if previous and instruction.prev != previous:
        raise CorruptLogError("its `prev` is not the digest of the instruction before it")
    encoded = envelope.encode(instruction)
    if state:
        state = _named(state, instruction)
        if signature or not (gaps and isinstance(instruction.act, TriggerSet)):
            reducer.require_authorised(state.state, instruction, signature)
        state = state.after(instruction, encoded, index)
    return state, sha256(encoded).digest()


def _named(state: CustomerState, instruction: Instruction) -> CustomerState:
    return (
        state
        if state.state.subject
        else CustomerState(ConsentState(instruction.subject), state.label)
    )


def _tag(key: bytes, seq: int) -> bytes:
    """The tag of the customer's event; empty if it was erased."""
    try:
        return commitments.tag(key, seq)
    except commitments.ErasedEntryError:
        return b""

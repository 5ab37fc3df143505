"""The part of fsck that needs keys: every sealed event against its leaf, its signature and the
rules of who may sign, and the map against them.

What is wrong with one customer's event hides nothing of another's: each is walked alone.
"""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from itertools import islice
from pathlib import Path

from sqlalchemy.exc import DatabaseError

from ledger.errors import CorruptLogError
from ledger.events import envelope, reducer
from ledger.events.envelope import Instruction, MalformedEventError, TriggerSet
from ledger.events.instruction_signature import InstructionError, Signature
from ledger.events.reducer import ConsentState
from ledger.events.sealed_entry import opened
from ledger.latest_state import CustomerState, shown
from ledger.statemap.verifiable_map import Label, StateMap, Value
from ledger.storage.interface import Head
from ledger.storage.sqlite import SqlStore
from ledger.tlog import checkpoint, signed_note, tiles
from ledger.tlog.checkpoint import MalformedCheckpointError
from ledger.tlog.signed_note import NoteError
from ledger.tlog.tiles import WIDTH, MalformedTileError
from ledger.vault import commitments
from ledger.vault.commitments import PERSONAL, PERSONAL_SIZE, TAG_SIZE
from ledger.vault.vault import Vault, VaultError

BUNDLES = 256  # kept in memory while the customers' events are opened
COMPARED = 1_000  # customers whose states are compared with the map at once
AHEAD = 8  # events of each of them that are read at once
_BROKEN = (
    VaultError,
    MalformedEventError,
    MalformedTileError,
    CorruptLogError,
    InstructionError,
)


@dataclass(frozen=True, slots=True)
class FsckFinding:
    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


def sealed(home: Path, database: Path) -> Iterator[FsckFinding]:
    try:
        with closing(SqlStore(database)) as store, closing(Vault(home / "keys")) as keys:
            yield from _Events(store, keys, _origin(store)).findings()
    except VaultError as error:
        yield FsckFinding("key store", str(error))
    except DatabaseError:
        return  # reported with the log


def _origin(store: SqlStore) -> str:
    """Of the state log. Without a checkpoint that says so, no state is compared."""
    head = store.beside().head()
    try:
        return checkpoint.parse(signed_note.parse(head.note).text).origin if head else ""
    except (NoteError, MalformedCheckpointError):
        return ""  # reported with the state log


class _Events:
    """The sealed events against the leaves, the keys and the map."""

    def __init__(self, store: SqlStore, keys: Vault, origin: str) -> None:
        """`origin`: of the state log."""
        self._store = store
        self._keys = keys
        self._origin = origin
        states = store.beside()
        self._map = StateMap(states.roots(), states.records)
        self._states: dict[Label, Value] = {}  # to be compared with the map
        self._ahead: dict[bytes, tuple[int, bytes]] = {}  # tag -> index, sealed event
        self._entries = lru_cache(BUNDLES)(self._unbundled)
        self._unsealed: dict[bytes, int] = {}  # tag -> index, of entries without sealed event

    def findings(self) -> Iterator[FsckFinding]:
        head = self._store.head() or Head(0, "")
        for index, width in tiles.widths(head.size, 0):
            yield from self._bundle(index * WIDTH, width)
        stray = self._store.sealed_tags(head.size, 1 << 62)
        if stray:
            yield FsckFinding(
                "vault", f"sealed events for entries {sorted(stray)[:8]}, which are none"
            )
        everybody = (key for _, key in self._keys.everybody())
        while some := [*islice(everybody, COMPARED)]:
            self._ahead = self._store.sealed_of(
                [
                    commitments.tag(key, seq)
                    for key in some
                    for seq in commitments.existing(key, AHEAD)
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
        tags = self._store.sealed_tags(lo, lo + width)
        for index, entry in enumerate(entries, lo):
            tag = tags.pop(index, None)
            if entry[:1] == PERSONAL and tag is None:
                self._unsealed[entry[1 : 1 + TAG_SIZE]] = index
            elif tag is not None and (entry[:1] != PERSONAL or entry[1 : 1 + TAG_SIZE] != tag):
                yield FsckFinding(f"sealed event {index}", "its tag is not the one of its leaf")
            elif tag is None:
                yield from _public(index, entry)
            elif len(entry) != PERSONAL_SIZE:
                yield FsckFinding(f"entry {index}", f"{len(entry)} bytes, want {PERSONAL_SIZE}")

    def _customer(self, key: bytes) -> Iterator[FsckFinding]:
        """Every event of one customer opens, follows the one before, and none is missing."""
        held: CustomerState | None = CustomerState(
            ConsentState(""), commitments.label(key)
        )  # None: unknown
        gaps, seq = bool(commitments.label(key)), commitments.following(key, 0)
        previous = envelope.FIRST if seq == 1 else b""  # b"": unknown, nothing is compared
        while True:
            secrets = commitments.secrets(key, seq)
            if (index := self._unsealed.get(secrets.opening.tag)) is not None:
                yield FsckFinding(f"entry {index}", "its sealed event is missing; restore a backup")
                held, previous = None, b""
            elif (found := self._found(secrets.opening.tag, seq)) is None:
                break
            else:
                index, data = found
                try:
                    said = self._open(secrets, seq, index, data)
                    held, previous = _followed(held, previous, *said, index, gaps)
                except _BROKEN as error:
                    yield FsckFinding(f"sealed event {index}", str(error))
                    held, previous = None, b""
            after = commitments.following(key, seq)
            previous, seq = previous if after == seq + 1 else b"", after
        if held and held.label and self._origin:
            self._states[held.label] = shown(held.state, key, self._origin).value

    def _found(self, tag: bytes, seq: int) -> tuple[int, bytes] | None:
        return self._ahead.get(tag) if seq <= AHEAD else self._store.sealed(tag)

    def _open(
        self, secrets: commitments.Secrets, seq: int, index: int, data: bytes
    ) -> tuple[Instruction, Signature | None]:
        bundle = self._entries(index // WIDTH)
        entry = bundle[index % WIDTH] if index % WIDTH < len(bundle) else b""
        said, signature = opened(secrets, data, entry)
        if said.seq != seq:
            raise CorruptLogError(f"it is not the customer's instruction {seq}")
        return said, signature

    def _compare(self) -> Iterator[FsckFinding]:
        """The map holds the states that were found."""
        stored = self._map.values(self._states)
        for label, value in self._states.items():
            if stored.get(label) != value:
                what = "the state is not what its customer's events add up to"
                yield FsckFinding(f"state map, label {label.hex()}", what)
        self._states.clear()


def _followed(
    held: CustomerState | None,
    previous: bytes,
    said: Instruction,
    signature: Signature | None,
    index: int,
    gaps: bool,
) -> tuple[CustomerState | None, bytes]:
    """State and digest after one more instruction. Raises unless it may follow.

    `gaps`: something was erased, so that which trigger a session replaced is not known any more.
    """
    if previous and said.prev != previous:
        raise CorruptLogError("it does not follow the instruction before")
    encoded = envelope.encode(said)
    if held:
        held = _named(held, said)
        if signature or not (gaps and isinstance(said.act, TriggerSet)):
            reducer.require_authorised(held.state, said, signature)
        held = held.after(said, encoded, index)
    return held, sha256(encoded).digest()


def _named(held: CustomerState, said: Instruction) -> CustomerState:
    return held if held.state.subject else CustomerState(ConsentState(said.subject), held.label)


def _public(index: int, entry: bytes) -> Iterator[FsckFinding]:
    try:
        found = envelope.decode(entry[1:])
    except MalformedEventError as error:
        yield FsckFinding(f"entry {index}", f"not an event: {error}")
        return
    if entry[:1] != commitments.PUBLIC or isinstance(found, envelope.Instruction):
        yield FsckFinding(f"entry {index}", "an instruction stands in clear, or of no kind")

"""The only writer of one log: integrate, sign, commit, acknowledge; then publish.

The right edge of the tree (the incomplete tile of each level) is held in memory and rebuilt from
the store when the log opens. After a crash the store holds some committed size and exactly the
tiles of that size; nothing that was not committed was acknowledged.
"""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from threading import RLock
from types import MappingProxyType
from typing import Any

from ledger.errors import CorruptLogError
from ledger.storage.interface import Head, LogStore, StorageBatch
from ledger.storage.sqlite import SqlStore
from ledger.tlog import atomic_file, checkpoint, merkle, signed_note
from ledger.tlog import tiles as tile
from ledger.tlog.checkpoint import Checkpoint, MalformedCheckpointError
from ledger.tlog.merkle import Hash, NodeReader
from ledger.tlog.node_cache import Nodes
from ledger.tlog.signed_note import NoteError, Signing, Verifying
from ledger.tlog.tiles import MalformedTileError

Sealed = Mapping[bytes, tuple[int, bytes]]
NOTHING: Mapping[Any, Any] = MappingProxyType({})
SYNCHRONISED = 8  # published files at once: a disk that is waited for once serves them all


@dataclass(frozen=True, slots=True)
class Staged:
    """What the log becomes with some more entries; nothing is stored yet."""

    batch: StorageBatch
    root: Hash
    edge: list[list[Hash]]
    bundle: bytes  # the last one, if it is incomplete
    parts: Mapping[tile.Node, Hash]  # the complete subtrees under the root


class Log:
    """One log and its signing key. Thread-safe; exactly one process may append.

    `append` returns when its entries are fully persisted under a signed checkpoint.
    """

    def __init__(self, store: LogStore, origin: str, *signers: Signing) -> None:
        self.origin = origin
        self.store = store
        self._signers = _named(origin, signers)
        self._lock = RLock()
        self._kept = Nodes(self._full)
        head = store.head()
        self._note = head.note if head else self._sign(0, merkle.EMPTY_ROOT)
        self._size = head.size if head else 0
        self._edge = [self._stored_tile(level) for level in tile.levels(self._size)]
        self._bundle = self._stored_bundle()
        self._parts = tile.NOTHING
        self._require_intact()

    @classmethod
    def open(cls, path: Path, origin: str, *signers: Signing) -> "Log":
        """Open the log in the SQLite file at `path`, or begin it there. Every signer signs."""
        return cls(SqlStore(path), origin, *signers)

    @property
    def size(self) -> int:
        return self._size

    @property
    def verifiers(self) -> list[Verifying]:
        return [each.verifier for each in self._signers]

    def checkpoint(self) -> str:
        """The current signed checkpoint."""
        return self._note

    def head(self) -> Checkpoint:
        return checkpoint.parse(signed_note.parse(self._note).text)

    def root_at(self, size: int) -> Hash:
        """The root of the first `size` entries, which must be in the log."""
        if not 0 <= size <= self._size:
            raise IndexError(f"no root of {size} entries in a log of {self._size}")
        return merkle.root(size, self._nodes())

    def sign_with(self, *signers: Signing) -> None:
        """Sign with these keys from the next batch on. Raises NoteError for other names."""
        with self._lock:
            self._signers = _named(self.origin, signers)

    def append(
        self,
        entries: Sequence[bytes],
        *,
        sealed: Sealed | None = None,
        idempotency: Mapping[str, tuple[bytes, int]] | None = None,
    ) -> range:
        """Append, durably and all or nothing; the indexes of the new leaves."""
        with self._lock:
            if not entries:
                return range(self._size, self._size)
            return self.commit(
                self.stage(entries, sealed=sealed or {}, idempotency=idempotency or {})
            )

    def stage(
        self,
        entries: Sequence[bytes],
        *,
        sealed: Sealed = NOTHING,
        idempotency: Mapping[str, tuple[bytes, int]] = NOTHING,
    ) -> Staged:
        """Integrate and sign entries without storing them. The log must not move until `commit`."""
        first, size = self._size, self._size + len(entries)
        bundles, bundle = self._bundles(entries)
        edge = [list(level) for level in self._edge]
        tiles = self._integrate(edge, merkle.leaf_hashes(entries), first)
        root, parts = tile.edge_parts(size, edge, self._parts)
        head = Head(size, self._sign(size, root))
        batch = StorageBatch(first, head, bundles, tiles, sealed, idempotency)
        return Staged(batch, root, edge, bundle, parts)

    def commit(self, staged: Staged, beside: StorageBatch | None = None) -> range:
        """Store what was staged, and with it what another log staged. Durable on return."""
        self.store.commit(replace(staged.batch, beside=beside))
        # Crash here: the entries are in the log though nobody was told; the idempotency key
        # finds them again. Before the commit: nothing happened.
        self.settle(staged)
        return range(staged.batch.previous, staged.batch.head.size)

    def settle(self, staged: Staged) -> None:
        """Go on from what was staged and is stored."""
        with self._lock:
            head = staged.batch.head
            self._size, self._note = head.size, head.note
            self._edge, self._bundle, self._parts = staged.edge, staged.bundle, staged.parts

    def entries(self, lo: int, hi: int) -> Iterator[bytes]:
        """The entries [lo, hi), which must be in the log."""
        if not 0 <= lo <= hi <= self._size:
            raise IndexError(f"no entries [{lo}, {hi}) in a log of {self._size}")
        for index in range(lo // tile.WIDTH, -(-hi // tile.WIDTH)):
            found = self._entries(index)
            start = index * tile.WIDTH
            if start + len(found) < min(hi, start + tile.WIDTH):
                raise CorruptLogError(f"entry bundle {index} holds {len(found)} entries, want more")
            yield from found[max(lo - start, 0) : hi - start]

    def prove_inclusion(self, index: int, size: int | None = None) -> list[Hash]:
        # The size first: a tree that has grown meanwhile has all nodes of the smaller one.
        return merkle.prove_inclusion(index, self._size if size is None else size, self._nodes())

    def prove_consistency(self, old: int, new: int | None = None) -> list[Hash]:
        return merkle.prove_consistency(old, self._size if new is None else new, self._nodes())

    def export(self, folder: Path, cosigned: str | None = None) -> None:
        """Write the C2SP tile directory; the checkpoint last, and only what is not there yet.

        `cosigned`: a checkpoint of this log to publish instead of the newest. Raises
        CorruptLogError if other bytes, or a checkpoint of more entries, were published.
        """
        signed = cosigned or self._note
        size = checkpoint.parse(signed_note.parse(signed).text).size
        self._require_growth(folder / "checkpoint", size)
        files = self._files(folder, size)
        with ThreadPoolExecutor(SYNCHRONISED) as pool:
            while some := [*islice(files, tile.WIDTH)]:
                [*pool.map(lambda file: _publish(*file), some)]
        # Crash here: new tiles lie beside an older checkpoint, which they do not contradict.
        atomic_file.write(folder / "checkpoint", signed.encode())

    def _files(self, folder: Path, size: int) -> Iterator[tuple[Path, bytes]]:
        """Every tile and bundle of the first `size` entries, and where it is published."""
        for level in tile.levels(size):
            for index, width in tile.widths(size, level):
                data = self._tile(level, index)[: width * merkle.HASH_SIZE]
                yield folder / tile.path(str(level), index, width), data
        for index, width in tile.widths(size, 0):
            data = self.bundle(index) if width == tile.WIDTH else self._cut(index, width)
            yield folder / tile.path("entries", index, width), data

    def bundle(self, index: int) -> bytes:
        if (data := self.store.bundle(index)) is None:
            raise CorruptLogError(f"entry bundle {index} is missing")
        return data

    def close(self) -> None:
        self.store.close()

    def _cut(self, index: int, width: int) -> bytes:
        return tile.bundle(self._entries(index)[:width])

    def _entries(self, index: int) -> list[bytes]:
        try:
            return tile.unbundle(self.bundle(index))
        except MalformedTileError as error:
            raise CorruptLogError(f"entry bundle {index} is malformed: {error}") from error

    def _hashes(self, level: int, index: int) -> list[Hash]:
        try:
            return tile.split(self._tile(level, index))
        except MalformedTileError as error:
            raise CorruptLogError(f"tile {index} of level {level}: {error}") from error

    def _tile(self, level: int, index: int) -> bytes:
        if (data := self.store.tile(level, index)) is None:
            raise CorruptLogError(f"tile {index} of level {level} is missing")
        return data

    def _nodes(self) -> NodeReader:
        """Complete subtrees of the tree as it is now. They raise CorruptLogError."""
        with self._lock:
            return self._kept.reader(self._size, self._edge)

    def _full(self, level: int, index: int) -> list[Hash]:
        hashes = self._hashes(level, index)
        if len(hashes) != tile.WIDTH:
            where = f"tile {index} of level {level}"
            raise CorruptLogError(f"{where} has {len(hashes)} hashes, want {tile.WIDTH}")
        return hashes

    def _sign(self, size: int, root: Hash) -> str:
        return str(signed_note.sign(str(Checkpoint(self.origin, size, root)), self._signers))

    def _bundles(self, entries: Sequence[bytes]) -> tuple[dict[int, bytes], bytes]:
        """The bundles that change, and the last one if it is incomplete."""
        changed: dict[int, bytes] = {}
        index, filled = divmod(self._size, tile.WIDTH)
        current = self._bundle
        at = 0
        while at < len(entries):
            step = entries[at : at + tile.WIDTH - filled]
            changed[index] = current = current + tile.bundle(step)
            at, filled = at + len(step), filled + len(step)
            if filled == tile.WIDTH:
                index, filled, current = index + 1, 0, b""
        return changed, current

    def _integrate(
        self, edge: list[list[Hash]], hashes: list[Hash], first: int
    ) -> dict[tuple[int, int], bytes]:
        """Add leaf hashes to the edge; the tiles that change."""
        changed: dict[tuple[int, int], bytes] = {}
        level = 0
        while hashes:
            if level == len(edge):
                edge.append([])
            index = (first >> tile.HEIGHT * level) // tile.WIDTH
            filled, above = edge[level] + hashes, []
            while len(filled) >= tile.WIDTH:
                full, filled = filled[: tile.WIDTH], filled[tile.WIDTH :]
                changed[level, index] = b"".join(full)
                above.append(merkle.complete_root(full))
                index += 1
            if filled:
                changed[level, index] = b"".join(filled)
            edge[level], hashes, level = filled, above, level + 1
        return changed

    def _stored_tile(self, level: int) -> list[Hash]:
        index, width = divmod(self._size >> tile.HEIGHT * level, tile.WIDTH)
        hashes = self._hashes(level, index)[:width] if width else []
        if len(hashes) != width:
            raise CorruptLogError(f"tile {index} of level {level} has {len(hashes)}, want {width}")
        return hashes

    def _stored_bundle(self) -> bytes:
        index, width = divmod(self._size, tile.WIDTH)
        return self._cut(index, width) if width else b""

    def _require_intact(self) -> None:
        try:
            head = self.head()
            signed_note.verify(signed_note.parse(self._note), self.verifiers)
        except (NoteError, MalformedCheckpointError) as error:
            raise CorruptLogError(f"the stored checkpoint is not this log's: {error}") from error
        if head != Checkpoint(self.origin, self._size, tile.edge_root(self._size, self._edge)):
            raise CorruptLogError(f"the tiles do not hash to the checkpoint of {head.size} entries")
        last = tile.unbundle(self._bundle) if self._bundle else []
        if self._edge and merkle.leaf_hashes(last) != self._edge[0]:
            raise CorruptLogError("the entries of the last bundle are not those of its tile")

    def _require_growth(self, published: Path, size: int) -> None:
        """Raises CorruptLogError if `published` is one that `size` of our entries do not extend."""
        if not published.exists():
            return
        try:
            older = checkpoint.parse(signed_note.parse(published.read_text("utf-8")).text)
        except (NoteError, MalformedCheckpointError, UnicodeDecodeError) as error:
            raise CorruptLogError(f"{published} is no checkpoint; move it away: {error}") from error
        if older.origin != self.origin or older.size > size:
            raise CorruptLogError(
                f"{published} is of {older.origin!r} with {older.size} entries, this log is "
                f"{self.origin!r} with {size}; nothing was changed: restore the newer database"
            )
        if self.root_at(older.size) != older.root:
            raise CorruptLogError(f"{published} has another history; nothing was changed")


def _named(origin: str, signers: Sequence[Signing]) -> tuple[Signing, ...]:
    if not signers or any(each.name != origin for each in signers):
        names = [each.name for each in signers]
        raise NoteError(f"the keys are those of {names}, want {origin!r}")
    return (*signers,)


def _publish(path: Path, data: bytes) -> None:
    """Write a file that never changes again."""
    if not path.exists():
        atomic_file.write(path, data)
    elif path.read_bytes() != data:
        raise CorruptLogError(f"{path} was published with other bytes; nothing was changed")

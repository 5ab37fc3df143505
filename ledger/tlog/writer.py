"""The writer of a log: it hashes entries into the tree, signs, commits, and publishes.

The right edge of the tree (the incomplete tile of each level) is in memory; it is read from the
store when the log opens. After a crash the store has a committed size and exactly the tiles of that
size; nothing was acknowledged before it was committed.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path
from shutil import rmtree
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
from ledger.tlog.node_cache import NodeCache
from ledger.tlog.signed_note import NoteError, Signing, Verifying
from ledger.tlog.tiles import MalformedTileError

Sealed = Mapping[bytes, tuple[int, bytes]]
NOTHING: Mapping[Any, Any] = MappingProxyType({})
PUBLISH_THREADS = 8  # files written concurrently, so that one disk sync serves several of them


@dataclass(frozen=True, slots=True)
class Staged:
    """The log with some entries appended, before anything is stored."""

    batch: StorageBatch
    root: Hash
    edge: list[list[Hash]]
    bundle: bytes  # the last bundle if it is incomplete, else empty
    parts: Mapping[tile.Node, Hash]  # the complete subtrees under the root


class Log:
    """One log and its signing keys. Thread-safe; only one process may append.

    When `append` returns, the entries are durable under a signed checkpoint.
    """

    def __init__(self, store: LogStore, origin: str, *signers: Signing) -> None:
        self.origin = origin
        self.store = store
        self._signers = _named(origin, signers)
        self._lock = RLock()
        self._node_cache = NodeCache(self._full)
        head = store.head()
        self._note = head.note if head else self._sign(0, merkle.EMPTY_ROOT)
        self._size = head.size if head else 0
        self._edge = [self._stored_tile(level) for level in tile.levels(self._size)]
        self._bundle = self._stored_bundle()
        self._parts = tile.NOTHING
        self._require_intact()

    @classmethod
    def open(cls, path: Path, origin: str, *signers: Signing) -> "Log":
        """Open or create the log in the SQLite file at `path`. All signers sign checkpoints."""
        return cls(SqlStore.at(path), origin, *signers)

    @property
    def size(self) -> int:
        return self._size

    @property
    def verifiers(self) -> list[Verifying]:
        return [each.verifier for each in self._signers]

    def checkpoint(self) -> str:
        """The current checkpoint as a signed note."""
        return self._note

    def head(self) -> Checkpoint:
        return checkpoint.parse(signed_note.parse(self._note).text)

    def root_at(self, size: int) -> Hash:
        """The root of the first `size` entries. Raises IndexError if there are fewer."""
        if not 0 <= size <= self._size:
            raise IndexError(f"no root of {size} entries: the log has {self._size}")
        return merkle.root(size, self._nodes())

    def sign_with(self, *signers: Signing) -> None:
        """Sign with these keys from the next batch on. Raises NoteError if a name is not ours."""
        with self._lock:
            self._signers = _named(self.origin, signers)

    def append(
        self,
        entries: Sequence[bytes],
        *,
        sealed: Sealed | None = None,
        idempotency: Mapping[str, tuple[bytes, int]] | None = None,
    ) -> range:
        """Append entries, all or none; durable on return. Returns the indexes of the new leaves.

        `sealed`: tag -> (index, sealed event); `idempotency`: key -> (digest, first index).
        """
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
        """Compute and sign the log with these entries appended; nothing is stored.

        Nothing else may be appended until `commit`.
        """
        first, size = self._size, self._size + len(entries)
        bundles, bundle = self._bundles(entries)
        edge = [list(level) for level in self._edge]
        tiles = self._integrate(edge, merkle.leaf_hashes(entries), first)
        root, parts = tile.edge_parts(size, edge, self._parts)
        head = Head(size, self._sign(size, root))
        batch = StorageBatch(first, head, bundles, tiles, sealed, idempotency)
        return Staged(batch, root, edge, bundle, parts)

    def commit(self, staged: Staged, state_batch: StorageBatch | None = None) -> range:
        """Store the staged entries and, in the same transaction, `state_batch`. Durable."""
        self.store.commit(replace(staged.batch, state_batch=state_batch))
        # Crash here: the entries are in the log but were not acknowledged; a retry with the same
        # idempotency key finds them. Crash before the commit: nothing is stored.
        self.settle(staged)
        return range(staged.batch.previous, staged.batch.head.size)

    def settle(self, staged: Staged) -> None:
        """Update the log in memory to the staged entries, after they were stored."""
        with self._lock:
            head = staged.batch.head
            self._size, self._note = head.size, head.note
            self._edge, self._bundle, self._parts = staged.edge, staged.bundle, staged.parts

    def entries(self, lo: int, hi: int) -> Iterator[bytes]:
        """The entries [lo, hi). Raises IndexError, CorruptLogError."""
        if not 0 <= lo <= hi <= self._size:
            raise IndexError(f"no entries [{lo}, {hi}): the log has {self._size}")
        for index in range(lo // tile.WIDTH, -(-hi // tile.WIDTH)):
            bundle = self._entries(index)
            start = index * tile.WIDTH
            if start + len(bundle) < min(hi, start + tile.WIDTH):
                raise CorruptLogError(
                    f"entry bundle {index} holds {len(bundle)} entries, want more"
                )
            yield from bundle[max(lo - start, 0) : hi - start]

    def prove_inclusion(self, index: int, size: int | None = None) -> list[Hash]:
        # Read the size before the nodes: a tree that grows in between still has all of its nodes.
        return merkle.prove_inclusion(index, self._size if size is None else size, self._nodes())

    def prove_consistency(self, old: int, new: int | None = None) -> list[Hash]:
        return merkle.prove_consistency(old, self._size if new is None else new, self._nodes())

    def export(
        self, folder: Path, cosigned: str | None = None, named: Collection[int] = ()
    ) -> None:
        """Write what is new to the C2SP tile directory, the checkpoint last.

        The cost grows with what is new, not with the log. `cosigned`: a checkpoint of this log to
        publish instead of the newest. `named`: sizes of other checkpoints that left, whose
        partial tiles are written too. Raises CorruptLogError if a published file differs, or a
        larger checkpoint is published.
        """
        signed = cosigned or self._note
        size = checkpoint.parse(signed_note.parse(signed).text).size
        since = self._require_growth(folder / "checkpoint", size)
        files = chain(self._files(folder, size, since), self._partial(folder, size, named))
        with ThreadPoolExecutor(PUBLISH_THREADS) as pool:
            while some := [*islice(files, tile.WIDTH)]:
                [*pool.map(lambda file: _publish(*file), some)]
        # Crash here: the directory has new tiles and the old checkpoint, which is still valid.
        atomic_file.write(folder / "checkpoint", signed.encode())
        # Crash here: partial files of tiles that are complete now remain. They do no harm.
        for path in _replaced(folder, size, since):
            rmtree(path, ignore_errors=True)

    def _files(self, folder: Path, size: int, since: int) -> Iterator[tuple[Path, bytes]]:
        """Path and bytes of the tiles and bundles that are new since the first `since` entries."""
        for level in tile.levels(size):
            for index, width in tile.widths(size, level, since):
                data = self._tile(level, index)[: width * merkle.HASH_SIZE]
                yield folder / tile.path(str(level), index, width), data
        for index, width in tile.widths(size, 0, since):
            data = self.bundle(index) if width == tile.WIDTH else self._cut(index, width)
            yield folder / tile.path("entries", index, width), data

    def _partial(
        self, folder: Path, size: int, named: Collection[int]
    ) -> Iterator[tuple[Path, bytes]]:
        """The partial tiles and bundles of these sizes, unless the full ones are published."""
        for each in sorted(named):
            for level in tile.levels(each) if each < size else ():
                index, width = divmod(each >> tile.HEIGHT * level, tile.WIDTH)
                if not width or index < size >> tile.HEIGHT * (level + 1):
                    continue
                data = self._tile(level, index)[: width * merkle.HASH_SIZE]
                yield folder / tile.path(str(level), index, width), data
                if level == 0:
                    yield folder / tile.path("entries", index, width), self._cut(index, width)

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
        """A reader of complete subtrees of the current tree. It raises CorruptLogError."""
        with self._lock:
            return self._node_cache.reader(self._size, self._edge)

    def _full(self, level: int, index: int) -> list[Hash]:
        hashes = self._hashes(level, index)
        if len(hashes) != tile.WIDTH:
            where = f"tile {index} of level {level}"
            raise CorruptLogError(f"{where} has {len(hashes)} hashes, want {tile.WIDTH}")
        return hashes

    def _sign(self, size: int, root: Hash) -> str:
        return str(signed_note.sign(str(Checkpoint(self.origin, size, root)), self._signers))

    def _bundles(self, entries: Sequence[bytes]) -> tuple[dict[int, bytes], bytes]:
        """The changed bundles by index, and the last bundle if it is incomplete."""
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
        """Append leaf hashes to `edge` (in place); return the changed tiles."""
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
            raise CorruptLogError(
                f"tile {index} of level {level} has {len(hashes)} hashes, want {width}"
            )
        return hashes

    def _stored_bundle(self) -> bytes:
        index, width = divmod(self._size, tile.WIDTH)
        return self._cut(index, width) if width else b""

    def _require_intact(self) -> None:
        try:
            head = self.head()
            signed_note.verify(signed_note.parse(self._note), self.verifiers)
        except (NoteError, MalformedCheckpointError) as error:
            raise CorruptLogError(
                f"the stored checkpoint is not a checkpoint of this log ({error}): restore the "
                "database and keys/ from one backup"
            ) from error
        if head != Checkpoint(self.origin, self._size, tile.edge_root(self._size, self._edge)):
            raise CorruptLogError(f"the tiles do not hash to the checkpoint of {head.size} entries")
        last = tile.unbundle(self._bundle) if self._bundle else []
        if self._edge and merkle.leaf_hashes(last) != self._edge[0]:
            raise CorruptLogError("the entries of the last bundle do not hash to its tile")

    def _require_growth(self, published: Path, size: int) -> int:
        """The size of the `published` checkpoint; 0 if there is none.

        Raises CorruptLogError if our first `size` entries do not extend it.
        """
        if not published.exists():
            return 0
        try:
            older = checkpoint.parse(signed_note.parse(published.read_text("utf-8")).text)
        except (NoteError, MalformedCheckpointError, UnicodeDecodeError) as error:
            raise CorruptLogError(
                f"{published} is not a checkpoint ({error}): move it away and publish again"
            ) from error
        if older.origin != self.origin or older.size > size:
            raise CorruptLogError(
                f"{published} is for {older.size} entries of {older.origin!r}, this log has {size} "
                f"of {self.origin!r}; nothing was changed: restore the newer database"
            )
        if self.root_at(older.size) != older.root:
            raise CorruptLogError(
                f"{published} has a different history of {older.size} entries; nothing was changed"
            )
        return older.size


def _replaced(folder: Path, size: int, since: int) -> Iterator[Path]:
    """Folders of partial files whose full file was written as the log grew from `since` on."""
    for level in tile.levels(size):
        for index in tile.completed(size, level, since):
            yield (folder / tile.path(str(level), index, 1)).parent
    for index in tile.completed(size, 0, since):
        yield (folder / tile.path("entries", index, 1)).parent


def _named(origin: str, signers: Sequence[Signing]) -> tuple[Signing, ...]:
    if not signers or any(each.name != origin for each in signers):
        names = [each.name for each in signers]
        raise NoteError(f"the signing keys are named {names}, want {origin!r}")
    return (*signers,)


def _publish(path: Path, data: bytes) -> None:
    """Write an immutable file; raise CorruptLogError if it exists with other bytes."""
    if not path.exists():
        atomic_file.write(path, data)
    elif path.read_bytes() != data:
        raise CorruptLogError(f"{path} is already published with other bytes; nothing was changed")

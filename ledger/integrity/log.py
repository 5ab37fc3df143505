"""Checks one log: its checkpoint, entries and tiles.

Everything is recomputed from the entries. Only the right edge of the tree is in memory, however
large the log is.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

from ledger.integrity import published
from ledger.integrity.finding import FsckFinding, unreadable
from ledger.storage.interface import Head
from ledger.storage.sqlite import SqlLog
from ledger.tlog import merkle, signed_note
from ledger.tlog import tiles as tile
from ledger.tlog.checkpoint import Checkpoint
from ledger.tlog.merkle import Hash
from ledger.tlog.policy import LogPolicy, LogPolicyError
from ledger.tlog.signed_note import NoteError
from ledger.tlog.tiles import HEIGHT, WIDTH, MalformedTileError

Progress = Callable[[int, int], None]  # (entries checked, entries in total)


def check(
    home: Path, store: SqlLog, key: str, progress: Progress, since: Checkpoint | None = None
) -> Iterator[FsckFinding]:
    """Check the log in `store` against the verifier keys in the file `key` of `home`.

    `since`: the entries before were checked, if the log still has that root.
    """
    try:
        trust = published.trusted(home / key)
    except OSError as error:
        yield replace(unreadable(key, error), where="verifier key")
    except ValueError as error:  # NoteError, LogPolicyError, or not even text
        yield FsckFinding("verifier key", str(error), key)
    else:
        yield from _LogCheck(store, trust, progress, since).findings()


def active(home: Path, store: SqlLog, key: str) -> Iterator[FsckFinding]:
    """Check that the keys in the file `key`, which sign the next checkpoint, signed the newest."""
    try:
        if (head := store.head()) is not None:
            published.trusted(home / key).verify(signed_note.parse(head.note))
    except OSError:
        return  # reported with the keys
    except ValueError as error:
        yield FsckFinding("checkpoint", f"not signed by the active keys of {key}: {error}")


class _LogCheck:
    """Checks one log. Keeps only the right edge of the tree in memory, however large the log."""

    def __init__(
        self, store: SqlLog, trust: LogPolicy, progress: Progress, since: Checkpoint | None
    ) -> None:
        self._store = store
        self._since = since
        self._trust = trust
        self._progress = progress
        self._edge: list[list[Hash]] = []

    def findings(self) -> Iterator[FsckFinding]:
        if (head := self._store.head()) is None:
            if self._store.bundle(0) is not None:
                yield FsckFinding("checkpoint", "missing, although there are entries")
            return
        try:
            signed = self._trust.verify(signed_note.parse(head.note))
        except (NoteError, LogPolicyError) as error:
            yield FsckFinding("checkpoint", str(error))
            return
        if signed.size != head.size:
            yield FsckFinding(
                "checkpoint",
                f"it is for {signed.size} entries, its row in the database says {head.size}",
            )
        yield from self._entries(signed)
        yield from self._beyond(signed.size)
        if (cosigned := self._store.cosigned()) is not None:
            yield from self._cosigned(cosigned, signed.size)

    def _cosigned(self, stored: Head, size: int) -> Iterator[FsckFinding]:
        """Check the stored cosigned checkpoint, as far as the log's own keys tell."""
        try:
            signed = self._trust.verify(signed_note.parse(stored.note))
        except (NoteError, LogPolicyError) as error:
            yield FsckFinding("cosigned checkpoint", str(error))
            return
        if signed.size != stored.size or signed.size > size:
            what = (
                f"it is for {signed.size} entries, its row says {stored.size}, the log has {size}"
            )
            yield FsckFinding("cosigned checkpoint", what)

    def _entries(self, head: Checkpoint) -> Iterator[FsckFinding]:
        first = 0
        if (since := self._since) is not None:
            if since.size <= head.size and published.has_root(self._store, since):
                first = since.size // WIDTH
                self._edge = self._stored_edge(first * WIDTH)
            else:
                what = f"its first {since.size} entries are not those that were checked before"
                yield FsckFinding("checkpoint", what)
        for index, width in islice(tile.widths(head.size, 0), first, None):
            leaves, findings = self._leaves(index, width)
            yield from findings
            yield from self._push(0, index, leaves)
            self._progress(min((index + 1) * WIDTH, head.size), head.size)
        yield from self._partial(head.size)
        if not any(self._edge) and head.size == 0:
            computed = merkle.EMPTY_ROOT
        else:
            computed = tile.edge_root(head.size, self._edge)
        if computed != head.root:
            yield FsckFinding(
                "checkpoint",
                f"its root is {head.root.hex()}, the {head.size} entries hash to {computed.hex()}",
            )

    def _leaves(self, index: int, width: int) -> tuple[list[Hash], list[FsckFinding]]:
        """The leaf hashes of a bundle. If it is unreadable: those that the stored tile has."""
        where = f"entry bundle {index}"
        try:
            entries = tile.unbundle(self._store.bundle(index) or b"")
        except MalformedTileError as error:
            return self._stored(0, index, width), [FsckFinding(where, str(error))]
        if len(entries) != width:
            finding = FsckFinding(where, f"{len(entries)} entries, want {width}")
            return self._stored(0, index, width), [finding]
        return merkle.leaf_hashes(entries), []

    def _stored_edge(self, size: int) -> list[list[Hash]]:
        """The right edge at `size`, a multiple of WIDTH; the root there was compared before."""
        edge, count, level = [list[Hash]()], size >> HEIGHT, 1
        while count:
            edge.append(self._stored(level, count // WIDTH, count % WIDTH))
            count, level = count >> HEIGHT, level + 1
        return edge

    def _stored(self, level: int, index: int, width: int) -> list[Hash]:
        data = self._store.tile(level, index) or b""
        hashes = [data[at : at + 32] for at in range(0, len(data), 32)][:width]
        return hashes + [bytes(32)] * (width - len(hashes))

    def _push(self, level: int, index: int, hashes: list[Hash]) -> Iterator[FsckFinding]:
        """Compare a tile with the recomputed hashes; if it is full, pass its root a level up."""
        if len(self._edge) == level:
            self._edge.append([])
        if len(hashes) < WIDTH:
            self._edge[level] = hashes
            return
        yield from self._compare(level, index, hashes)
        self._edge[level] = []
        if len(self._edge) == level + 1:
            self._edge.append([])
        above = [*self._edge[level + 1], merkle.complete_root(hashes)]
        yield from self._push(level + 1, index // WIDTH, above)

    def _partial(self, size: int) -> Iterator[FsckFinding]:
        for level, hashes in enumerate(self._edge):
            if hashes:
                yield from self._compare(level, (size >> HEIGHT * level) // WIDTH, hashes)

    def _compare(self, level: int, index: int, hashes: list[Hash]) -> Iterator[FsckFinding]:
        where = f"tile {index} of level {level}"
        if (data := self._store.tile(level, index)) is None:
            yield FsckFinding(where, "missing")
        elif data != b"".join(hashes):
            stored = self._stored(level, index, len(hashes))
            wrong = [at for at, each in enumerate(hashes) if stored[at] != each]
            if wrong:
                what = f"its hashes {wrong[:8]} are not those of the entries below it"
            else:
                what = f"it has {len(data)} bytes, want {32 * len(hashes)}"
            yield FsckFinding(where, what)

    def _beyond(self, size: int) -> Iterator[FsckFinding]:
        bundles, tiles = self._store.beyond(tile.counts(size))
        if bundles or tiles:
            what = f"{bundles} bundles and {tiles} tiles are beyond the {size} signed entries"
            yield FsckFinding("database", what)

"""A cache of tree nodes for proofs.

A tile has 256 hashes, and the proof of one leaf needs a node of each of its eight inner levels.
These are computed once per full tile, which never changes, and cached by use. The incomplete tiles
at the right edge are passed in by the caller.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache

from ledger.tlog import merkle, tiles
from ledger.tlog.merkle import Hash, NodeReader
from ledger.tlog.tiles import HEIGHT, WIDTH

CACHED_TILES = 1024  # tiles, about 40 kB each

ReadTile = Callable[[int, int], list[Hash]]  # (level, index) -> its hashes


class NodeCache:
    """The most recently used full tiles with their inner nodes. Thread-safe."""

    def __init__(self, read: ReadTile) -> None:
        """`read` reads a full tile; the error it raises for a missing tile is passed on."""
        self._read = read
        self._inside = lru_cache(CACHED_TILES)(self._levels)

    def reader(self, size: int, edge: Sequence[Sequence[Hash]]) -> NodeReader:
        """A reader for a tree of `size` leaves. `edge`: hashes of each level's incomplete tile."""

        def node(level: int, index: int) -> Hash:
            at, number = tiles.tile_of(level, index)
            if number == (size >> HEIGHT * at) // WIDTH:
                return tiles.node(edge[at], level, index)
            inside = level % HEIGHT
            return self._inside(at, number)[inside][index % (WIDTH >> inside)]

        return node

    def _levels(self, level: int, index: int) -> list[list[Hash]]:
        """The hashes of a full tile and the inner levels above them, without the tile's root."""
        levels = [self._read(level, index)]
        while len(levels) < HEIGHT:
            levels.append(merkle.parents(levels[-1]))
        return levels

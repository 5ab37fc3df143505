"""The nodes of a log's tree, as proofs want them: full tiles are kept, the right edge is given.

A tile is 256 hashes; the proof of one leaf wants a node of each of its eight inner levels. They
are computed once for each full tile, which never changes, and kept while it is asked for.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache

from ledger.tlog import merkle, tiles
from ledger.tlog.merkle import Hash, NodeReader
from ledger.tlog.tiles import HEIGHT, WIDTH

KEPT = 1024  # tiles, about 40 kB each

ReadTile = Callable[[int, int], list[Hash]]  # (level, index) -> its hashes


class Nodes:
    """Thread-safe."""

    def __init__(self, read: ReadTile) -> None:
        """`read` raises if there is no such full tile, and so does who asks for a node of it."""
        self._read = read
        self._inside = lru_cache(KEPT)(self._levels)

    def reader(self, size: int, edge: Sequence[Sequence[Hash]]) -> NodeReader:
        """Of a tree of `size` leaves; `edge` has the hashes of each level's incomplete tile."""

        def node(level: int, index: int) -> Hash:
            at, number = tiles.home(level, index)
            if number == (size >> HEIGHT * at) // WIDTH:
                return tiles.node(edge[at], level, index)
            inside = level % HEIGHT
            return self._inside(at, number)[inside][index % (WIDTH >> inside)]

        return node

    def _levels(self, level: int, index: int) -> list[list[Hash]]:
        """A full tile and the levels of nodes above its hashes, its own root left out."""
        levels = [self._read(level, index)]
        while len(levels) < HEIGHT:
            levels.append(merkle.parents(levels[-1]))
        return levels

"""C2SP tlog-tiles: the layout of a log's hashes and entries in tiles, and their file names.

A tile has up to 256 hashes of one level: the tile of level L and index N has the tree hashes of
height 8L from 256 N on. An entry bundle has up to 256 entries, each preceded by its length in two
bytes.

    checkpoint                       the signed checkpoint
    tile/0/x001/x234/067             tile of level 0, index 1234067
    tile/0/000.p/5                   the same kind, partial: 5 of 256 hashes
    tile/entries/000.p/5             5 of 256 entries
"""

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

from ledger.tlog.merkle import HASH_SIZE, Hash, complete_root, node_hash, root

Node = tuple[int, int]  # level and index of a complete subtree

WIDTH = 256
HEIGHT = 8
MAX_ENTRY_BYTES = (1 << 16) - 1
NOTHING: Mapping[Node, Hash] = MappingProxyType({})


class MalformedTileError(ValueError):
    """The bytes are not a tile or an entry bundle."""


class EntryTooLargeError(ValueError):
    """The entry is too long for a length of two bytes."""


def path(kind: str, index: int, width: int = WIDTH) -> str:
    """The path of a tile (`kind` is its level) or of an entry bundle (`kind` is `entries`)."""
    groups = [f"{index % 1000:03d}"]
    while (index := index // 1000) > 0:
        groups.insert(0, f"x{index % 1000:03d}")
    partial = "" if width == WIDTH else f".p/{width}"
    return f"tile/{kind}/{'/'.join(groups)}{partial}"


def widths(size: int, level: int, since: int = 0) -> Iterator[tuple[int, int]]:
    """Index and width of the tiles of `level` in a tree of `size` leaves.

    Without those that were complete when the tree had `since` leaves.
    """
    hashes = size >> HEIGHT * level
    yield from ((index, WIDTH) for index in completed(size, level, since))
    if hashes % WIDTH:
        yield hashes // WIDTH, hashes % WIDTH


def completed(size: int, level: int, since: int) -> range:
    """The tiles of `level` that were completed while the tree grew from `since` to `size`."""
    before, after = (each >> HEIGHT * (level + 1) for each in (since, size))
    return range(before, after)


def levels(size: int) -> range:
    """The tile levels of a tree of `size` leaves."""
    count = 0
    while size >> HEIGHT * count:
        count += 1
    return range(count)


def counts(size: int) -> list[int]:
    """Number of tiles of each level from 0 to 7 in a tree of `size` leaves."""
    return [-(-(size >> HEIGHT * level) // WIDTH) for level in range(8)]


def split(tile: bytes) -> list[Hash]:
    if len(tile) % HASH_SIZE or not 0 < len(tile) <= WIDTH * HASH_SIZE:
        raise MalformedTileError(f"{len(tile)} bytes, want 1 to {WIDTH} hashes of {HASH_SIZE}")
    return [tile[at : at + HASH_SIZE] for at in range(0, len(tile), HASH_SIZE)]


def node(hashes: Sequence[Hash], level: int, index: int) -> Hash:
    """The tree hash at (`level`, `index`), computed from the hashes of the tile it is in.

    Raises MalformedTileError if the tile is too short.
    """
    inside = level % HEIGHT
    first = (index << inside) % WIDTH
    below = hashes[first : first + (1 << inside)]
    if len(below) != 1 << inside:
        raise MalformedTileError(f"{len(hashes)} hashes, want at least {first + (1 << inside)}")
    return complete_root(below)


def tile_of(level: int, index: int) -> tuple[int, int]:
    """Level and index of the tile that the tree hash at (`level`, `index`) is in."""
    return level // HEIGHT, (index << level % HEIGHT) // WIDTH


def edge_root(size: int, edge: Sequence[Sequence[Hash]]) -> Hash:
    """The root, computed from the incomplete tile of each level."""
    return edge_parts(size, edge)[0]


def edge_parts(
    size: int, edge: Sequence[Sequence[Hash]], known: Mapping[Node, Hash] = NOTHING
) -> tuple[Hash, dict[Node, Hash]]:
    """The root, and the hashes of the complete subtrees it was computed from.

    Passing these as `known` to the next call makes it cost about one hash per new leaf, however
    full the tiles are.
    """
    parts: dict[Node, Hash] = {}

    def read(level: int, index: int) -> Hash:
        digest = known.get((level, index))
        if digest is None:
            left = known.get((level - 1, 2 * index)) if level % HEIGHT else None
            digest = complete(level, index) if left is None else grown(left, level, index)
        parts[level, index] = digest
        return digest

    def grown(left: Hash, level: int, index: int) -> Hash:
        return node_hash(left, read(level - 1, 2 * index + 1))

    def complete(level: int, index: int) -> Hash:
        tile_level, tile_index = tile_of(level, index)
        start = (index << level % HEIGHT) - tile_index * WIDTH
        return complete_root(edge[tile_level][start : start + (1 << level % HEIGHT)])

    return root(size, read), parts


def bundle(entries: Sequence[bytes]) -> bytes:
    """Encode entries as a bundle. Raises EntryTooLargeError."""
    largest = max(map(len, entries), default=0)
    if largest > MAX_ENTRY_BYTES:
        raise EntryTooLargeError(
            f"an entry of {largest} bytes, want at most {MAX_ENTRY_BYTES}; split it"
        )
    return b"".join([len(entry).to_bytes(2) + entry for entry in entries])


def unbundle(data: bytes) -> list[bytes]:
    """Decode the entries of a bundle. Raises MalformedTileError."""
    entries: list[bytes] = []
    at = 0
    while at < len(data):
        end = at + 2 + int.from_bytes(data[at : at + 2])
        if len(data) < max(at + 2, end):
            raise MalformedTileError(f"entry {len(entries)} is cut off after {len(data)} bytes")
        entries.append(data[at + 2 : end])
        at = end
    if not 0 < len(entries) <= WIDTH:
        raise MalformedTileError(f"{len(entries)} entries, want 1 to {WIDTH}")
    return entries

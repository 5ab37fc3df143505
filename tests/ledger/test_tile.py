"""Clauses L10 to L13 of specs/ledger.md."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.tlog import merkle, tiles
from ledger.tlog.tiles import EntryTooLargeError, MalformedTileError

ENTRIES = st.lists(st.binary(max_size=80), min_size=1, max_size=256)
PATHS = {
    ("0", 0, 256): "tile/0/000",
    ("0", 0, 5): "tile/0/000.p/5",
    ("1", 999, 256): "tile/1/999",
    ("0", 1000, 1): "tile/0/x001/000.p/1",
    ("0", 1_234_067, 256): "tile/0/x001/x234/067",
    ("entries", 70_000, 256): "tile/entries/x070/000",
}
MALFORMED_BUNDLES = {
    "nothing": b"",
    "half a length": b"\0",
    "an entry cut off": b"\0\x03ab",
    "a length without its entry": b"\0\x01a\0\x02",
    "257 entries": b"\0\x01a" * 257,
}
MALFORMED_TILES = {"nothing": b"", "half a hash": bytes(48), "257 hashes": bytes(257 * 32)}


@pytest.mark.parametrize(("named", "path"), PATHS.items(), ids=PATHS.values())
def test_l10_paths_follow_tlog_tiles(named: tuple[str, int, int], path: str) -> None:
    assert tiles.path(*named) == path


@given(ENTRIES)
def test_l11_what_is_bundled_unbundles(entries: list[bytes]) -> None:
    assert tiles.unbundle(tiles.bundle(entries)) == entries


@given(st.binary(max_size=400))
def test_l11_unbundling_bundles_back_or_is_refused(data: bytes) -> None:
    try:
        entries = tiles.unbundle(data)
    except MalformedTileError:
        return
    assert tiles.bundle(entries) == data


@pytest.mark.parametrize("why", MALFORMED_BUNDLES)
def test_l11_malformed_bundles_are_refused(why: str) -> None:
    with pytest.raises(MalformedTileError):
        tiles.unbundle(MALFORMED_BUNDLES[why])


@pytest.mark.parametrize("why", MALFORMED_TILES)
def test_l11_malformed_tiles_are_refused(why: str) -> None:
    with pytest.raises(MalformedTileError):
        tiles.split(MALFORMED_TILES[why])


def test_l11_an_entry_of_64_kib_is_refused() -> None:
    tiles.bundle([bytes(tiles.MAX_ENTRY_BYTES)])
    with pytest.raises(EntryTooLargeError):
        tiles.bundle([bytes(tiles.MAX_ENTRY_BYTES + 1)])


@given(st.integers(0, 1 << 40), st.integers(0, 4))
def test_l12_the_tiles_of_a_level_hold_its_hashes(size: int, level: int) -> None:
    size %= 1 << (8 * level + 12)
    widths = [*tiles.widths(size, level)]
    assert sum(width for _, width in widths) == size >> 8 * level
    assert [index for index, _ in widths] == [*range(len(widths))]
    assert all(0 < width <= 256 for _, width in widths)


@given(st.integers(1, 256), st.data())
def test_l13_a_node_is_read_from_its_tile(width: int, data: st.DataObject) -> None:
    hashes = merkle.leaf_hashes([bytes([at]) for at in range(width)])
    level = data.draw(st.integers(0, 8))
    index = data.draw(st.integers(0, (256 >> level) - 1 if level < 8 else 0))
    inside = level % 8
    if level < 8 and (index + 1) << inside <= width:
        expected = merkle.complete_root(hashes[index << inside : (index + 1) << inside])
        assert tiles.node(hashes, level, index) == expected
    elif level < 8:
        with pytest.raises(MalformedTileError):
            tiles.node(hashes, level, index)
    assert tiles.tile_of(level, index) == (level // 8, (index << inside) // 256)

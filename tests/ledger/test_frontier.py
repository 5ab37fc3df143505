from hypothesis import given
from hypothesis import strategies as st

from ledger.tlog import merkle
from ledger.tlog.compact_range import Frontier


def definition(leaves: list[bytes]) -> bytes:
    """MTH of RFC 6962 §2.1, as it is defined there."""
    if not leaves:
        return merkle.EMPTY_ROOT
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return merkle.node_hash(definition(leaves[:k]), definition(leaves[k:]))


def leaves_to(size: int) -> list[bytes]:
    return merkle.leaf_hashes(b"%d" % i for i in range(size))


@given(st.lists(st.integers(0, 64), max_size=12))
def test_appending_in_any_pieces_gives_the_root_of_the_definition(pieces: list[int]) -> None:
    leaves, frontier = leaves_to(sum(pieces)), Frontier()
    for piece in pieces:
        frontier.append(leaves[frontier.size : frontier.size + piece])
    assert (frontier.size, frontier.root()) == (len(leaves), definition(leaves))


@given(st.integers(0, 8), st.integers(0, 9))
def test_a_tile_is_added_as_its_leaves_are(height: int, before: int) -> None:
    leaves, frontier = leaves_to((before + 1) << height), Frontier()
    frontier.append(leaves[: before << height])
    added = leaves[before << height :]
    assert frontier.append_tile(added) == definition(added)
    assert (frontier.size, frontier.root()) == (len(leaves), definition(leaves))


@given(st.integers(0, 300), st.integers(0, 300))
def test_a_frontier_that_was_read_goes_on_like_one_that_was_built(size: int, more: int) -> None:
    leaves = leaves_to(size + more)
    frontier = Frontier.of(
        size, lambda level, at: definition(leaves[at << level : at + 1 << level])
    )
    assert len(frontier.nodes) == size.bit_count()
    frontier.append(leaves[size:])
    assert frontier.root() == definition(leaves)

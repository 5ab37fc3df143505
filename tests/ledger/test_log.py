"""Clauses L50 to L58 of specs/ledger.md: one writer, its store, and what it publishes."""

import base64
import sqlite3
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.errors import CorruptLogError
from ledger.storage.interface import ForkError
from ledger.tlog import merkle, signed_note, tiles
from ledger.tlog.compact_range import Frontier
from ledger.tlog.signed_note import NoteError
from ledger.tlog.tiles import EntryTooLargeError
from ledger.tlog.writer import Log
from tests.campaign import sized
from tests.ledger.test_note import OTHER, SIGNER
from tests.ledger.worlds import change, entries, root

ORIGIN = SIGNER.name


def opened(path: Path) -> Log:
    return Log.open(path, ORIGIN, SIGNER)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    made = opened(tmp_path / "log.sqlite")
    yield made
    made.close()


def grow(log: Log, count: int) -> None:
    log.append([f"entry {log.size + at}".encode() for at in range(count)])


def test_l50_the_checkpoint_is_the_root_of_all_entries(log: Log) -> None:
    assert log.head().root == merkle.EMPTY_ROOT
    known: list[bytes] = []
    for count in (1, 2, 250, 3, 1, 600, 65_536 - 857, 300):
        known += [f"entry {log.size + at}".encode() for at in range(count)]
        grow(log, count)
        assert (log.head().size, log.head().root) == (len(known), root(known))
    assert [*log.entries(0, log.size)] == known


@settings(max_examples=sized(12, 250))
@given(st.lists(st.lists(st.binary(max_size=40), max_size=300), max_size=5))
def test_l50_any_batches_make_the_same_log(batches: list[list[bytes]]) -> None:
    with TemporaryDirectory() as folder, closing(opened(Path(folder, "log.sqlite"))) as log:
        for batch in batches:
            first = log.size
            assert log.append(batch) == range(first, first + len(batch))
        everything = [entry for batch in batches for entry in batch]
        assert [*log.entries(0, log.size)] == everything
        assert log.head().root == root(everything)


def test_l50_what_was_staged_and_not_stored_leaves_no_trace_in_later_roots(log: Log) -> None:
    """Subtrees are remembered from one root to the next, but not those of entries never stored."""
    known: list[bytes] = []
    for count in (3, 1, 60, 190, 3, 255):
        log.stage([b"never stored"] * (count + 1))
        known += [f"entry {log.size + at}".encode() for at in range(count)]
        grow(log, count)
        assert log.head().root == root(known)


def test_l50_nothing_appended_changes_nothing(log: Log) -> None:
    before = log.checkpoint()
    assert log.append([]) == range(0)
    assert log.checkpoint() == before


def test_l51_proofs_verify_at_every_earlier_size(log: Log) -> None:
    heads = []
    for _ in range(12):
        grow(log, 60)
        heads.append(log.head())
    new = heads[-1]
    for old in heads:
        proof = log.prove_consistency(old.size)
        merkle.verify_consistency(old.size, new.size, old.root, new.root, proof)
        index = old.size - 1
        leaf = merkle.leaf_hash(f"entry {index}".encode())
        at_old = log.prove_inclusion(index, old.size)
        merkle.verify_inclusion(leaf, index, old.size, old.root, at_old)


def test_l51_proofs_across_three_levels_of_tiles_are_those_of_the_tree(log: Log) -> None:
    grow(log, 65_536 + 256 + 7)
    leaves = merkle.leaf_hashes(log.entries(0, log.size))
    rebuilt = Frontier()
    rebuilt.append(leaves)
    assert rebuilt.root() == log.head().root
    grow(log, 300)
    earlier = 65_536 + 256 + 7
    for index in (0, 255, 256, 65_535, 65_536, 65_791, 65_792, earlier - 1):
        for size in {earlier, max(index + 1, 257), log.size}:
            path = log.prove_inclusion(index, size)
            leaf = merkle.leaf_hash(f"entry {index}".encode())
            merkle.verify_inclusion(leaf, index, size, log.root_at(size), path)
    path = log.prove_consistency(earlier)
    merkle.verify_consistency(earlier, log.size, rebuilt.root(), log.head().root, path)


def test_l51_proofs_are_made_while_the_log_grows(log: Log) -> None:
    grow(log, 300)
    head = log.head()

    def prove(index: int) -> None:
        leaf = merkle.leaf_hash(f"entry {index}".encode())
        path = log.prove_inclusion(index, head.size)
        merkle.verify_inclusion(leaf, index, head.size, head.root, path)
        size = log.size
        merkle.verify_inclusion(
            leaf, index, size, log.root_at(size), log.prove_inclusion(index, size)
        )

    with ThreadPoolExecutor(3) as pool:
        growing = [pool.submit(grow, log, 37) for _ in range(60)]
        proving = [pool.submit(prove, at % 300) for at in range(200)]
        for each in (*growing, *proving):
            each.result()


def test_l51_a_full_tile_that_was_cut_off_is_an_error(tmp_path: Path) -> None:
    log = opened(tmp_path / "log.sqlite")
    grow(log, 600)
    log.close()
    change(tmp_path / "log.sqlite", 'UPDATE tile SET data = substr(data, 1, 64) WHERE "index" = 0')
    again = opened(tmp_path / "log.sqlite")
    with pytest.raises(CorruptLogError, match="tile 0 of level 0 has 2 hashes, want 256"):
        again.prove_inclusion(3)
    again.close()


def test_l52_a_log_opens_where_it_was_closed(tmp_path: Path) -> None:
    known: list[bytes] = []
    for count in (1, 255, 1, 700, 3):
        log = opened(tmp_path / "log.sqlite")
        assert [*log.entries(0, log.size)] == known
        known += [f"entry {log.size + at}".encode() for at in range(count)]
        grow(log, count)
        assert log.head().root == root(known)
        log.close()


def test_l53_a_second_writer_is_refused_and_nothing_is_written(log: Log, tmp_path: Path) -> None:
    grow(log, 3)
    other = opened(tmp_path / "log.sqlite")
    grow(log, 1)
    with pytest.raises(ForkError, match="want 3"):
        grow(other, 1)
    other.close()
    reopened = opened(tmp_path / "log.sqlite")
    assert reopened.checkpoint() == log.checkpoint()
    reopened.close()


def test_l54_a_batch_with_an_entry_too_large_is_refused_whole(log: Log) -> None:
    grow(log, 2)
    before = log.checkpoint()
    with pytest.raises(EntryTooLargeError):
        log.append([b"fits", bytes(tiles.MAX_ENTRY_BYTES + 1)])
    assert (log.size, log.checkpoint()) == (2, before)
    grow(log, 1)
    assert log.head().root == root([b"entry 0", b"entry 1", b"entry 2"])


def test_l55_a_key_of_another_name_cannot_open_a_log(tmp_path: Path) -> None:
    with pytest.raises(NoteError, match="want"):
        Log.open(tmp_path / "log.sqlite", ORIGIN, OTHER)


CORRUPTIONS = {
    "another key": "",
    "an older checkpoint": "UPDATE head SET note = (SELECT note FROM older)",
    "a larger size": "UPDATE head SET size = size + 1",
    "a smaller size": "UPDATE head SET size = size - 1",
    "a checkpoint that is none": "UPDATE head SET note = 'hello'",
    "a hash of the last tile": 'UPDATE tile SET data = zeroblob(96) WHERE "index" = 2',
    "a hash of the tile above": "UPDATE tile SET data = zeroblob(64) WHERE level = 1",
    "the last tile missing": 'DELETE FROM tile WHERE level = 0 AND "index" = 2',
    "the last tile cut off": 'UPDATE tile SET data = substr(data, 1, 32) WHERE "index" = 2',
    "the last tile not of whole hashes": 'UPDATE tile SET data = substr(data, 2) WHERE "index" = 2',
    "an entry of the last bundle": "UPDATE bundle SET data = CAST(replace(data, 'y', 'z') AS BLOB)",
    "the last bundle missing": 'DELETE FROM bundle WHERE "index" = 2',
    "the last bundle cut off": "UPDATE bundle SET data = substr(data, 1, 5)",
}


@pytest.mark.parametrize("why", CORRUPTIONS)
def test_l56_a_store_that_was_changed_does_not_open(why: str, tmp_path: Path) -> None:
    path = tmp_path / "log.sqlite"
    log = opened(path)
    grow(log, 100)
    older = log.checkpoint()
    grow(log, 415)
    log.close()
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE older (note TEXT)")
        connection.execute("INSERT INTO older VALUES (?)", [older])
    connection.close()
    if CORRUPTIONS[why]:
        change(path, CORRUPTIONS[why])
    signer = signed_note.generate(ORIGIN) if why == "another key" else SIGNER
    with pytest.raises(CorruptLogError):
        Log.open(path, ORIGIN, signer)


def test_l56_an_older_bundle_cut_off_is_noticed_when_it_is_read(log: Log, tmp_path: Path) -> None:
    grow(log, 600)
    change(tmp_path / "log.sqlite", 'UPDATE bundle SET data = substr(data, 1, 9) WHERE "index" = 0')
    with pytest.raises(CorruptLogError, match="bundle 0"):
        [*log.entries(0, 600)]


NO_ENTRIES = {"before the start": (-1, 1), "beyond the end": (0, 4), "backwards": (2, 1)}


@pytest.mark.parametrize("why", NO_ENTRIES)
def test_l50_no_entries_are_read(why: str, log: Log) -> None:
    grow(log, 3)
    with pytest.raises(IndexError):
        [*log.entries(*NO_ENTRIES[why])]


@pytest.mark.parametrize("size", [0, 1, 255, 256, 257, 65_536 + 300])
def test_l57_the_directory_is_complete_and_its_root_follows_from_its_bundles(
    size: int, log: Log, tmp_path: Path
) -> None:
    if size:
        grow(log, size)
    log.export(tmp_path / "public")
    found = entries(tmp_path / "public")
    assert found == [f"entry {at}".encode() for at in range(size)]
    said = (tmp_path / "public" / "checkpoint").read_text().split("\n")
    assert said[:2] == [ORIGIN, str(size)]
    assert base64.b64decode(said[2]) == root(found)
    assert {*paths(tmp_path / "public")} == {*expected(size)}


def paths(folder: Path) -> Iterator[str]:
    yield from (str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def expected(size: int) -> Iterator[str]:
    """Every file of tlog-tiles for `size` leaves, where no index has four digits."""
    yield "checkpoint"
    for kind, count in (("entries", size), ("0", size), ("1", size // 256), ("2", size // 65_536)):
        yield from (f"tile/{kind}/{index:03d}" for index in range(count // 256))
        if count % 256:
            yield f"tile/{kind}/{count // 256:03d}.p/{count % 256}"


def test_l57_every_tile_hashes_to_the_one_above(log: Log, tmp_path: Path) -> None:
    grow(log, 700)
    log.export(tmp_path)
    folder = tmp_path / "tile"
    for index in range(2):
        hashes = (folder / "0" / f"{index:03d}").read_bytes()
        subtree = entries(tmp_path)[index * 256 : (index + 1) * 256]
        assert len(hashes) == 256 * 32
        assert (folder / "1" / "000.p" / "2").read_bytes()[32 * index :][:32] == root(subtree)


def test_l57_publishing_writes_what_is_new_and_removes_partial_files_that_were_replaced(
    log: Log, tmp_path: Path
) -> None:
    folder, size = tmp_path / "public", 0
    for more in (1, 254, 1, 0, 300, 65_000, 400):
        if more:
            grow(log, more)
        size += more
        written = {path: (folder / path).stat().st_mtime_ns for path in paths(folder)}
        log.export(folder)
        left = {path: (folder / path).stat().st_mtime_ns for path in paths(folder)}
        again = {path for path, at in written.items() if left.get(path, at) != at}
        assert again <= {"checkpoint"}
        # A smaller partial file of a tile that is not complete stays for those who still read it.
        assert {*expected(size)} <= {*left}
        assert not [path for path in left if ".p/" in path and path.split(".p/")[0] in left]
        assert root(entries(folder)) == log.head().root


def test_l57_publishing_again_reads_no_tile_that_was_complete(log: Log, tmp_path: Path) -> None:
    grow(log, 1000)
    log.export(tmp_path)
    (tmp_path / "tile" / "entries" / "000").unlink()
    grow(log, 1)
    log.export(tmp_path)
    assert not (tmp_path / "tile" / "entries" / "000").exists()  # fsck finds it


def test_l58_publishing_again_changes_nothing_and_growth_changes_no_file(
    log: Log, tmp_path: Path
) -> None:
    folder = tmp_path / "public"
    grow(log, 300)
    log.export(folder)
    before = {path: (folder / path).read_bytes() for path in paths(folder)}
    log.export(folder)
    assert {path: (folder / path).read_bytes() for path in paths(folder)} == before
    grow(log, 300)
    log.export(folder)
    after = {path: (folder / path).read_bytes() for path in paths(folder)}
    gone = {path for path in before if path not in after}
    assert gone == {"tile/0/001.p/44", "tile/entries/001.p/44"}
    left = before.keys() - gone - {"checkpoint"}
    assert {path: after[path] for path in left} == {path: before[path] for path in left}
    assert root(entries(folder)) == log.head().root


def test_l58_a_directory_of_another_history_is_left_alone(log: Log, tmp_path: Path) -> None:
    other = opened(tmp_path / "other.sqlite")
    other.append([b"another"])
    other.export(tmp_path / "public")
    other.close()
    before = (tmp_path / "public" / "checkpoint").read_bytes()
    grow(log, 2)
    with pytest.raises(CorruptLogError, match="a different history"):
        log.export(tmp_path / "public")
    assert (tmp_path / "public" / "checkpoint").read_bytes() == before


def test_l58_a_published_checkpoint_never_regresses(log: Log, tmp_path: Path) -> None:
    grow(log, 3)
    log.export(tmp_path / "public")
    older = opened(tmp_path / "older.sqlite")
    grow(older, 2)
    with pytest.raises(CorruptLogError, match="restore the newer database"):
        older.export(tmp_path / "public")
    older.close()


def test_l58_a_published_tile_with_other_bytes_is_noticed(log: Log, tmp_path: Path) -> None:
    grow(log, 256)
    log.export(tmp_path)
    (tmp_path / "tile" / "0" / "001").write_bytes(b"other")
    grow(log, 256)
    with pytest.raises(CorruptLogError, match="other bytes"):
        log.export(tmp_path)


def test_l57_this_reader_shares_no_code_with_the_writer() -> None:
    source = Path(sys.modules["tests.ledger.worlds"].__file__ or "").read_text()
    readers = source[source.index("def entries(") :]
    assert "ledger" not in readers
    assert "tile." not in readers

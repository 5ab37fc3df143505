"""Checks that a published tile directory is a prefix of its log, byte for byte."""

import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import groupby
from pathlib import Path

from ledger.integrity.finding import FsckFinding, unreadable
from ledger.storage.interface import Head
from ledger.storage.sqlite import SqlLog
from ledger.tlog import checkpoint, merkle, policy, signed_note
from ledger.tlog import tiles as tile
from ledger.tlog.checkpoint import Checkpoint, MalformedCheckpointError
from ledger.tlog.compact_range import Frontier
from ledger.tlog.merkle import HASH_SIZE, Hash, NodeReader
from ledger.tlog.policy import LogPolicy
from ledger.tlog.tiles import HEIGHT, WIDTH, MalformedTileError

CHECKPOINT = "checkpoint"
MAX_NAMED = 4  # files that one finding names
_FILE = re.compile(r"tile/(entries|[0-7])/((?:x\d{3}/)*\d{3})(?:\.p/([1-9]\d{0,2}))?")


def text(folder: Path) -> str | None:
    """The published checkpoint as it is stored, or None. Raises OSError, UnicodeDecodeError."""
    try:
        return (folder / CHECKPOINT).read_bytes().decode()
    except FileNotFoundError:
        return None


def newest(folder: Path, keys: Path) -> Checkpoint | None:
    """The checkpoint published in `folder`, None if there is none.

    `keys`: a policy or a file of verifier keys, one of which must have signed; if it is missing,
    the signature is not checked. Raises ValueError (NoteError, LogPolicyError) or OSError.
    """
    if (stored := text(folder)) is None:
        return None
    note = signed_note.parse(stored)
    try:
        return trusted(keys).verify(note) if keys.exists() else checkpoint.parse(note.text)
    except MalformedCheckpointError as error:
        raise ValueError(str(error)) from error


def trusted(keys: Path) -> LogPolicy:
    """The keys in a policy, whose witnesses are not asked for, or in a file of verifier keys.

    Raises OSError, ValueError.
    """
    if keys.suffix == ".policy":  # a checkpoint need not be cosigned yet
        return replace(policy.parse(keys.read_bytes()), quorum=policy.NONE)
    return LogPolicy(tuple(policy.log_key(line) for line in keys.read_text("utf-8").splitlines()))


def has_root(store: SqlLog, older: Checkpoint) -> bool:
    """Whether the log in `store` has this root at this size, as far as its tiles tell."""
    try:
        return root_at(store, older.size) == older.root
    except MalformedTileError:
        return False


def root_at(store: SqlLog, size: int) -> Hash:
    """The root of the first `size` entries, from the stored tiles. Raises MalformedTileError."""
    return merkle.root(size, _nodes(store))


def frontier(store: SqlLog, size: int) -> Frontier:
    """The frontier of the first `size` entries, from stored tiles. Raises MalformedTileError."""
    return Frontier.of(size, _nodes(store))


def check(
    home: Path, name: str, store: SqlLog, older: "Published", since: int = 0
) -> Iterator[FsckFinding]:
    """Compare `home/log/<name>` with its log. `older`: what was published before `store` was read.

    `since`: files of the entries before were compared.
    A file that is missing or differs is named once for each kind, however many there are.
    """
    yield from older.findings
    head = store.head() or Head(0, "")
    size = older.checkpoint.size if older.checkpoint else 0
    where = f"published {CHECKPOINT}"
    if size > head.size:
        what = f"it is for {size} entries, the log has {head.size}"
        yield FsckFinding(where, what, f"log/{name}/{CHECKPOINT}")
        return
    if older.checkpoint and not has_root(store, older.checkpoint):
        what = f"its root is not that of the log's first {size} entries"
        yield FsckFinding(where, what, f"log/{name}/{CHECKPOINT}")
    folder = home / "log" / name
    files = [each for each in older.files if not _is_before(each, since)]
    missing = (each for each in _missing(folder, size) if not _is_before(each, since))
    wrong = sorted({*missing, *_differing(folder, store, head.size, files)})
    for kind, paths in groupby(wrong, key=lambda path: path.split("/")[1]):
        names = [f"log/{name}/{each}" for each in paths]
        what = f"{len(names)} files are missing or differ: {', '.join(names[:MAX_NAMED])}"
        yield FsckFinding(f"published {kind}", what, names[0])


class Published:
    """What is published of a log, listed before the log is read, which may grow meanwhile."""

    def __init__(self, home: Path, name: str, key: str) -> None:
        folder = home / "log" / name
        self.files = [each.relative_to(folder).as_posix() for each in _all(folder)]
        self.findings: list[FsckFinding] = []
        self.checkpoint: Checkpoint | None = None
        file, where = f"log/{name}/{CHECKPOINT}", f"published {CHECKPOINT}"
        try:
            self.checkpoint = newest(folder, home / key)
        except ValueError as error:
            self.findings = [FsckFinding(where, str(error), file)]
        except OSError as error:
            self.findings = [unreadable(file, error)]


def _nodes(store: SqlLog) -> NodeReader:
    def read(level: int, index: int) -> Hash:
        place = tile.tile_of(level, index)
        return tile.node(tile.split(store.tile(*place) or b""), level, index)

    return read


def _all(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.glob("tile/**/*")) if path.is_file()]


def _missing(folder: Path, size: int) -> Iterator[str]:
    for level in tile.levels(size):
        for index, width in tile.widths(size, level):
            if not (folder / (path := tile.path(str(level), index, width))).exists():
                yield path
    for index, width in tile.widths(size, 0):
        if not (folder / (path := tile.path("entries", index, width))).exists():
            yield path


def _differing(folder: Path, store: SqlLog, size: int, files: list[str]) -> Iterator[str]:
    """The files that are no tile or bundle of the log's `size` entries. Also earlier partial ones.

    A file of later entries is no finding: an export may have been interrupted, or go on now.
    """
    for path in files:
        if path.endswith(".tmp"):
            continue  # of a write that was cut off; the next one replaces it
        if (found := _FILE.fullmatch(path)) is None:
            yield path
            continue
        kind, index, width = found[1], _index(found[2]), int(found[3] or WIDTH)
        if _end(kind, index, width) > size:
            continue
        if (folder / path).read_bytes() != _expected(store, kind, index, width):
            yield path


def _is_before(path: str, since: int) -> bool:
    """Whether the file rests on the first `since` entries only."""
    if not since or (found := _FILE.fullmatch(path)) is None:
        return False
    return _end(found[1], _index(found[2]), int(found[3] or WIDTH)) <= since


def _end(kind: str, index: int, width: int) -> int:
    """The number of entries that the file rests on."""
    level = 0 if kind == "entries" else int(kind)
    return (index * WIDTH + width) << HEIGHT * level


def _expected(store: SqlLog, kind: str, index: int, width: int) -> bytes:
    if kind != "entries":
        return (store.tile(int(kind), index) or b"")[: HASH_SIZE * width]
    data = store.bundle(index) or b""
    try:
        return data if width == WIDTH else tile.bundle(tile.unbundle(data)[:width])
    except MalformedTileError:
        return b""  # reported with the log


def _index(groups: str) -> int:
    return int(groups.replace("x", "").replace("/", ""))

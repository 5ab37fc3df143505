"""Check the files of a ledger that no process is writing.

Everything is recomputed from the entries and compared with what is stored. Without findings, the
log proves every entry, every sealed event decrypts to the event that its leaf commits to, the map
holds exactly the states computed from these events, and the published directory is a prefix of
the log.
"""

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from itertools import groupby
from pathlib import Path

from sqlalchemy.exc import DatabaseError

from ledger.fsck_events import FsckFinding, sealed
from ledger.statemap import map_proof, verifiable_map
from ledger.statemap.map_proof import StateRoot
from ledger.statemap.verifiable_map import StateMap
from ledger.storage.interface import Head
from ledger.storage.sqlite import SqlLog, SqlStore, StateStore
from ledger.tlog import checkpoint, merkle, policy, signed_note
from ledger.tlog import tiles as tile
from ledger.tlog.checkpoint import Checkpoint, MalformedCheckpointError
from ledger.tlog.merkle import Hash
from ledger.tlog.policy import LogPolicy, LogPolicyError
from ledger.tlog.signed_note import NoteError
from ledger.tlog.tiles import HEIGHT, WIDTH, MalformedTileError

Progress = Callable[[int, int], None]  # (entries checked, entries in total)


def fsck(home: Path, progress: Progress = lambda _done, _all: None) -> Iterator[FsckFinding]:
    """Yield findings about the data directory `home`, which no process may write meanwhile."""
    yield from _consent(home, progress)
    for folder in sorted((home / "reads").glob("*")):
        key = home / "keys" / f"{folder.name}.vkey"
        published = home / "log" / folder.name
        for each in _log(folder / "log.sqlite", key, published, progress):
            yield FsckFinding(f"{folder.name}, {each.where}", each.what)


def _log(database: Path, key: Path, published: Path, progress: Progress) -> Iterator[FsckFinding]:
    if not database.exists():
        yield FsckFinding("database", f"{database} is missing; restore it from a backup")
        return
    try:
        with closing(SqlStore(database)) as store:
            yield from _one(store, key, published, progress)
    except DatabaseError as error:
        yield FsckFinding("database", f"{error.orig}; restore it from a backup")


def _one(store: SqlLog, key: Path, published: Path, progress: Progress) -> Iterator[FsckFinding]:
    try:
        yield from _Check(store, _trust(key), progress).findings()
        yield from _published(store, published)
    except (OSError, NoteError, LogPolicyError) as error:
        yield FsckFinding("verifier key", str(error))


def _consent(home: Path, progress: Progress) -> Iterator[FsckFinding]:
    database = home / "ledger.sqlite"
    yield from _log(database, home / "consent.policy", home / "log" / "consent", progress)
    if database.exists():
        yield from sealed(home, database)
        yield from _states(home, database, progress)


def _states(home: Path, database: Path, progress: Progress) -> Iterator[FsckFinding]:
    try:
        with closing(SqlStore(database)) as store:
            states, key = store.state_store(), home / "state.policy"
            for each in _one(states, key, home / "log" / "state", progress):
                yield FsckFinding(f"state log, {each.where}", each.what)
            yield from _map(states, store.head() or Head(0, ""))
    except DatabaseError:
        return  # reported with the log


def _map(states: StateStore, head: Head) -> Iterator[FsckFinding]:
    """Check the map against its records, and the newest entry against the map and consent log."""
    for number, root, records in states.buckets():
        if verifiable_map.bucket_root(records) != root:
            what = f"bucket {number}: its records do not hash to its stored root"
            yield FsckFinding("state map", f"{what}; restore a backup")
    try:
        newest = _newest(states)
        consent = checkpoint.parse(signed_note.parse(head.note).text) if head.note else None
    except (ValueError, KeyError, TypeError) as error:
        yield FsckFinding("state log, newest entry", str(error))
        return
    if StateMap(states.roots(), states.records).root != newest.map:
        yield FsckFinding("state map", "its root is not that of the state log's newest entry")
    if consent and (newest.size, newest.root) != (consent.size, consent.root):
        what = (
            f"it names {newest.size} entries, the consent log has {consent.size}; their roots are "
            f"{newest.root.hex()} and {consent.root.hex()}"
        )
        yield FsckFinding("state log, newest entry", what)


def _newest(states: StateStore) -> StateRoot:
    if not (size := (states.head() or Head(0, "")).size):
        return map_proof.newest([])
    index, width = divmod(size - 1, WIDTH)
    return map_proof.newest(tile.unbundle(states.bundle(index) or b"")[: width + 1])


def _trust(path: Path) -> LogPolicy:
    if path.suffix == ".policy":  # the stored checkpoint need not be cosigned yet
        return replace(policy.parse(path.read_bytes()), quorum=policy.NONE)
    return LogPolicy(tuple(policy.log_key(line) for line in path.read_text("utf-8").splitlines()))


class _Check:
    """Checks one log. Keeps only the right edge of the tree in memory, however large the log."""

    def __init__(self, store: SqlLog, trust: LogPolicy, progress: Progress) -> None:
        self._store = store
        self._trust = trust
        self._progress = progress
        self._edge: list[list[Hash]] = []

    def findings(self) -> Iterator[FsckFinding]:
        if (head := self._store.head()) is None:
            if self._store.bundle(0) is not None:
                yield FsckFinding(
                    "checkpoint", "missing, although there are entries; restore a backup"
                )
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

    def _entries(self, head: Checkpoint) -> Iterator[FsckFinding]:
        for index, width in tile.widths(head.size, 0):
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


def _published(store: SqlLog, folder: Path) -> Iterator[FsckFinding]:
    """Check that the published directory is a prefix of the log, byte for byte."""
    if not (folder / "checkpoint").exists():
        return
    head = store.head() or Head(0, "")
    try:
        text = (folder / "checkpoint").read_bytes().decode()
        older = checkpoint.parse(signed_note.parse(text).text)
    except (ValueError, MalformedCheckpointError) as error:
        yield FsckFinding("published checkpoint", str(error))
        return
    if older.size > head.size:
        yield FsckFinding(
            "published checkpoint", f"it is for {older.size} entries, the log has {head.size}"
        )
        return
    for kind, files in groupby(_files(store, older.size), key=lambda file: file[0].split("/")[1]):
        wrong = [path for path, data in files if _bytes(folder / path) != data]
        if wrong:
            what = f"{len(wrong)} files are missing or differ: {', '.join(wrong[:4])}"
            yield FsckFinding(f"published {kind}", what)


def _files(store: SqlLog, size: int) -> Iterator[tuple[str, bytes]]:
    for level in tile.levels(size):
        for index, width in tile.widths(size, level):
            data = (store.tile(level, index) or b"")[: 32 * width]
            yield tile.path(str(level), index, width), data
    for index, width in tile.widths(size, 0):
        data = store.bundle(index) or b""
        if width < WIDTH and data:
            data = tile.bundle(tile.unbundle(data)[:width])
        yield tile.path("entries", index, width), data


def _bytes(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None

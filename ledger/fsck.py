"""Check a ledger at rest: database, tiles, checkpoint, vault and published directory agree.

Everything is computed anew from the entries; nothing that is stored is believed. A finding says
where and what; no findings means that the log proves every entry, that every sealed event opens
to the event its leaf commits to, and that what was published is a prefix of it.
"""

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from sqlalchemy.exc import DatabaseError

from ledger import checkpoint, commitment, event, note, policy, tile, tree, vault
from ledger.checkpoint import Checkpoint, MalformedCheckpointError
from ledger.commitment import PERSONAL, PERSONAL_SIZE, TAG_SIZE
from ledger.event import MalformedEventError
from ledger.note import NoteError
from ledger.policy import Policy, PolicyError
from ledger.stores import Head
from ledger.stores.sql import SqlStore
from ledger.tile import HEIGHT, WIDTH, MalformedTileError
from ledger.tree import Hash
from ledger.vault import Vault, VaultError

Progress = Callable[[int, int], None]  # entries checked, entries in all


@dataclass(frozen=True, slots=True)
class Finding:
    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


def fsck(home: Path, progress: Progress = lambda _done, _all: None) -> Iterator[Finding]:
    """Findings about everything under `home`, which no process may be writing meanwhile."""
    yield from _consent(home, progress)
    for folder in sorted((home / "reads").glob("*")):
        key = home / "keys" / f"{folder.name}.vkey"
        published = home / "log" / folder.name
        for each in _log(folder / "log.sqlite", key, published, progress):
            yield Finding(f"{folder.name}, {each.where}", each.what)


def _log(database: Path, key: Path, published: Path, progress: Progress) -> Iterator[Finding]:
    if not database.exists():
        yield Finding("database", f"{database} is missing; restore it from a backup")
        return
    try:
        with closing(SqlStore(database)) as store:
            yield from _Check(store, _trust(key), progress).findings()
            yield from _published(store, published)
    except (OSError, NoteError, PolicyError) as error:
        yield Finding("verifier key", str(error))
    except DatabaseError as error:
        yield Finding("database", f"{error.orig}; restore it from a backup")


def _consent(home: Path, progress: Progress) -> Iterator[Finding]:
    database = home / "ledger.sqlite"
    yield from _log(database, home / "consent.policy", home / "log" / "consent", progress)
    if database.exists():
        yield from _sealed(home, database)


def _trust(path: Path) -> Policy:
    if path.suffix == ".policy":
        return policy.parse(path.read_bytes())
    return Policy(tuple(policy.log_key(line) for line in path.read_text("utf-8").splitlines()))


class _Check:
    """One log against itself. Holds the right edge of the tree and nothing that grows."""

    def __init__(self, store: SqlStore, trust: Policy, progress: Progress) -> None:
        self._store = store
        self._trust = trust
        self._progress = progress
        self._edge: list[list[Hash]] = []

    def findings(self) -> Iterator[Finding]:
        if (head := self._store.head()) is None:
            if self._store.bundle(0) is not None:
                yield Finding("checkpoint", "missing, though there are entries; restore a backup")
            return
        try:
            signed = self._trust.verify(note.parse(head.note))
        except (NoteError, PolicyError) as error:
            yield Finding("checkpoint", str(error))
            return
        if signed.size != head.size:
            yield Finding("checkpoint", f"of {signed.size} entries, the database says {head.size}")
        yield from self._entries(signed)
        yield from self._beyond(signed.size)

    def _entries(self, head: Checkpoint) -> Iterator[Finding]:
        for index, width in tile.widths(head.size, 0):
            leaves, found = self._leaves(index, width)
            yield from found
            yield from self._push(0, index, leaves)
            self._progress(min((index + 1) * WIDTH, head.size), head.size)
        yield from self._partial(head.size)
        if not any(self._edge) and head.size == 0:
            computed = tree.EMPTY_ROOT
        else:
            computed = tile.edge_root(head.size, self._edge)
        if computed != head.root:
            yield Finding("checkpoint", f"its root is not that of the {head.size} entries")

    def _leaves(self, index: int, width: int) -> tuple[list[Hash], list[Finding]]:
        """The leaf hashes of a bundle; if it is unreadable, what the tile says they were."""
        where = f"entry bundle {index}"
        try:
            entries = tile.unbundle(self._store.bundle(index) or b"")
        except MalformedTileError as error:
            return self._stored(0, index, width), [Finding(where, str(error))]
        if len(entries) != width:
            finding = Finding(where, f"{len(entries)} entries, want {width}")
            return self._stored(0, index, width), [finding]
        return tree.leaf_hashes(entries), []

    def _stored(self, level: int, index: int, width: int) -> list[Hash]:
        data = self._store.tile(level, index) or b""
        hashes = [data[at : at + 32] for at in range(0, len(data), 32)][:width]
        return hashes + [bytes(32)] * (width - len(hashes))

    def _push(self, level: int, index: int, hashes: list[Hash]) -> Iterator[Finding]:
        """Compare one tile with what it should hold, and carry its root up if it is full."""
        if len(self._edge) == level:
            self._edge.append([])
        if len(hashes) < WIDTH:
            self._edge[level] = hashes
            return
        yield from self._compare(level, index, hashes)
        self._edge[level] = []
        if len(self._edge) == level + 1:
            self._edge.append([])
        above = [*self._edge[level + 1], tree.complete_root(hashes)]
        yield from self._push(level + 1, index // WIDTH, above)

    def _partial(self, size: int) -> Iterator[Finding]:
        for level, hashes in enumerate(self._edge):
            if hashes:
                yield from self._compare(level, (size >> HEIGHT * level) // WIDTH, hashes)

    def _compare(self, level: int, index: int, hashes: list[Hash]) -> Iterator[Finding]:
        where = f"tile {index} of level {level}"
        if (data := self._store.tile(level, index)) is None:
            yield Finding(where, "missing")
        elif data != b"".join(hashes):
            stored = self._stored(level, index, len(hashes))
            wrong = [at for at, each in enumerate(hashes) if stored[at] != each]
            what = f"hashes {wrong[:8]} are not those" if wrong else "it does not end with those"
            yield Finding(where, f"{what} of the entries below")

    def _beyond(self, size: int) -> Iterator[Finding]:
        bundles, tiles = self._store.beyond(size)
        if bundles or tiles:
            what = f"{bundles} bundles and {tiles} tiles lie beyond the {size} signed entries"
            yield Finding("database", what)


def _sealed(home: Path, database: Path) -> Iterator[Finding]:
    try:
        with closing(SqlStore(database)) as store, closing(Vault(home / "keys")) as keys:
            yield from _Events(store, keys).findings()
    except VaultError as error:
        yield Finding("key store", str(error))
    except DatabaseError:
        return  # reported with the log


class _Events:
    """The sealed events against the leaves and the keys."""

    def __init__(self, store: SqlStore, keys: Vault) -> None:
        self._store = store
        self._keys = keys
        self._unsealed: dict[bytes, int] = {}  # tag -> index, of entries without sealed event

    def findings(self) -> Iterator[Finding]:
        head = self._store.head() or Head(0, "")
        for index, width in tile.widths(head.size, 0):
            yield from self._bundle(index * WIDTH, width)
        stray = self._store.sealed_tags(head.size, 1 << 62)
        if stray:
            yield Finding("vault", f"sealed events for entries {sorted(stray)[:8]}, which are none")
        for _, key in self._keys.everybody():
            yield from self._customer(key)

    def _bundle(self, lo: int, width: int) -> Iterator[Finding]:
        try:
            entries = tile.unbundle(self._store.bundle(lo // WIDTH) or b"")[:width]
        except MalformedTileError:
            return  # reported with the log
        tags = self._store.sealed_tags(lo, lo + width)
        for index, entry in enumerate(entries, lo):
            tag = tags.pop(index, None)
            if entry[:1] == PERSONAL and tag is None:
                self._unsealed[entry[1 : 1 + TAG_SIZE]] = index
            elif tag is not None and (entry[:1] != PERSONAL or entry[1 : 1 + TAG_SIZE] != tag):
                yield Finding(f"sealed event {index}", "its tag is not the one of its leaf")
            elif tag is None:
                yield from _public(index, entry)
            elif len(entry) != PERSONAL_SIZE:
                yield Finding(f"entry {index}", f"{len(entry)} bytes, want {PERSONAL_SIZE}")

    def _customer(self, key: bytes) -> Iterator[Finding]:
        """Every event of one customer opens, follows the one before, and none is missing."""
        previous, seq = event.FIRST, 1
        while True:
            secrets = commitment.secrets(key, seq)
            tag = secrets.opening.tag
            if tag in self._unsealed:
                index = self._unsealed[tag]
                yield Finding(f"entry {index}", "its sealed event is missing; restore a backup")
                previous = b""
            elif (found := self._store.sealed(tag)) is None:
                return
            else:
                index, sealed = found
                digest, why = self._open(secrets, seq, previous, index, sealed)
                if why:
                    yield Finding(f"sealed event {index}", why)
                previous = digest
            seq += 1

    def _open(
        self, secrets: commitment.Secrets, seq: int, previous: bytes, index: int, sealed: bytes
    ) -> tuple[bytes, str]:
        """The event's digest and what is wrong with it; an unknown predecessor is not compared."""
        try:
            bundle = tile.unbundle(self._store.bundle(index // WIDTH) or b"")
            entry = bundle[index % WIDTH] if index % WIDTH < len(bundle) else b""
            data = vault.unseal(secrets, sealed, entry)
            found = event.decode(data)
        except (VaultError, MalformedEventError, MalformedTileError) as error:
            return b"", str(error)
        if commitment.personal_entry(secrets.opening, data) != entry:
            return b"", "it is not the event its leaf commits to"
        if not isinstance(found, event.Instruction) or found.seq != seq:
            return b"", f"it is not the customer's instruction {seq}"
        broken = previous and found.prev != previous
        return event.digest(found), "it does not follow the instruction before" if broken else ""


def _public(index: int, entry: bytes) -> Iterator[Finding]:
    try:
        found = event.decode(entry[1:])
    except MalformedEventError as error:
        yield Finding(f"entry {index}", f"not an event: {error}")
        return
    if entry[:1] != commitment.PUBLIC or isinstance(found, event.Instruction):
        yield Finding(f"entry {index}", "an instruction stands in clear, or of no kind")


def _published(store: SqlStore, folder: Path) -> Iterator[Finding]:
    """What was published is a prefix of the log, byte for byte."""
    if not (folder / "checkpoint").exists():
        return
    head = store.head() or Head(0, "")
    try:
        text = (folder / "checkpoint").read_bytes().decode()
        older = checkpoint.parse(note.parse(text).text)
    except (ValueError, MalformedCheckpointError) as error:
        yield Finding("published checkpoint", str(error))
        return
    if older.size > head.size:
        yield Finding("published checkpoint", f"of {older.size} entries, the log has {head.size}")
        return
    for kind, files in groupby(_files(store, older.size), key=lambda file: file[0].split("/")[1]):
        wrong = [path for path, data in files if _bytes(folder / path) != data]
        if wrong:
            what = f"{len(wrong)} files missing or with other bytes: {', '.join(wrong[:4])}"
            yield Finding(f"published {kind}", what)


def _files(store: SqlStore, size: int) -> Iterator[tuple[str, bytes]]:
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

"""Check the logs, keys and published directories of a data directory, also while it is served.

Everything is recomputed from the entries and compared with what is stored. Without findings, the
log proves every entry, every sealed event decrypts to the event that its leaf commits to, the map
holds exactly the states computed from these events, the key files belong together, and the
published directories are prefixes of their logs.

Every database is read as it is at one moment; what the writer commits later is not seen. What has
to be older than the log (the published directories, the epoch) is read before it, and what has to
be newer (the read logs, which the log anchors) after it.
"""

from base64 import b64decode
from collections.abc import Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from sqlite3 import Connection

from ledger.events.envelope import KeyRotated, PublicEvent, ReadLogAnchored, ReadLogOpened
from ledger.integrity import finding, key_files, log, published, receipts, sealed_events
from ledger.integrity.finding import FsckFinding, unreadable
from ledger.integrity.log import Progress
from ledger.integrity.published import Published
from ledger.integrity.start import DATABASE, READ_LOG, VAULT
from ledger.statemap import map_proof, verifiable_map
from ledger.statemap.map_proof import StateRoot
from ledger.statemap.verifiable_map import StateMap
from ledger.storage import snapshot
from ledger.storage.interface import Head
from ledger.storage.snapshot import (
    DamagedDatabaseError,
    SnapshotStore,
    UnavailableDatabaseError,
)
from ledger.storage.sqlite import SqlStore, StateStore
from ledger.tlog import checkpoint, policy, signed_note
from ledger.tlog import tiles as tile
from ledger.tlog.checkpoint import Checkpoint
from ledger.tlog.tiles import WIDTH
from ledger.vault.stored_keys import StoredKeys, stored_keys
from ledger.vault.vault import VaultError


@dataclass(slots=True)
class PublicEntries:
    """The company's public acts that the consent log has, by index. `size`: of the log."""

    events: dict[int, PublicEvent] = field(default_factory=dict)
    size: int = 0

    def add(self, index: int, event: PublicEvent) -> None:
        self.events[index] = event


def fsck(
    home: Path,
    progress: Progress = lambda _done, _all: None,
    acts: PublicEntries | None = None,
) -> Iterator[FsckFinding]:
    """Yield findings about the data directory `home`. Changes nothing, and locks nothing.

    `acts` receives the public entries of the consent log, for further checks.
    """
    acts = acts or PublicEntries()
    yield from key_files.check(home)
    yield from _consent(home, progress, acts)
    yield from receipts.check(home, [at for at, _ in _rotations(acts)], acts.size)
    yield from _policies(home, acts)
    for instance in _instances(home, acts):
        yield from _read_log(home, instance, progress, acts)


def _consent(home: Path, progress: Progress, acts: PublicEntries) -> Iterator[FsckFinding]:
    older = Published(home, "consent", "consent.policy"), Published(home, "state", "state.policy")
    looked: list[StoredKeys | None] = []

    def content(connection: Connection) -> Iterator[FsckFinding]:
        store = SnapshotStore(connection)
        acts.size = (store.head() or Head(0, "")).size
        yield from log.check(home, store, "consent.policy", progress)
        yield from log.active(home, store, "keys/consent.vkey")
        yield from published.check(home, "consent", store, older[0])
        # After the log's snapshot: the index of owners in the key store is ahead of the log.
        looked.append((yield from _keys(home)))
        if (keys := looked[0]) is not None:
            yield from sealed_events.check(store, keys, acts.add)
        if count := snapshot.malformed_idempotency(connection, acts.size):
            yield FsckFinding("table idempotency", f"{count} rows are not of this log")
        yield from _states(home, store, older[1], progress)

    yield from finding.database(home, DATABASE, content)
    if not looked:
        yield from _keys(home)


def _keys(home: Path) -> Generator[FsckFinding, None, StoredKeys | None]:
    """Check the key store and the erasure list; returns the keys if they can be used."""
    damaged = [*finding.database(home, VAULT)]
    yield from damaged
    if damaged:
        return None
    try:
        keys = stored_keys(home / "keys")
    except VaultError as error:
        yield FsckFinding("key store", str(error), "keys/kek")
        return None
    except DamagedDatabaseError as error:
        yield FsckFinding("key store", str(error), VAULT)
        return None
    except UnavailableDatabaseError as error:
        yield FsckFinding("key store", f"it cannot be read: {error}", VAULT, looked=False)
        return None
    except OSError as error:
        yield unreadable("keys/kek", error)
        return None
    if keys.unreadable:
        what = f"{keys.unreadable} customers' keys cannot be opened with keys/kek"
        yield FsckFinding("key store", what, VAULT)
    yield from key_files.erasures(home, keys.applied)
    yield from key_files.buried(home, keys.buried)
    return keys


def _states(
    home: Path, store: SnapshotStore, older: Published, progress: Progress
) -> Iterator[FsckFinding]:
    states = store.state_store()
    for each in (
        *log.check(home, states, "state.policy", progress),
        *log.active(home, states, "keys/state.vkey"),
    ):
        yield FsckFinding(f"state log, {each.where}", each.what, each.file)
    for each in published.check(home, "state", states, older):
        yield FsckFinding(f"state log, {each.where}", each.what, each.file)
    yield from _map(states, store.head() or Head(0, ""))


def _map(states: StateStore, head: Head) -> Iterator[FsckFinding]:
    """Check the map against its records, and the newest entry against the map and consent log."""
    for number, stored, records in states.buckets():
        if verifiable_map.bucket_root(records) != stored:
            what = f"bucket {number}: its records do not hash to its stored root"
            yield FsckFinding("state map", what)
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


def _policies(home: Path, acts: PublicEntries) -> Iterator[FsckFinding]:
    """Every key that the log ever announced must be in the policy of its log."""
    for name in ("consent", "state"):
        try:
            trusted = policy.parse((home / f"{name}.policy").read_bytes()).logs
        except (OSError, ValueError):
            continue  # reported with the keys
        origins, lines = {key.name for key in trusted}, {str(key) for key in trusted}
        for index, event in _rotations(acts):
            if event.origin in origins and (missing := {*event.keys} - lines):
                what = f"{len(missing)} keys of the rotation at entry {index} are not in it"
                yield FsckFinding("retired keys", what, f"keys/{name}.retired.policy")


def _rotations(acts: PublicEntries) -> Iterator[tuple[int, KeyRotated]]:
    """The entries of rotations, by index. An event whose keys are no keys is not one of ours."""
    for index, event in acts.events.items():
        if isinstance(event, KeyRotated):
            with suppress(ValueError):
                [*map(policy.log_key, event.keys)]
                yield index, event


def _instances(home: Path, acts: PublicEntries) -> list[str]:
    """The read logs that are here, or were: whose key is here. Others are on other hosts."""
    named = {path.name for path in (home / "reads").glob("*") if path.is_dir()}
    keys = {path.stem for path in (home / "keys").glob("reads-*.vkey")}
    opened = {_instance(e.origin) for e in acts.events.values() if isinstance(e, ReadLogOpened)}
    published_here = {path.name for path in (home / "log").glob("reads-*")}
    return sorted(named | (keys & opened) | (published_here & opened))


def _instance(origin: str) -> str:
    return origin.rsplit("/", 1)[-1]


def _read_log(
    home: Path, instance: str, progress: Progress, acts: PublicEntries
) -> Iterator[FsckFinding]:
    file, key = f"reads/{instance}/{READ_LOG}", f"keys/{instance}.vkey"
    older = Published(home, instance, key)

    def content(connection: Connection) -> Iterator[FsckFinding]:
        store = SnapshotStore(connection)
        yield from log.check(home, store, key, progress)
        yield from published.check(home, instance, store, older)
        yield from _anchored(store, instance, acts)

    for each in finding.database(home, file, content):
        yield FsckFinding(f"{instance}, {each.where}", each.what, each.file, looked=each.looked)
    yield from _opened(home, instance, key, acts)


def _opened(home: Path, instance: str, key: str, acts: PublicEntries) -> Iterator[FsckFinding]:
    """Compare the verifier key of a read log with the one that the consent log announced."""
    announced = {
        each.key
        for each in acts.events.values()
        if isinstance(each, ReadLogOpened) and _instance(each.origin) == instance
    }
    try:
        stored = (home / key).read_text("utf-8").strip()
    except (OSError, ValueError):
        return  # reported with the read log
    if announced and stored not in announced:
        yield FsckFinding("verifier key", "it is not the key that the consent log announced", key)


def _anchored(store: SqlStore, instance: str, acts: PublicEntries) -> Iterator[FsckFinding]:
    """Check that a read log still has the entries that the consent log anchored."""
    anchors = [
        each
        for each in acts.events.values()
        if isinstance(each, ReadLogAnchored) and _instance(each.origin) == instance
    ]
    if not anchors:
        return
    newest, size = max(anchors, key=lambda each: each.size), (store.head() or Head(0, "")).size
    if newest.size > size:
        what = f"the consent log anchored {newest.size} entries, it has {size}"
        yield FsckFinding("anchor", what)
    elif not published.has_root(store, Checkpoint(newest.origin, newest.size, _hash(newest.root))):
        yield FsckFinding("anchor", f"its first {newest.size} entries are not those anchored")


def _hash(text: str) -> bytes:
    """A root in base64; no hash if it is malformed."""
    try:
        return b64decode(text, validate=True)
    except ValueError:
        return b""

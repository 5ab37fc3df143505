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
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import msgspec

from ledger.events.envelope import (
    KeyRotated,
    PublicEvent,
    ReadLogAnchored,
    ReadLogClosed,
    ReadLogOpened,
    ReadLogRemoved,
)
from ledger.integrity import (
    finding,
    key_files,
    log,
    map_transitions,
    published,
    receipts,
    sealed_events,
)
from ledger.integrity.finding import FsckFinding, unreadable
from ledger.integrity.log import Progress
from ledger.integrity.published import Published
from ledger.integrity.start import READS
from ledger.statemap import map_proof, verifiable_map
from ledger.statemap.labels import Labels
from ledger.statemap.map_proof import StateRoot
from ledger.statemap.verifiable_map import StateMap
from ledger.storage import database
from ledger.storage.database import REMEMBERED, Database, DatabaseError
from ledger.storage.interface import Head
from ledger.storage.snapshot import (
    DamagedDatabaseError,
    SchemaSnapshot,
    SnapshotStore,
    UnavailableDatabaseError,
)
from ledger.storage.sqlite import LEDGER, SqlLog, SqlStore, StateStore
from ledger.storage.vault_store import VAULT
from ledger.tlog import checkpoint, policy, signed_note
from ledger.tlog import tiles as tile
from ledger.tlog.checkpoint import Checkpoint
from ledger.tlog.merkle import EMPTY_ROOT
from ledger.tlog.tiles import WIDTH
from ledger.vault.errors import VaultError
from ledger.vault.stored_keys import StoredKeys, stored_keys
from ledger.verify.read_log_rules import ReadLogRules

CONSENT, STATE = "consent", "state"  # names of logs; read logs are named by their instance
_READ_LOG_ACTS = (ReadLogOpened, ReadLogAnchored, ReadLogClosed)
Since = Mapping[str, Checkpoint]  # name -> what was checked of that log
NOTHING: Since = MappingProxyType({})


@dataclass(slots=True)
class PublicEntries:
    """The company's public acts that the consent log has, by index. `size`: of the log."""

    events: dict[int, PublicEvent] = field(default_factory=dict)
    size: int = 0
    seen: dict[str, Checkpoint] = field(
        default_factory=dict
    )  # of each log, by name, as it was read

    def head(self, name: str, store: SqlLog) -> None:
        """Note the checkpoint of a log."""
        with suppress(ValueError):
            if (head := store.head()) is not None:
                self.seen[name] = checkpoint.parse(signed_note.parse(head.note).text)

    def empty(self, name: str, before: Checkpoint | None) -> None:
        """Note a read log without entries, so that it is missed later, unless it was closed so.

        `before`: what was seen of it earlier; otherwise its opening is among the events.
        """
        acts = [each for each in self.events.values() if isinstance(each, _READ_LOG_ACTS)]
        own = [each for each in acts if _instance(each.origin) == name]
        origins = [each.origin for each in own if isinstance(each, ReadLogOpened)]
        origins += [] if before is None else [before.origin]
        if origins and not any(isinstance(each, ReadLogClosed) for each in own):
            self.seen[name] = Checkpoint(origins[0], 0, EMPTY_ROOT)

    def add(self, index: int, event: PublicEvent) -> None:
        self.events[index] = event


def fsck(
    home: Path,
    progress: Progress = lambda _done, _all: None,
    acts: PublicEntries | None = None,
    since: Since = NOTHING,
) -> Iterator[FsckFinding]:
    """Yield findings about the data directory `home`. Changes nothing, and locks nothing.

    `acts` receives the public entries of the consent log, for further checks. `since`: what was
    checked before, and is not again: entries, their tiles and published files, their customers
    unless they gave a later entry, and the pages of the databases.
    """
    acts = acts or PublicEntries()
    yield from key_files.check(home)
    try:
        opened = database.of(home)
        begun = opened.instances(READS)  # before the log is read: one may be removed meanwhile
    except DatabaseError as error:
        yield FsckFinding("", str(error), REMEMBERED.as_posix(), looked=False)
        return
    yield from _consent(opened, progress, acts, since)
    yield from receipts.check(home, [at for at, _ in _rotations(acts)], acts.size)
    yield from _policies(home, acts)
    removed = yield from _removed(acts, since)
    instances = _instances(home, acts)
    yield from _absent(opened, acts, {*begun, *instances, *removed}, since)
    for instance in instances:
        if instance not in removed:
            yield from _read_log(opened, instance, progress, acts, since)


def _consent(
    opened: Database, progress: Progress, acts: PublicEntries, since: Since
) -> Iterator[FsckFinding]:
    home, before = opened.home, since.get(CONSENT)
    begin = before.size if before else 0
    older = Published(home, "consent", "consent.policy"), Published(home, "state", "state.policy")
    looked: list[StoredKeys | None] = []

    def content(taken: SchemaSnapshot) -> Iterator[FsckFinding]:
        store = taken.store()
        acts.size = (store.head() or Head(0, "")).size
        acts.head(CONSENT, store)
        yield from log.check(home, store, "consent.policy", progress, before)
        yield from log.active(home, store, "keys/consent.vkey")
        yield from published.check(home, CONSENT, store, older[0], begin)
        # After the log's snapshot: the index of owners in the key store is ahead of the log.
        tags = sealed_events.tags(store, begin) if begin else None
        looked.append((yield from _keys(opened, tags)))
        labels = yield from _labels(home, store.state_store())
        if (keys := looked[0]) is not None:
            yield from sealed_events.check(store, keys, labels, acts.add, begin)
        if count := taken.malformed_idempotency(acts.size):
            yield FsckFinding("table idempotency", f"{count} rows are not of this log")
        yield from _states(home, store, older[1], progress, acts, since)
        if not begin:
            yield from map_transitions.check(taken, store)

    check = finding.content if begin else finding.schema
    yield from check(opened, LEDGER, content)
    if not looked:
        yield from _keys(opened)


def _labels(home: Path, states: StateStore) -> Generator[FsckFinding, None, Labels | None]:
    try:
        newest = _newest(states)
    except (ValueError, KeyError, TypeError):
        return None  # reported with the state log
    return (yield from key_files.labels(home, newest))


def _keys(
    opened: Database, tags: Sequence[bytes] | None = None
) -> Generator[FsckFinding, None, StoredKeys | None]:
    """Check the key store and the erasure list; returns the keys if they can be used.

    `tags`: only the customers of these entries are looked at; None: the whole key store.
    """
    home, place = opened.home, finding.named(opened, VAULT)
    damaged = [*finding.schema(opened, VAULT)] if tags is None else []
    yield from damaged
    if damaged:
        return None
    try:
        keys = stored_keys(home / "keys", tags)
    except VaultError as error:
        yield FsckFinding("key store", str(error), "keys/kek")
        return None
    except DamagedDatabaseError as error:
        yield FsckFinding("key store", str(error), place)
        return None
    except UnavailableDatabaseError as error:
        yield FsckFinding("key store", f"it cannot be read: {error}", place, looked=False)
        return None
    except OSError as error:
        yield unreadable("keys/kek", error)
        return None
    if keys.unreadable:
        what = f"{keys.unreadable} customers' keys cannot be opened with keys/kek"
        yield FsckFinding("key store", what, place)
    yield from key_files.erasures(home, keys.applied)
    yield from key_files.buried(home, keys.buried)
    return keys


def _states(
    home: Path,
    store: SnapshotStore,
    older: Published,
    progress: Progress,
    acts: PublicEntries,
    since: Since,
) -> Iterator[FsckFinding]:
    states, before = store.state_store(), since.get(STATE)
    acts.head(STATE, states)
    for each in (
        *log.check(home, states, "state.policy", progress, before),
        *log.active(home, states, "keys/state.vkey"),
    ):
        yield FsckFinding(f"state log, {each.where}", each.what, each.file)
    for each in published.check(home, STATE, states, older, before.size if before else 0):
        yield FsckFinding(f"state log, {each.where}", each.what, each.file)
    if before is None:
        yield from _buckets(states)
    yield from _map(states, store.head() or Head(0, ""))


def _buckets(states: StateStore) -> Iterator[FsckFinding]:
    """Check the map against its records."""
    for number, stored, records in states.buckets():
        if verifiable_map.bucket_root(records) != stored:
            what = f"bucket {number}: its records do not hash to its stored root"
            yield FsckFinding("state map", what)


def _map(states: StateStore, head: Head) -> Iterator[FsckFinding]:
    """Check the newest entry against the map and the consent log."""
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


def _removed(acts: PublicEntries, since: Since) -> Generator[FsckFinding, None, set[str]]:
    """Check the acts about read logs; returns the logs that were removed as was declared."""
    rules = ReadLogRules(whole=CONSENT not in since)
    for index, event in sorted(acts.events.items()):
        try:
            rules.require(msgspec.to_builtins(event))
        except ValueError as error:
            yield FsckFinding(f"entry {index}", f"an act about a read log: {error}")
    return {_instance(origin) for origin, _ in rules.removed()}


def _absent(
    opened: Database, acts: PublicEntries, present: set[str], since: Since
) -> Iterator[FsckFinding]:
    """The read logs that must be there, and of which no file and no schema is left."""
    rules = ReadLogRules(whole=CONSENT not in since)
    for event in (acts.events[index] for index in sorted(acts.events)):
        with suppress(ValueError):  # reported with the acts
            rules.require(msgspec.to_builtins(event))
    # With `since`, earlier acts are not here; the logs that were looked at before are in it.
    removed = {_instance(e.origin) for e in acts.events.values() if isinstance(e, ReadLogRemoved)}
    expected = {_instance(origin): log.size for origin, log in rules.expected()}
    before = {name: at.size for name, at in since.items() if name not in {CONSENT, STATE}}
    for each in acts.events.values():
        if isinstance(each, ReadLogClosed) and not each.size:
            before.pop(_instance(each.origin), None)  # closed without an entry: it may be gone
    try:
        here = present | removed | {*opened.instances(READS)}
    except DatabaseError as error:
        yield FsckFinding("read logs", str(error), REMEMBERED.as_posix(), looked=False)
        return
    for name, size in sorted((before | expected).items()):
        if name not in here:
            what = f"the consent log opened it, {size} entries are known, and it is missing"
            remedy = "restore it from a backup; without one its reads are lost, and audits say so"
            yield FsckFinding(name, what, READS.named(name).file, remedy)


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
    opened: Database, instance: str, progress: Progress, acts: PublicEntries, since: Since
) -> Iterator[FsckFinding]:
    home, key = opened.home, f"keys/{instance}.vkey"
    older, earlier = Published(home, instance, key), since.get(instance)
    before = earlier if earlier is not None and earlier.size else None

    def content(taken: SchemaSnapshot) -> Iterator[FsckFinding]:
        store = taken.store()
        acts.head(instance, store)
        if instance not in acts.seen:
            acts.empty(instance, earlier)
        yield from log.check(home, store, key, progress, before)
        yield from published.check(home, instance, store, older, before.size if before else 0)
        yield from _anchored(store, instance, acts)

    check = finding.content if before else finding.schema
    for each in check(opened, READS.named(instance), content):
        yield FsckFinding(f"{instance}, {each.where}", each.what, each.file, looked=each.looked)
    yield from _announced(home, instance, key, acts)


def _announced(home: Path, instance: str, key: str, acts: PublicEntries) -> Iterator[FsckFinding]:
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
        if isinstance(each, ReadLogAnchored | ReadLogClosed) and _instance(each.origin) == instance
    ]
    if not anchors:
        return
    newest, size = max(anchors, key=lambda each: each.size), (store.head() or Head(0, "")).size
    ends = [each.size for each in anchors if isinstance(each, ReadLogClosed)]
    if ends and size > min(ends):
        what = f"the consent log closed it with {min(ends)} entries, it has {size}"
        yield FsckFinding("end", what)
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

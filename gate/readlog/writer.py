"""Writer of the read log: a Merkle log with one entry per answer, durable before the answer leaves.

Each gate instance has its own log, announced in the consent log when it starts. A leaf is canonical
JSON:

    {"action":"read","at":"2026-01-01T12:00:00Z","cohort":null,"consent":{"root":"…","size":7},
     "determined_by":3,"fields":["age"],"plan":"9f…","reason":"granted","release":null,"rows":1,
     "scene":"segmentation","service":"analytics","subject":"4be1…","views":{"age":"personal"}}

`subject` is a tag derived from the customer's own key, different in every leaf, so the log alone
does not link two reads of one customer. Values are never written. A table read names its cohort by
the digest of a bitmap over the rows of the consent state, which is stored with the log. If its
synthetic rows are not naive, `mode` says how they were made ("release-anchored") and `release` on
whose counts they rest.
"""

import secrets
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple, Protocol

import msgspec
import numpy as np
from msgspec import UNSET, UnsetType

from gate.decision.decide import Reason, View
from gate.decision.eligibility import Cohort
from gate.readlog import membership
from gate.readlog.membership import MEMBERS, Membership, Put
from gate.readlog.wal_checkpoint import MAX_PAGES, Folding
from gate.state.ledger_position import ConsentPoint
from ledger.storage.interface import StorageBatch
from ledger.tlog import atomic_file
from ledger.tlog.writer import Log, Staged
from ledger.vault.commitments import TAG_SIZE, ReadLogTags

LOG, COHORTS = "log.sqlite", "cohorts"  # in an instance's folder
INDEX = LOG  # database of the private index: see gate.readlog.membership


class JournalError(Exception):
    """The read log could not be written, so no answer may leave. See the cause, then retry."""


class ReadLogEntry(msgspec.Struct, frozen=True, kw_only=True):
    """An entry of the read log: what was requested, what was answered, and why."""

    action: str  # "evaluate", "read", "rows", "table" or "search"
    at: datetime  # whole seconds
    service: str
    scene: str
    subject: str | None = None  # hex tag; None for a cohort
    cohort: str | None = None  # SHA-256 of the stored bitmap, in hex
    rows: int = 0
    fields: tuple[str, ...]
    views: Mapping[str, View]
    reason: Reason
    determined_by: int | None = None
    mode: str | UnsetType = UNSET  # of a table's synthetic rows, unless they are naive
    plan: str
    release: str | None = None
    consent: ConsentPoint

    def encode(self) -> bytes:
        return _ENCODER.encode(self)

    def entry(self, tag: str | None) -> bytes:
        """The leaf, with the customer's `tag`."""
        return msgspec.structs.replace(self, subject=tag).encode()


_ENCODER = msgspec.json.Encoder(order="sorted")


class EntryLine(Protocol):
    """What can be logged: a ReadLogEntry, or a WrittenDecision that encodes to the same bytes."""

    def entry(self, tag: str | None) -> bytes: ...


class Many(Protocol):
    """What is logged as one entry with a list: see gate.readlog.batch_entry."""

    def listing(self, tags: Sequence[str]) -> bytes: ...
    def entry(self, digest: str) -> bytes: ...
    def alone(self, place: int) -> bytes:
        """One decision as the entry of a single evaluation, without a tag."""
        ...


@dataclass(frozen=True, slots=True)
class Several:
    """An entry about many customers, in the order of its list."""

    line: Many
    subjects: Sequence[str]


# What is logged, and the customer it is about (None: a cohort).
Asked = tuple[EntryLine, str | None] | Several
Subscriber = Callable[[Sequence[bytes], Sequence[Asked]], None]  # leaves, and their origin


class EntryTagger(Protocol):
    """Derives a customer's tags in a read log, which only the holder of their key can recompute."""

    def read_log_tag(self, subject: str, log_origin: str, index: int) -> bytes: ...


class ManyEntryTagger(EntryTagger, Protocol):
    def read_log_tags(self, subject: str, log_origin: str) -> ReadLogTags | None:
        """The tags of one customer in a read log; None if the customer has no key."""
        ...


class Journal:
    """Writes the read log of one gate instance under `home`, the folder of `log`. Thread-safe.

    `record` returns when its entries are durable; entries of waiting threads are committed
    together. The private index (gate.readlog.membership) is written in the same transaction. A
    caller that must not block splits a commit into `begin`, which computes, and `finish`, which
    waits for the disk.
    """

    def __init__(self, log: Log, tagger: ManyEntryTagger, home: Path) -> None:
        self.log = log
        self._subscribers: list[Subscriber] = []
        self._tagger = tagger
        self.home = home
        (home / COHORTS).mkdir(parents=True, exist_ok=True)
        self._waiting: list[_Waiting] = []
        self._queue, self._turn, self._storing = Lock(), Lock(), Lock()
        self._begun: tuple[Staged, Put, Put] | None = None
        self._database = sqlite3.connect(home / LOG, check_same_thread=False, isolation_level=None)
        self._database.executescript(_PRAGMAS)
        self._folding = Folding(home / LOG)
        self._owners = Membership(self._database, log.size)
        self._members = Membership(self._database, what=MEMBERS)

    def subscribe(self, subscriber: Subscriber) -> None:
        """Call `subscriber` with the entries of each commit before they are written."""
        self._subscribers.append(subscriber)

    def record(self, entry: EntryLine, subject: str | None = None) -> int:
        """Write one entry about `subject` (None: a cohort), durably; returns its index."""
        return self.record_all([(entry, subject)])[0]

    def record_all(self, asked: Sequence[Asked]) -> range:
        """Write entries in this order, durably; returns their indexes.

        Raises JournalError; then none of them may be answered.
        """
        mine = _Waiting(asked)
        with self._queue:
            self._waiting.append(mine)
        with self._turn:  # the first thread here commits for all that wait
            if mine.indexes is None:
                self._write()
        if mine.indexes is None:
            raise JournalError("the read log was not written; nothing may be answered")
        return mine.indexes

    def begin(self, asked: Sequence[Asked]) -> range | None:
        """The first half of `record_all`: write the entries that `finish` makes durable.

        Returns None and does nothing while another thread commits. Raises JournalError.
        """
        if not self._turn.acquire(blocking=False):
            return None
        try:
            return self._put(asked)
        except BaseException:
            self._turn.release()
            raise

    def finish(self) -> None:
        """Commit what `begin` wrote; waits for the disk.

        Raises JournalError; then nothing was written.
        """
        try:
            self._settle()
        finally:
            self._turn.release()

    def store(self, cohort: Cohort) -> str:
        """Store a cohort's bitmap durably; returns its digest."""
        bitmap = np.packbits(cohort).tobytes()
        digest = sha256(bitmap).hexdigest()
        path = self.home / COHORTS / digest
        with self._storing:  # several threads may store the same cohort
            if not path.exists():
                atomic_file.write(path, bitmap)
        return digest

    def cohort(self, digest: str, rows: int) -> Cohort:
        """A stored cohort as booleans over `rows` rows of the consent state."""
        packed = np.frombuffer((self.home / COHORTS / digest).read_bytes(), np.uint8)
        return np.unpackbits(packed, count=rows).astype(np.bool_)

    def _write(self) -> None:
        with self._queue:
            together, self._waiting = self._waiting, []
        if not together:
            return  # another thread took these entries along and failed
        first = self._put([each for waiting in together for each in waiting.asked]).start
        self._settle()
        for waiting in together:
            waiting.indexes = range(first, first + len(waiting.asked))
            first += len(waiting.asked)

    def _put(self, asked: Sequence[Asked]) -> range:
        """Write entries and their pseudonyms in a transaction that stays open."""
        first = self.log.size
        named = self._named(asked, first)
        for each in self._subscribers:
            each(named.entries, asked)
        with self._closing():
            staged = self.log.stage(named.entries)
            self._database.execute("BEGIN IMMEDIATE")
            stored = self._database.execute("SELECT size FROM head").fetchone()
            if (stored or (0,))[0] != first:
                raise JournalError("another process writes this read log; give each gate its own")
            for statement, rows in (*_rows(staged.batch), (_LIST, named.lists)):
                self._database.executemany(statement, rows)
            names = self._owners.put(named.names, first)
            members = self._members.put(named.members, self._members.size)
            self._begun = staged, names, members
        return range(first, first + len(asked))

    def _settle(self) -> None:
        begun, self._begun = self._begun, None
        if begun is None:
            raise AssertionError("nothing was begun")
        with self._closing():
            self._database.execute("COMMIT")
        # Crash before the commit: nothing was written and nobody got an answer. Crash after it: the
        # entries exist, but their answers were never sent.
        staged, names, members = begun
        self.log.settle(staged)
        self._owners.settle(names)
        self._members.settle(members)
        self._folding.committed()

    @contextmanager
    def _closing(self) -> Iterator[None]:
        """Roll back the transaction on any error."""
        try:
            yield
        except BaseException as error:
            with suppress(sqlite3.Error):
                self._database.rollback()
            if isinstance(error, OSError | sqlite3.Error):
                raise JournalError("the read log cannot be written; check its disk") from error
            raise

    def _named(self, asked: Sequence[Asked], first: int) -> "_Named":
        """The leaves with their tags, and the pseudonyms for the private index."""
        made = _Named([], [], [], [])
        tags_of, origin = self._tagger.read_log_tags, self.log.origin
        for index, each in enumerate(asked, first):
            if isinstance(each, Several):
                self._list(each, index, made)
                continue
            line, subject = each
            if subject is None:
                tag, name = None, membership.NOBODY
            elif (tags := tags_of(subject, origin)) is None:  # no key: a random tag
                tag, name = secrets.token_hex(TAG_SIZE), secrets.token_bytes(membership.SIZE)
            else:
                tag, name = tags.at(index), tags.pseudonym[: membership.SIZE]
            made.entries.append(line.entry(tag))
            made.names.append(name)
        return made

    def _list(self, several: Several, index: int, made: "_Named") -> None:
        """Add one entry about many customers, and its list."""
        tags_of, origin = self._tagger.read_log_tags, self.log.origin
        first, names, given = self._members.size + len(made.members), [], []
        for place, subject in enumerate(several.subjects):
            if (tags := tags_of(subject, origin)) is None:
                given.append(secrets.token_hex(TAG_SIZE))
                names.append(secrets.token_bytes(membership.SIZE))
            else:
                given.append(tags.member(index, place))
                names.append(tags.pseudonym[: membership.SIZE])
        data = several.line.listing(given)
        made.lists.append((index, first, data))
        made.members.extend(names)
        made.entries.append(several.line.entry(sha256(data).hexdigest()))
        made.names.append(membership.NOBODY)


class _Named(NamedTuple):
    """What one commit writes."""

    entries: list[bytes]
    names: list[bytes]  # pseudonyms of the entries
    lists: list[tuple[int, int, bytes]]  # entry, number of its first decision, the list
    members: list[bytes]  # pseudonyms of the decisions in lists


def _rows(batch: StorageBatch) -> Iterator[tuple[str, list[tuple[Any, ...]]]]:
    """The rows that a storage batch writes, to the tables of ledger.storage.sqlite."""
    yield _HEAD, [(batch.head.size, batch.head.note)]
    yield _BUNDLE, [*batch.bundles.items()]
    yield _TILE, [(level, index, data) for (level, index), data in batch.tiles.items()]


_PRAGMAS = f"""
PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA busy_timeout=10000;
PRAGMA wal_autocheckpoint={MAX_PAGES};
"""
_HEAD = """
INSERT INTO head VALUES (1, ?, ?)
    ON CONFLICT DO UPDATE SET size = excluded.size, note = excluded.note"""
_BUNDLE = "INSERT INTO bundle VALUES (?, ?) ON CONFLICT DO UPDATE SET data = excluded.data"
_LIST = "INSERT INTO list VALUES (?, ?, ?)"
_TILE = "INSERT INTO tile VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET data = excluded.data"


class _Waiting:
    """Entries that wait for a commit; `indexes` is set once they are durable."""

    __slots__ = ("asked", "indexes")

    def __init__(self, asked: Sequence[Asked]) -> None:
        self.asked = asked
        self.indexes: range | None = None


def tag(tagger: EntryTagger, subject: str, origin: str, index: int) -> str:
    return tagger.read_log_tag(subject, origin, index).hex()


def pseudonym(tagger: EntryTagger, subject: str, origin: str) -> bytes:
    """The customer's pseudonym in the private index of one read log."""
    return tagger.read_log_tag(subject, f"{origin}#index", 0)[: membership.SIZE]


def instance_name() -> str:
    """A unique name for a gate instance, so that no two instances write the same read log."""
    return secrets.token_hex(4)

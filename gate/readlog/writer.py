"""Writer of the read log: a Merkle log with one entry per answer, durable before the answer leaves.

Each gate instance has its own log, announced in the consent log when it starts. A leaf is canonical
JSON:

    {"action":"read","at":"2026-01-01T12:00:00Z","cohort":null,"consent":{"root":"…","size":7},
     "determined_by":"5b0e…","fields":["age"],"plan":"9f…","reason":"granted","release":null,
     "rows":1,"scene":"segmentation","service":"analytics","subject":"4be1…",
     "views":{"age":"personal"}}

`subject` is a tag, different in every leaf: a commitment to the key of this leaf, which is derived
from the customer's own key and opens nothing else (ledger.vault.commitments.EntryKeys).
`determined_by` is the entry of the consent log that the answer rests on, masked with a pad that
this key has. So neither repeats in the leaves of one customer. Leaves of earlier versions have a
tag of 24 bytes, and a number or null. `on_behalf_of`, if the service named a person, is their id,
masked for the customer alone. Values are never written. A read of many customers names two
stored sets by digest (gate.readlog.customer_sets): `cohort`, of those who granted what was asked,
and `answered`, of those of whom something is in the answer. If a table's synthetic rows are not
naive, `mode` says how they were made ("release-anchored") and `release` on whose counts they rest.
Earlier versions have no `answered`, and `cohort` names rows of the consent state.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from itertools import islice
from threading import Lock
from typing import NamedTuple, Protocol

import msgspec
from msgspec import UNSET, UnsetType

from gate.decision.decide import Reason, View
from gate.readlog.customer_sets import CustomerSets
from gate.state.ledger_position import ConsentPoint
from gate.storage import membership
from gate.storage.deliveries import DeliveryNote, DeliveryNotes, Logged
from gate.storage.journal import STORAGE_ERRORS, Commit, JournalStore
from gate.storage.read_log import ReadLogDatabase
from ledger.storage.interface import ForkError
from ledger.tlog.writer import Log, Staged
from ledger.vault import commitments
from ledger.vault.commitments import ReadLogTags, entry_pad, entry_tag, masked
from ledger.verify.masked_persons import masked_person

OWN = "own"  # the action of a customer who looks at their own row


class JournalError(Exception):
    """The read log could not be written, so no answer may leave. See the cause, then retry."""


class ReadLogEntry(msgspec.Struct, frozen=True, kw_only=True):
    """An entry of the read log: what was requested, what was answered, and why."""

    action: str  # "evaluate", "own", "read", "rows", "search", "statistics" or "table"
    answered: str | UnsetType = UNSET  # SHA-256 of the stored set, in hex; of many customers
    at: datetime  # whole seconds
    service: str
    scene: str
    subject: str | None = None  # hex tag; None for a cohort
    cohort: str | None = None  # SHA-256 of the stored set, in hex
    rows: int = 0
    fields: tuple[str, ...]
    views: Mapping[str, View]
    reason: Reason
    determined_by: int | str | None = None  # masked in the leaf of one customer
    mode: str | UnsetType = UNSET  # of a table's synthetic rows, unless they are naive
    on_behalf_of: str | UnsetType = UNSET  # the person; masked in the leaf
    plan: str
    release: str | None = None
    consent: ConsentPoint

    def encode(self) -> bytes:
        return _ENCODER.encode(self)

    def entry(self, tag: str | None, pad: int | None = None) -> bytes:
        """The leaf, with the customer's `tag`, and the `pad` that masks their position."""
        rests = self.determined_by
        if pad is not None and not isinstance(rests, str):
            rests = masked(rests, pad)
        return msgspec.structs.replace(self, subject=tag, determined_by=rests).encode()


_ENCODER = msgspec.json.Encoder(order="sorted")


class EntryLine(Protocol):
    """What can be logged: a ReadLogEntry, or a WrittenDecision that encodes to the same bytes."""

    def entry(self, tag: str | None, pad: int | None = None) -> bytes: ...


class Many(Protocol):
    """What is logged as one entry with a list: see gate.readlog.batch_entry."""

    def listing(self, tags: Sequence[str], pads: Sequence[int]) -> bytes: ...
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

    def numbers(self, subjects: Sequence[str], /) -> Mapping[str, int]:
        """The numbers of those of these customers who have a key; they never change."""
        ...

    def awaited(self, subjects: Sequence[str], /) -> Sequence[str]:
        """Those of these customers whose key the writer has still to make."""
        ...


class JournalTagger(ManyEntryTagger, Protocol):
    """What a journal asks of the vault."""

    def entry_tags(self, subjects: Sequence[str], log_origin: str, /) -> Sequence[ReadLogTags]:
        """Tags for entries about these ids, in time that does not tell who is a customer."""
        ...


class Journal:
    """Writes the read log of one gate instance. Thread-safe.

    `record` returns when its entries are durable; entries of waiting threads are committed
    together. The private index (gate.storage.membership) is written in the same transaction. A
    caller that must not block splits a commit into `begin`, which computes, and `finish`, which
    waits for the disk.
    """

    def __init__(
        self,
        log: Log,
        tagger: JournalTagger,
        reads: ReadLogDatabase,
        *,
        before: "Journal | None" = None,
    ) -> None:
        """`log`: the one of the database `reads`. `before`: the journal that this one follows."""
        self.log = log
        self.reads = reads
        self._subscribers: list[Subscriber] = []
        if before is not None:
            before.hand_over(self)
        self._tagger = tagger
        self.sets = CustomerSets(reads.folder, before.reads.folder if before else None)
        self._ended = False
        self._waiting: list[_Waiting] = []
        self._queue, self._turn = Lock(), Lock()
        self._begun: _Begun | None = None
        self._failed: _Begun | None = None  # nobody knows yet whether it was stored
        self._store = JournalStore(reads, log.size)
        self.deliveries = DeliveryNotes(self._note)

    def subscribe(self, subscriber: Subscriber) -> None:
        """Call `subscriber` with the entries of each commit before they are written."""
        self._subscribers.append(subscriber)

    def hand_over(self, after: "Journal") -> None:
        """Let those that this journal calls be called by the one that follows it."""
        for each in self._subscribers:
            after.subscribe(each)

    def record(self, entry: EntryLine, subject: str | None = None) -> int:
        """Write one entry about `subject` (None: a cohort), durably; returns its index."""
        return self.record_all([(entry, subject)])[0]

    def record_all(self, asked: Sequence[Asked]) -> range:
        """Write entries in this order, durably; returns their indexes. Raises JournalError."""
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

    def end(self) -> None:
        """Write nothing more, and let another process take the log for ended."""
        with self._turn:
            self._ended = True
        self.deliveries.end()
        self.reads.close()

    def logged(self, first: int, count: int = 1) -> Logged:
        """Where to note what became of the answer that these entries are about."""
        return Logged(self.deliveries, range(first, first + count), self.log.origin)

    def numbers(self, subjects: Sequence[str]) -> Mapping[str, int]:
        """The numbers of these customers, by which sets name them."""
        return self._tagger.numbers(subjects)

    def awaited(self, subjects: Sequence[str]) -> Sequence[str]:
        """Those of these customers whose reads could not be found yet, for want of a key."""
        return self._tagger.awaited(subjects)

    def has_tags(self, subject: str) -> bool:
        """Whether entries about the customer can be found by them."""
        return self._tagger.read_log_tags(subject, self.log.origin) is not None

    def _note(self, notes: Sequence[DeliveryNote]) -> None:
        # What cannot be written stays unknown: the answers have left.
        with self._turn, suppress(*STORAGE_ERRORS):
            self._store.writer.note(notes)

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
        if self._ended:
            raise JournalError("this read log was ended and another one begun: ask again")
        self._settle_failed()
        first = self.log.size
        named = self._named(asked, first)
        for each in self._subscribers:
            each(named.entries, asked)
        staged = self.log.stage(named.entries)
        owners = self._store.owners.append(named.names, first)
        members = self._store.members.append(named.members, self._store.members.size)
        commit = Commit(staged.batch, named.lists, named.sets, owners, members)
        begun = _Begun(staged, commit)
        with _reported():
            self._store.writer.begin(begun.commit)
        self._begun = begun
        return range(first, first + len(asked))

    def _settle(self) -> None:
        begun, self._begun = self._begun, None
        if begun is None:
            raise AssertionError("nothing was begun")
        self._failed = begun
        with _reported():
            self._store.writer.commit()
        # Crash before the commit: nothing was written and nobody got an answer. Crash after it: the
        # entries exist, but their answers were never sent.
        self._committed(begun)

    def _settle_failed(self) -> None:
        """Find out whether the last commit was stored, if it failed: a server may not have said."""
        if self._failed is None:
            return
        with _reported():
            stored = self._store.writer.is_stored(self._failed.commit)
        if stored:
            self._committed(self._failed)
        self._failed = None

    def _committed(self, begun: "_Begun") -> None:
        self._failed = None
        self.log.settle(begun.staged)
        self._store.settle(begun.commit)

    def _named(self, asked: Sequence[Asked], first: int) -> "_Named":
        """The leaves with their tags, and the pseudonyms for the private index."""
        made, tags = _Named([], [], [], [], []), iter(self._entry_tags(asked))
        for index, each in enumerate(asked, first):
            if isinstance(each, Several):
                self._list(each, index, made, tags)
                continue
            line, subject = each
            if subject is None:
                tag, pad, name = None, None, membership.NOBODY
                if isinstance(line, ReadLogEntry) and line.answered is not UNSET:
                    made.sets.append((index, bytes.fromhex(line.answered)))
            else:
                theirs = next(tags)
                key = theirs.keys.of(index)
                tag, pad = entry_tag(key), entry_pad(key)
                name = theirs.pseudonym[: membership.SIZE]
                if isinstance(line, ReadLogEntry) and line.on_behalf_of is not UNSET:
                    person = masked_person(line.on_behalf_of, theirs.position_key, index)
                    line = msgspec.structs.replace(line, on_behalf_of=person)
            made.entries.append(line.entry(tag, pad))
            made.names.append(name)
        return made

    def _entry_tags(self, asked: Sequence[Asked]) -> Sequence[ReadLogTags]:
        """The tags of all customers whom the entries are about, in order."""
        subjects: list[str] = []
        for each in asked:
            if isinstance(each, Several):
                subjects += each.subjects
            elif each[1] is not None:
                subjects.append(each[1])
        return self._tagger.entry_tags(subjects, self.log.origin)

    def _list(
        self, several: Several, index: int, made: "_Named", tags: Iterator[ReadLogTags]
    ) -> None:
        """Add one entry about many customers, and its list."""
        first = self._store.members.size + len(made.members)
        theirs = [*islice(tags, len(several.subjects))]
        given, pads = commitments.of_list(theirs, index)
        data = several.line.listing(given, pads)
        made.lists.append((index, first, data))
        # A list about no customer takes a place, too: no two lists begin at the same.
        members = [each.pseudonym[: membership.SIZE] for each in theirs]
        made.members.extend(members or [membership.NOBODY])
        made.entries.append(several.line.entry(sha256(data).hexdigest()))
        made.names.append(membership.NOBODY)


class _Named(NamedTuple):
    """What one commit writes."""

    entries: list[bytes]
    names: list[bytes]  # pseudonyms of the entries
    lists: list[tuple[int, int, bytes]]  # entry, number of its first decision, the list
    members: list[bytes]  # pseudonyms of the decisions in lists
    sets: list[tuple[int, bytes]]  # entry, digest of the set of customers that it answered about


class _Begun(NamedTuple):
    """A transaction of the log: the log after it, and what it writes."""

    staged: Staged
    commit: Commit


@contextmanager
def _reported() -> Iterator[None]:
    """Turns every error of the database into a JournalError."""
    try:
        yield
    except ForkError as error:
        raise JournalError(str(error)) from error
    except STORAGE_ERRORS as error:
        raise JournalError("the read log cannot be written; check its disk or server") from error


class _Waiting:
    """Entries that wait for a commit; `indexes` is set once they are durable."""

    __slots__ = ("asked", "indexes")

    def __init__(self, asked: Sequence[Asked]) -> None:
        self.asked = asked
        self.indexes: range | None = None


def pseudonym(tagger: EntryTagger, subject: str, origin: str) -> bytes:
    """The customer's pseudonym in the private index of one read log."""
    return tagger.read_log_tag(subject, f"{origin}#index", 0)[: membership.SIZE]

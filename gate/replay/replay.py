"""Re-derives every decision of a read log from the ledger, contracts and policies of its time.

The read log says what was answered, why, and on which ledger prefix it rests. A replay applies the
consent log up to that prefix and calls the same pure decision function. An answer may have given
less than the decision allows (the source was down, a row was missing), never more.

Answers need not be in the read log in the order of their ledger sizes. So entries are sorted by
ledger size within a window; entries that come even later are derived at the end. Ranges of the log
are distributed to processes; the result does not depend on their number. A process holds at most
one window of the read log in memory.
"""

import gc
import multiprocessing
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from gate.decision.decide import Reason
from gate.readlog import batch_entry, membership
from gate.readlog.batch_entry import DecisionBatch, MalformedListError
from gate.readlog.by_customer import stored
from gate.readlog.writer import LOG, ReadLogEntry, pseudonym
from gate.replay import check_entry
from gate.replay.entry_parser import Beginning, Leaf, Leaves, MalformedLeafError, Shape
from gate.replay.history import ActiveState, History, ReplayGrounds
from gate.state import consent_bits
from ledger.follower import Follower
from ledger.storage.sqlite import SqlStore
from ledger.tlog import checkpoint, signed_note, tiles
from ledger.vault.commitments import ReadLogTags

SHARE = 128  # bundles per task of a process
WINDOW = 16  # bundles within which entries are sorted
MAX_CUSTOMERS = 65_536  # customers whose tags are cached
UNOPENED = "it cannot be decrypted any more"

Progress = Callable[[int, int], None]  # entries derived, entries in all
Period = range  # of minutes since 2020: see gate.state.consent_bits
EVER = range(consent_bits.LAST_MINUTE + 1)
Opened = Callable[[], Follower]  # opens the ledger, in whatever process
# Ledger size, index, the answer, and its pseudonym (a batch has none).
Entry = tuple[int, int, Leaf | DecisionBatch, bytes]


@dataclass(frozen=True, slots=True)
class ReplayDifference:
    """An entry whose answer differs from the derived one."""

    entry: int
    logged: str
    derived: str


@dataclass(slots=True)
class ReplayReport:
    derived: int = 0  # entries with the expected answer
    unopened: int = 0  # entries about customers erased since
    differences: list[ReplayDifference] = field(default_factory=list)
    late: list[int] = field(default_factory=list)  # entries deferred to the end; empty when done

    @property
    def entries(self) -> int:
        return self.derived + self.unopened + len(self.differences)

    def differs(self, entry: int, logged: str, derived: str) -> None:
        self.differences.append(ReplayDifference(entry, logged, derived))

    def __add__(self, other: "ReplayReport") -> "ReplayReport":
        return ReplayReport(
            self.derived + other.derived,
            self.unopened + other.unopened,
            self.differences + other.differences,
            self.late + other.late,
        )


def replay(
    opened: Opened,
    folder: Path,
    grounds: ReplayGrounds,
    *,
    processes: int = 1,
    progress: Progress = lambda _done, _all: None,
    period: Period = EVER,
) -> ReplayReport:
    """Replay the entries of `period` in the read log under `folder`.

    `opened` opens the ledger of the log's gate, in each process; with several processes it must be
    picklable.
    """
    with closing(SqlStore(folder / LOG)) as store:
        head = store.head()
    at = checkpoint.parse(signed_note.parse(head.note).text) if head else None
    if at is None or not at.size:
        return ReplayReport()
    work = _Work(opened, folder, at.origin, at.size, grounds, period)
    report = ReplayReport()
    for part in _parts(work, processes):
        report += part
        progress(report.entries + len(report.late), at.size)
    if report.late:
        late, report.late = report.late, []
        report += _Replayer(work).replay_each(late)
    report.differences.sort(key=lambda each: each.entry)
    return report


@dataclass(frozen=True, slots=True)
class _Work:
    """A read log to replay, as passed to a process."""

    opened: Opened
    folder: Path
    origin: str
    size: int
    grounds: ReplayGrounds
    period: Period

    @property
    def shares(self) -> list[range]:
        """The ranges of bundles that form one task each."""
        bundles = -(-self.size // tiles.WIDTH)
        return [range(lo, min(lo + SHARE, bundles)) for lo in range(0, bundles, SHARE)]


def _parts(work: _Work, processes: int) -> Iterator[ReplayReport]:
    if processes == 1 or len(work.shares) == 1:
        yield from map(_Replayer(work).replay, work.shares)
        return
    forking = multiprocessing.get_context("forkserver")
    forking.set_forkserver_preload([__name__])  # import once, not in each process
    with ProcessPoolExecutor(processes, forking, _begin, (work,)) as pool:
        yield from pool.map(_share, work.shares)


_here: list["_Replayer"] = []  # in a pool process: its replayer


def _begin(work: _Work) -> None:
    _here[:] = [_Replayer(work)]


def _share(bundles: range) -> ReplayReport:
    return _here[0].replay(bundles)


class _Replayer:
    """Replays entries in one process, with its own `History` that only moves forward."""

    def __init__(self, work: _Work) -> None:
        self._work = work
        self._ledger = work.opened()
        self._past = History(self._ledger, work.grounds)
        self._leaves = Leaves()
        self._owners: dict[bytes, tuple[str, ReadLogTags]] = {}  # by pseudonym
        self._log = sqlite3.connect(work.folder / LOG)
        self._names = {
            pseudonym(self._ledger, subject, work.origin): subject
            for subject in self._ledger.subjects()
        }

    def replay(self, bundles: range) -> ReplayReport:
        """Derive the entries of some bundles, except for late ones."""
        report = ReplayReport()
        with _uncollected():
            for entries in self._windows(bundles, report):
                self._derive(entries, report)
        return report

    def replay_each(self, indexes: Sequence[int]) -> ReplayReport:
        """Derive these entries."""
        report, wanted = ReplayReport(), {*indexes}
        bundles = sorted({index // tiles.WIDTH for index in indexes})
        entries = [e for n in bundles for e in self._read(range(n, n + 1), ReplayReport())]
        self._derive(sorted(each for each in entries if each[1] in wanted), report)
        return report

    def _windows(self, bundles: range, report: ReplayReport) -> Iterator[list[Entry]]:
        """The entries, sorted by ledger size within each window."""
        window: list[Entry] = []
        for lo in range(bundles.start, bundles.stop, WINDOW):
            window += self._read(range(lo, min(lo + WINDOW, bundles.stop)), report)
            window.sort()
            yield window[: -WINDOW * tiles.WIDTH]
            window = window[-WINDOW * tiles.WIDTH :]
        yield window

    def _read(self, bundles: range, report: ReplayReport) -> list[Entry]:
        parse = self._leaves.parse
        entries: list[Entry] = []
        for number, data, names in self._log.execute(_READ, (bundles.start, bundles.stop)):
            first = number * tiles.WIDTH
            leaves = tiles.unbundle(data)[: self._work.size - first]  # not later ones
            for at, text in enumerate(leaves):
                try:
                    if text.startswith(batch_entry.BEGINS):
                        entries += self._batch(first + at, text)
                        continue
                    leaf = parse(text)
                except (MalformedLeafError, MalformedListError) as error:
                    report.differs(first + at, text.decode(errors="replace"), str(error))
                    continue
                if leaf[0].minute in self._work.period:
                    name = names[at * membership.SIZE : at * membership.SIZE + membership.SIZE]
                    entries.append((leaf[0].size, first + at, leaf, name))
        return entries

    def _batch(self, index: int, text: bytes) -> list[Entry]:
        batch = batch_entry.batch(text)
        asked = consent_bits.minute(batch.at) in self._work.period
        return [(batch.consent.size, index, batch, membership.NOBODY)] if asked else []

    def _derive(self, entries: Sequence[Entry], report: ReplayReport) -> None:
        past = self._past
        for size, index, leaf, name in entries:
            if size != past.size and not self._reach(size, index, report):
                continue
            if isinstance(leaf, DecisionBatch):
                logged, derived = "a batch", self._of_batch(index, leaf)
            else:
                logged, derived = _answer_text(leaf[1]), self._answer(index, leaf, name)
            if derived is None:
                report.derived += 1
            elif derived is UNOPENED:
                report.unopened += 1
            else:
                report.differs(index, logged, derived)

    def _reach(self, size: int, index: int, report: ReplayReport) -> bool:
        """Move forward to the ledger size of an entry; False if the ledger is smaller."""
        if size < self._past.size:
            report.late.append(index)
        elif size > self._past.max_size:
            most = self._past.max_size
            report.differs(index, f"a ledger of {size} entries", f"there are {most}")
        else:
            self._past.advance(size)
            return True
        return False

    def _answer(self, index: int, leaf: Leaf, name: bytes) -> str | None:
        """None if the entry is as expected; else a description of the expected answer."""
        beginning, shape, rests, tag = leaf
        if beginning.root != self._past.root:
            return f"the ledger has another root at this size: {self._past.root}"
        if tag == _NOBODY:
            return self._of_everybody(beginning, shape)
        if (owner := self._owners.get(name) or self._owner(name)) is None:
            return UNOPENED
        subject, tags = owner
        if tag != b'"%b"' % tags.at(index).encode():
            return "the tag of another customer than the index names"
        return self._derived(shape, beginning.minute, subject, rests)

    def _of_batch(self, index: int, batch: DecisionBatch) -> str | None:
        """`_answer` for all decisions of a batch: the description of the first that differs."""
        if batch.consent.root != self._past.root:
            return f"the ledger has another root at this size: {self._past.root}"
        try:
            listing = batch_entry.listing(stored(self._log, index), batch)
            shapes = [self._leaves.shape(batch, each) for each in listing.wordings]
        except MalformedListError as error:
            return str(error)
        minute, opened = consent_bits.minute(batch.at), True
        names = membership.members(self._log, index, batch.decisions)
        for place, (tag, determined_by, number) in enumerate(listing.decisions):
            name = names[place * membership.SIZE : place * membership.SIZE + membership.SIZE]
            if (owner := self._owners.get(name) or self._owner(name)) is None:
                opened = False
                continue
            subject, tags = owner
            rests = b"null" if determined_by is None else b"%d" % determined_by
            derived = self._derived(shapes[number], minute, subject, rests)
            if tag != tags.member(index, place):
                derived = "the tag of another customer than the index names"
            if derived is not None:
                return f"at place {place}, answered {_answer_text(shapes[number])}: {derived}"
        return None if opened else UNOPENED

    def _derived(self, shape: Shape, minute: int, subject: str, rests: bytes) -> str | None:
        if (active := shape.active or self._active(shape)) is None:
            return self._without_plan(shape.reading)
        derived = check_entry.of_one(active, shape, minute, subject, rests)
        return UNOPENED if derived is not None and self._ledger.gaps(subject) else derived

    def _owner(self, name: bytes) -> tuple[str, ReadLogTags] | None:
        subject = self._names.get(name)
        tags = self._ledger.read_log_tags(subject, self._work.origin) if subject else None
        if subject is None or tags is None:
            return None
        if len(self._owners) >= MAX_CUSTOMERS:
            self._owners.clear()
        self._owners[name] = subject, tags
        return subject, tags

    def _of_everybody(self, beginning: Beginning, shape: Shape) -> str | None:
        if (active := shape.active or self._active(shape)) is None:
            return self._without_plan(shape.reading)
        derived = check_entry.of_everybody(
            active, shape.reading, beginning.minute, beginning.cohort
        )
        erased = derived is not None and derived.startswith(check_entry.COHORT)
        return UNOPENED if erased and beginning.cohort and self._past.erases_later() else derived

    def _active(self, shape: Shape) -> ActiveState | None:
        asked = shape.reading
        shape.active = self._past.active(asked.service, asked.scene, asked.plan)
        return shape.active

    def _without_plan(self, logged: ReadLogEntry) -> str | None:
        if self._past.knows(logged.scene):
            return "no plan has this digest: its contract, policy or release is unknown"
        unknown = logged.reason is Reason.UNKNOWN_SCENE and not logged.views
        return None if unknown else Reason.UNKNOWN_SCENE.value


def _answer_text(shape: Shape) -> str:
    return f"{shape.reading.reason} {shape.reading.views}"


@contextmanager
def _uncollected() -> Iterator[None]:
    """Disable the cyclic garbage collector: windows hold many tuples without cycles, and it would
    take a quarter of the time."""
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()


_NOBODY = b"null"
_READ = """
SELECT bundle."index", data, coalesce(names, x'')
    FROM bundle LEFT JOIN owner ON owner.bundle = bundle."index"
    WHERE bundle."index" >= ? AND bundle."index" < ? ORDER BY bundle."index"
"""

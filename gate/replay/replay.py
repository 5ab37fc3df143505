"""Re-derives every decision of a read log from the ledger, contracts and policies of its time.

The read log says what was answered, why, and on which ledger prefix it rests. A replay applies the
consent log up to that prefix and calls the same pure decision function. An answer may have given
less than the decision allows (the source was down, a row was missing), never more. Both logs are
verified before anything is derived from them: see gate.replay.verified_log.

Answers need not be in the read log in the order of their ledger sizes. So entries are sorted by
ledger size within a window; entries that come even later are derived at the end. Ranges of the log
are distributed to processes; the result does not depend on their number. A process holds at most
one window of the read log in memory.
"""

import gc
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from gate.policy import decisions
from gate.policy.decisions import DecisionPolicy
from gate.readlog import batch_entry
from gate.readlog.batch_entry import POLICY, DecisionBatch, MalformedListError
from gate.readlog.customer_sets import CustomerSets
from gate.readlog.writer import OWN, ReadLogEntry
from gate.replay import check_entry, verified_log
from gate.replay.check_entry import UNOPENED
from gate.replay.check_sets import SetCheck
from gate.replay.entry_owners import EntryOwners
from gate.replay.entry_parser import Beginning, Leaf, Leaves, MalformedLeafError, Shape
from gate.replay.few import EverybodyNeededError, FewHistory
from gate.replay.history import ActiveState, History, ReplayGrounds
from gate.replay.report import ReplayReport
from gate.replay.verified_log import UnreadLogError, UnverifiedLogError, VerifiedLog
from gate.state import consent_bits
from gate.storage import membership
from gate.storage.read_log import ReadLogDatabase
from ledger.follower import Follower
from ledger.tlog import tiles
from ledger.tlog.checkpoint import Checkpoint

SHARE = 128  # bundles per task of a process
FEW = 20  # with fewer entries than one in so many of the ledger, customers are read one by one
WINDOW = 16  # bundles within which entries are sorted

Progress = Callable[[int, int], None]  # entries derived, entries in all
Period = range  # of minutes since 2020: see gate.state.consent_bits
EVER = range(consent_bits.LAST_MINUTE + 1)
Opened = Callable[[], Follower]  # opens the ledger, in whatever process
# Ledger size, index, the answer, and its pseudonym (a batch has none).
Entry = tuple[int, int, Leaf | DecisionBatch, bytes]


def replay(  # noqa: PLR0913 - the last four have defaults
    opened: Opened,
    home: Path,
    instance: str,
    grounds: ReplayGrounds,
    *,
    processes: int = 1,
    progress: Progress = lambda _done, _all: None,
    period: Period = EVER,
    since: int = 0,
) -> ReplayReport:
    """Replay the entries of `period`, from entry `since` on, in one read log of `home`.

    `opened` opens the ledger of the log's gate, in each process; with several processes it must be
    picklable.
    """
    with closing(opened()) as ledger, closing(ReadLogDatabase(home, instance)) as log:
        try:
            consent = verified_log.consent(ledger)
            verified = verified_log.read_log(log, home, ledger, since)
        except UnreadLogError as error:
            return ReplayReport(unread=[str(error)])
        except UnverifiedLogError as error:
            return ReplayReport(faults=[str(error)])
    if verified is None or verified.head.size <= since:
        return ReplayReport(upto=verified.head if verified else None)
    work = _Work(opened, home, instance, consent, verified, grounds, period, since)
    if (work.size - since) * FEW < consent.size:
        with suppress(EverybodyNeededError):
            return _replayed(replace(work, history=FewHistory), 1, progress)
    return _replayed(work, processes, progress)


def _replayed(work: "_Work", processes: int, progress: Progress) -> ReplayReport:
    report = ReplayReport(upto=work.verified.head)
    for part in _parts(work, processes):
        report += part
        progress(report.entries + len(report.late), work.size - work.since)
    if report.late:
        late, report.late = report.late, []
        with closing(_Replayer(work)) as replayer:
            report += replayer.replay_each(late)
    report.differences.sort(key=lambda each: each.entry)
    return report


@dataclass(frozen=True, slots=True)
class _Work:
    """A read log to replay, as passed to a process."""

    opened: Opened
    home: Path
    instance: str
    consent: Checkpoint  # of the consent log, verified
    verified: VerifiedLog
    grounds: ReplayGrounds
    period: Period
    since: int = 0  # entry
    history: type[History] = History

    @property
    def size(self) -> int:
        return self.verified.head.size

    @property
    def shares(self) -> list[range]:
        """The ranges of bundles that form one task each."""
        first, bundles = self.since // tiles.WIDTH, -(-self.size // tiles.WIDTH)
        return [range(lo, min(lo + SHARE, bundles)) for lo in range(first, bundles, SHARE)]


def _parts(work: _Work, processes: int) -> Iterator[ReplayReport]:
    if processes == 1 or len(work.shares) == 1:
        with closing(_Replayer(work)) as replayer:
            yield from map(replayer.replay, work.shares)
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
        self._past = work.history(self._ledger, work.grounds)
        self._leaves = Leaves()
        self._owners = EntryOwners(self._ledger, work.verified.head.origin)
        self._database = ReadLogDatabase(work.home, work.instance)
        self._log = self._database.reader()
        self._sets: SetCheck | None = None  # once it is needed
        self._decisions: dict[str, DecisionPolicy | None] = {}
        if work.history is History:
            self._owners.name_everybody()

    def close(self) -> None:
        self._log.close()
        self._database.close()

    def replay(self, bundles: range) -> ReplayReport:
        """Derive the entries of some bundles, except for late ones."""
        report = ReplayReport()
        with _uncollected():
            for entries in self._windows(bundles, report):
                self._derive(entries, report)
        return self._checked(report)

    def replay_each(self, indexes: Sequence[int]) -> ReplayReport:
        """Derive these entries."""
        report, wanted = ReplayReport(), {*indexes}
        bundles = sorted({index // tiles.WIDTH for index in indexes})
        entries = [e for n in bundles for e in self._read(range(n, n + 1), ReplayReport())]
        self._derive(sorted(each for each in entries if each[1] in wanted), report)
        return self._checked(report)

    def _checked(self, report: ReplayReport) -> ReplayReport:
        """With a fault if the state is not of the consent log that its checkpoint signs."""
        try:
            verified_log.prefix(self._ledger, self._work.consent, self._past.size, self._past.root)
        except UnverifiedLogError as error:
            report.faults.append(str(error))
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
        for number, data, names in self._log.named_bundles(bundles.start, bundles.stop):
            first = number * tiles.WIDTH
            leaves = tiles.unbundle(data)[: self._work.size - first]  # not later ones
            for at, text in enumerate(leaves):
                if first + at < self._work.since:
                    continue
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
        beginning, shape, masked, tag = leaf
        if (wrong := self._misplaced(index, beginning.root, beginning.minute)) is not None:
            return wrong
        if tag == _NOBODY or beginning.is_about_many:
            alone = tag != _NOBODY or masked != _NOBODY or not beginning.is_about_many
            return _OTHER_KIND if alone else self._of_everybody(beginning, shape)
        rests = self._owners.rests(name, index, masked, tag[1:-1].decode())
        if rests is None or not self._owners.names_person(name, index, shape.reading):
            return _UNWRITTEN
        if (owner := self._owners.of(name, rests)) is None:
            return self._unnamed(shape, beginning.minute, name, rests)
        subject, tags = owner
        if (text := tag[1:-1].decode()) != tags.like(text, index):
            return _ANOTHER
        return self._derived(shape, beginning.minute, subject, rests)

    def _of_batch(self, index: int, batch: DecisionBatch) -> str | None:
        """`_answer` for all decisions of a batch: the description of the first that differs."""
        minute, opened = consent_bits.minute(batch.at), True
        if (wrong := self._misplaced(index, batch.consent.root, minute)) is not None:
            return wrong
        if batch.action == POLICY:
            return self._of_policy(index, batch)
        try:
            listing = batch_entry.listing(self._log.listing(index), batch)
            shapes = [self._leaves.shape(batch, each) for each in listing.wordings]
        except MalformedListError as error:
            return str(error)
        names = self._log.member_names(index, batch.decisions)
        for place, (tag, determined_by, number) in enumerate(listing.decisions):
            name = names[place * membership.SIZE : place * membership.SIZE + membership.SIZE]
            masked = msgspec.json.encode(determined_by)
            derived = self._of_member(index, place, name, masked, tag, shapes[number], minute)
            if derived is not None and derived is not UNOPENED:
                return f"at place {place}, answered {_answer_text(shapes[number])}: {derived}"
            opened = opened and derived is None
        return None if opened else UNOPENED

    def _of_policy(self, index: int, batch: DecisionBatch) -> str | None:
        """`_answer` for decisions that are about no customer: by the policy that they name."""
        try:
            listing = batch_entry.policy_listing(self._log.listing(index), batch)
        except MalformedListError as error:
            return str(error)
        if listing.policy not in self._decisions:
            folder = self._work.home / decisions.FOLDER
            self._decisions[listing.policy] = decisions.kept(folder, listing.policy)
        if (policy := self._decisions[listing.policy]) is None:
            return f"no decision policy with the digest {listing.policy} is stored"
        for place, each in enumerate(listing.decisions):
            expected = policy.decide(each.question)
            if each.reason not in {expected, *decisions.GATES_OWN, *decisions.earlier(expected)}:
                return f"at place {place}, answered {each.reason}: {expected}"
        return None

    def _of_member(
        self,
        entry: int,
        place: int,
        name: bytes,
        masked: bytes,
        tag: str,
        shape: Shape,
        minute: int,
    ) -> str | None:
        if (rests := self._owners.rests(name, entry, masked, tag, place)) is None:
            return _UNWRITTEN
        if (owner := self._owners.of(name, rests)) is None:
            return self._unnamed(shape, minute, name, rests)
        subject, tags = owner
        if tag != tags.like(tag, entry, place):
            return _ANOTHER
        return self._derived(shape, minute, subject, rests)

    def _misplaced(self, index: int, root: str, minute: int) -> str | None:
        """Check an entry's ledger position and its time."""
        if root != self._past.root:
            return f"the ledger has another root at this size: {self._past.root}"
        return self._work.verified.anchors.finding(index, minute)

    def _derived(self, shape: Shape, minute: int, subject: str, rests: bytes) -> str | None:
        if (active := shape.active or self._active(shape)) is None:
            return self._without_plan(shape.reading, rests)
        derived = check_entry.of_one(active, shape, minute, subject, rests)
        if derived is None or not self._past.entries_erased_since():
            return derived
        if rests == _NOBODY or not self._ledger.gaps(subject):
            return derived
        return UNOPENED if check_entry.possible(active, shape, minute, rests) else derived

    def _unnamed(self, shape: Shape, minute: int, name: bytes, rests: bytes) -> str | None:
        """Check an answer about somebody without a key: only an erasure explains that it rests on
        an instruction. Otherwise it must be what everybody gets who gave none."""
        if (active := shape.active or self._active(shape)) is None:
            return self._without_plan(shape.reading, rests)
        if rests == _NOBODY:
            wrong = check_entry.of_nobody(active, shape, minute, rests)
            if wrong is not None and not check_entry.silent(active, shape, minute, rests):
                return wrong
            return UNOPENED if self._past.erased_since() else wrong
        if not self._past.erased_since() and not self._owners.erased_meanwhile(name):
            return f"a customer of the index: nobody was erased since entry {self._past.size}"
        return self._of_erased(active, shape, minute, rests)

    def _of_erased(
        self, active: ActiveState, shape: Shape, minute: int, rests: bytes
    ) -> str | None:
        if int(rests) >= self._past.size or not self._ledger.erased(int(rests)):
            return f"entry {rests.decode()} is no instruction of a customer who was erased"
        possible = check_entry.possible(active, shape, minute, rests)
        return UNOPENED if possible else "an answer that some consent leads to"

    def _of_everybody(self, beginning: Beginning, shape: Shape) -> str | None:
        if (active := shape.active or self._active(shape)) is None:
            return self._without_plan(shape.reading, _NOBODY)
        logged, minute, cohort = shape.reading, beginning.minute, beginning.cohort
        if beginning.answered is not None:
            wrong = check_entry.of_many(active, logged, cohort)
            return wrong or self._set_check().finding(active, logged, beginning, self._past)
        derived = check_entry.of_everybody(active, logged, minute, cohort)
        unknown = derived is not None and derived.startswith(check_entry.COHORT)
        erased = self._past.erased_since() or self._past.entries_erased_since()
        return UNOPENED if unknown and cohort and erased else derived

    def _set_check(self) -> SetCheck:
        if self._work.history is FewHistory:
            raise EverybodyNeededError
        if self._sets is None:
            sets = CustomerSets(self._database.folder)
            self._sets = SetCheck(self._ledger, self._owners.subjects, sets)
        return self._sets

    def _active(self, shape: Shape) -> ActiveState | None:
        asked = shape.reading
        shape.active = self._past.active(asked.service, asked.scene, asked.plan)
        return shape.active

    def _without_plan(self, logged: ReadLogEntry, rests: bytes) -> str | None:
        if logged.action == OWN:
            return check_entry.of_owner(logged, rests)
        if self._past.knows(logged.scene):
            return "no plan has this digest: its contract, policy or release is unknown"
        return check_entry.of_unknown_scene(logged, rests)


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
_UNWRITTEN = "a tag and an entry as a journal writes them"
_ANOTHER = "the tag of another customer than the index names"
_OTHER_KIND = "an entry about one customer, or one about many that rests on no instruction"

"""The authorisation-change flow: follows the consent log, opens cases and sends notices.

gather   read entries beyond the cursor, and the names that notices will mask
decide   steward.cases.changes detects lost consent; a case collects the changes of its window
apply    write cursor, cases and outbox in one transaction

After a crash anywhere, the case store is in the state after some entry, and the next run continues
from there.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Protocol

from sqlalchemy.engine import Connection

from gate.contracts.scene import Scene
from gate.state import consent_bits
from gate.state.consent_index import ConsentIndex
from gate.state.followed import ConsentEntry, ErasureLog
from ledger.events.envelope import SubjectErased
from steward.cases import filing, loss
from steward.cases.case import (
    MAX_NAMED,
    STEWARD,
    Act,
    Case,
    active_fallback,
    add_act,
    named,
    require_case,
)
from steward.cases.case_store import CaseStore
from steward.cases.changes import ChangeKind, ChangeWatch, ConsentChange
from steward.cases.filing import Cursor, MovedElsewhereError
from steward.language import catalogue
from steward.language.catalogue import Catalogue
from steward.notify import notice, outbox
from steward.notify.masked_name import Naming, unnamed
from steward.notify.notice import NoticeType
from synthetic.fitting.release import Release

BATCH = 2048  # entries per transaction
MANY = 4  # customers of a case for each that is looked for, up to which all are read
CORRECTED = 60  # minutes by which time must go back to count as a corrected clock

Channels = Callable[[str], Sequence[str]]  # role -> its channels, at least one
Releases = Callable[[str], Release | None]  # scene -> the release that answers
Resumed = Callable[[], ConsentIndex | None]  # returns a new state to start from


class FollowedLedger(ErasureLog, Protocol):
    """What the flow needs of the consent ledger."""

    def read_log_tag(self, subject: str, log_origin: str, index: int) -> bytes:
        """A tag of the subject, which cannot be computed without the subject's key."""
        ...


class ChangeFlow:
    """Follows one ledger into one case store.

    Not thread-safe; two processes may run flows on one data directory.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - all independent
        self,
        home: Path,
        ledger: FollowedLedger,
        scenes: Mapping[str, Scene],
        source: str,
        channels: Channels,
        releases: Releases = lambda _scene: None,
        named: Naming = unnamed,
        resumed: Resumed = lambda: None,
        languages: Mapping[str, Catalogue] | None = None,
    ) -> None:
        """`source`: the log's origin, which identifies the sender of a notice.

        `languages`: of notices; None: all that the product has.
        """
        self._store = CaseStore(home)
        self._ledger, self._scenes, self._source = ledger, scenes, source
        self._channels, self._releases, self._named = channels, releases, named
        self._resumed = resumed
        self._languages = languages or catalogue.load()
        self._watch: ChangeWatch | None = None
        self._ahead: _Ahead | None = None

    def begin(self, at: datetime) -> None:
        """Set the cursor to the present if the flow never ran: earlier losses open no cases."""
        here = self._ledger.size, consent_bits.minute(at)
        with self._store.writing() as database:
            filing.begin(database, here)

    def run(self, at: datetime) -> int:
        """Follow the ledger to its end and time to `at`; returns the number of changes.

        Durable when it returns. Changes filed by a concurrent flow are not counted. Raises the
        errors of the ledger and the case store; run again after one.
        """
        changes, ended = 0, False
        while not ended:
            try:
                more, ended = self._step(at)
            except MovedElsewhereError:
                self._watch = self._ahead = None
            except BaseException:
                self._watch = self._ahead = None  # ahead of the case store: resume from its cursor
                raise
            else:
                changes += more
        self._ahead = None
        return changes

    def close(self) -> None:
        self._store.close()

    def _step(self, at: datetime) -> tuple[int, bool]:
        """Run one transaction; returns the number of changes and whether the log has ended."""
        was = self._cursor()
        watch = self._watched(_corrected(was, consent_bits.minute(at)))
        ahead = self._ahead = self._ahead or _Ahead(self._ledger, was[0])
        entries, ended = _batch(ahead.entries)
        if entries and isinstance(entries[-1].event, SubjectErased):
            self._ahead = None
        changes = [each for entry in entries for each in watch.entry(entry, at)]
        if ended:  # skip erased entries at the end
            watch.size = max(watch.size, ahead.upto)
            changes += watch.until(consent_bits.minute(at))
        names = self._names(changes, at)
        with self._store.writing() as database:
            filing.move(database, was, (watch.size, watch.minute))
            for key, group in _grouped(filing.unfiled(database, changes)).items():
                self._file(database, *key, group, names, at)
            self._remind(database, at)
        return len(changes), ended

    def _cursor(self) -> Cursor:
        with self._store.reading() as database:
            return filing.cursor(database)

    def _watched(self, cursor: Cursor) -> ChangeWatch:
        if self._watch is None or (self._watch.size, self._watch.minute) != cursor:
            self._watch = ChangeWatch(self._scenes, self._ledger, *cursor, self._resumed())
        return self._watch

    def _names(self, changes: Sequence[ConsentChange], at: datetime) -> dict[str, str]:
        """Masked names of the few customers that cases will name, read before locking."""
        few: set[str] = set()
        for (scene, kind), group in _grouped(changes).items():
            with self._store.reading() as database:
                number = filing.gathering(database, scene, kind, at)
                few.update(self._unnamed(database, number, group))
        return {subject: self._named(subject, at) for subject in few}

    def _unnamed(
        self, database: Connection, number: int | None, changes: Sequence[ConsentChange]
    ) -> Iterator[str]:
        """Customers new to the case, as many as it can still name."""
        subjects = dict.fromkeys(subject for each in changes for subject in each.subjects)
        if number is None:
            return islice(subjects, MAX_NAMED)
        room = MAX_NAMED - len(named(database, number))
        new = (
            subject
            for subject in subjects
            if not filing.counted(database, number, [self._tag(subject, number)])
        )
        return iter([*islice(new, max(room, 0))])

    def _tag(self, subject: str, number: int) -> bytes:
        return self._ledger.read_log_tag(subject, f"{self._source}/case", number)

    def _file(
        self,
        database: Connection,
        scene: str,
        kind: ChangeKind,
        changes: Sequence[ConsentChange],
        names: Mapping[str, str],
        at: datetime,
    ) -> None:
        """Add changes to the open case of their kind, or open one and send a notice."""
        number = filing.gathering(database, scene, kind, at)
        opens = number is None
        if number is None:
            number = self._open(database, self._scenes[scene], kind, changes[0].before, at)
        case = require_case(database, number)
        new = self._concern(database, case, changes, names)
        self._count(database, case, case.count + new, changes, opens=opens)
        if opens:
            self._tell(database, number, NoticeType.OPENED, at)

    def _open(
        self, database: Connection, scene: Scene, kind: ChangeKind, live: int, at: datetime
    ) -> int:
        fallback = active_fallback(scene, released=self._releases(scene.id) is not None)
        role = scene.change.responsible[0]
        number = filing.open_case(database, scene, kind, fallback, live, role, at)
        add_act(database, number, Act("opened", STEWARD, at, ""))
        return number

    def _concern(
        self,
        database: Connection,
        case: Case,
        changes: Sequence[ConsentChange],
        names: Mapping[str, str],
    ) -> int:
        """Store the changes, and each customer's tag once; returns how many customers are new."""
        tags = {
            subject: self._tag(subject, case.id) for each in changes for subject in each.subjects
        }
        counted = _counted(database, case, [*tags.values()])
        new = {subject: tag for subject, tag in tags.items() if tag not in counted}
        filing.concern(database, case.id, new.values())
        nameable = {subject: name for subject, name in names.items() if subject in new}
        room = MAX_NAMED - len(case.customers)
        rows: list[tuple[ConsentChange, list[str]]] = []
        for each in changes:
            found = [who for who in each.subjects if who in nameable] if nameable else []
            masked = [nameable.pop(who) for who in found][:room]
            room -= len(masked)
            rows.append((each, masked))
        filing.add_changes(database, case.id, rows)
        return len(new)

    def _count(
        self,
        database: Connection,
        case: Case,
        count: int,
        changes: Sequence[ConsentChange],
        *,
        opens: bool,
    ) -> None:
        """Update the case's count, fields and loss after these changes."""
        whole = (not opens and not case.fields) or not all(each.fields for each in changes)
        lost = {*case.fields, *(name for each in changes for name in each.fields)}
        names = [] if whole else [n for n in self._scenes[case.scene].fields if n in lost]
        scene = self._scenes[case.scene]
        expected = loss.measured(self._releases(case.scene), count, case.live, scene.group_bys)
        filing.set_count(database, case.id, count, names, expected)

    def _tell(self, database: Connection, number: int, type_: NoticeType, at: datetime) -> None:
        case = require_case(database, number)
        channels = self._channels(case.responsible)
        if not channels:
            raise AssertionError(f"no channel reaches {case.responsible}")
        body = notice.event(
            type_,
            case,
            self._scenes[case.scene],
            self._source,
            at,
            outbox.sequence(database, number),
            self._languages,
        )
        outbox.put(database, number, type_, body, channels, at)
        filing.set_told(database, number)

    def _remind(self, database: Connection, at: datetime) -> None:
        """Send the notices that are due by time, except for scenes that are no longer offered."""
        due = [each for each in filing.due(database, at) if each.scene in self._scenes]
        for each in due:
            if each.grown:
                self._tell_growth(database, each.number, at)
        for each in due:
            if each.overdue:
                self._escalate(database, each.number, at)

    def _tell_growth(self, database: Connection, number: int, at: datetime) -> None:
        """Send one more notice with the final count when a case's window has closed."""
        add_act(database, number, Act("grew", STEWARD, at, ""))
        self._tell(database, number, NoticeType.GREW, at)

    def _escalate(self, database: Connection, number: int, at: datetime) -> None:
        """Pass an overdue case once to the next responsible role, with a new deadline."""
        case = require_case(database, number)
        rules = self._scenes[case.scene].change
        following = rules.responsible[1:] or rules.responsible
        filing.escalate(database, number, following[0], at, at + rules.escalate)
        add_act(database, number, Act("escalated", STEWARD, at, f"to {following[0]}"))
        self._tell(database, number, NoticeType.OVERDUE, at)


class _Ahead:
    """An iterator over the entries to follow, kept open between batches for speed."""

    def __init__(self, ledger: FollowedLedger, since: int) -> None:
        self.upto = ledger.size
        self.entries = ledger.follow(since)


def _batch(following: Iterator[ConsentEntry]) -> tuple[list[ConsentEntry], bool]:
    """The next entries, and whether the log's end was reached.

    A batch ends with an erasure: an erased customer may return with a new key, and only an iterator
    opened after that decrypts their new entries.
    """
    entries: list[ConsentEntry] = []
    for entry in islice(following, BATCH):
        entries.append(entry)
        if isinstance(entry.event, SubjectErased):
            return entries, False
    return entries, len(entries) < BATCH


def _counted(database: Connection, case: Case, tags: Sequence[bytes]) -> set[bytes]:
    """Those of the tags, or more, whose customers the case has counted."""
    if case.count <= MANY * len(tags):
        return filing.all_counted(database, case.id) if case.count else set()
    return filing.counted(database, case.id, tags)


def _corrected(cursor: Cursor, now: int) -> Cursor:
    """The cursor to continue from; goes back if an earlier run's clock was far ahead."""
    size, minute = cursor
    return (size, now) if now < minute - CORRECTED else cursor


def _grouped(changes: Sequence[ConsentChange]) -> dict[tuple[str, ChangeKind], list[ConsentChange]]:
    groups: dict[tuple[str, ChangeKind], list[ConsentChange]] = defaultdict(list)
    for each in changes:
        groups[each.scene, each.kind].append(each)
    return groups

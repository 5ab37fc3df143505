"""The authorisation-change flow: follows the consent log, opens cases and sends notices.

gather   read entries beyond the cursor, and the names that notices will mask
decide   steward.cases.changes detects lost consent; a case collects the changes of its window
apply    write cursor, cases and outbox in one transaction

After a crash anywhere, the case store is in the state after some entry, and the next run continues
from there.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice
from pathlib import Path
from sqlite3 import Connection
from typing import Protocol

from gate.contracts.scene import Scene
from gate.state import consent_bits
from gate.state.consent_index import ConsentEntry, ConsentIndex, ErasureLog
from ledger.events.envelope import SubjectErased
from steward.cases import loss
from steward.cases.case import (
    MAX_NAMED,
    STEWARD,
    Act,
    Case,
    Status,
    active_fallback,
    add_act,
    require_case,
)
from steward.cases.case_store import CaseStore, stamp
from steward.cases.changes import ChangeKind, ChangeWatch, ConsentChange
from steward.notify import notice, outbox
from steward.notify.masked_name import Naming, unnamed
from steward.notify.notice import NoticeType
from synthetic.fitting.release import Release

BATCH = 2048  # entries per transaction
CORRECTED = 60  # minutes by which time must go back to count as a corrected clock

Cursor = tuple[int, int]  # entries applied, minute reached
Channels = Callable[[str], Sequence[str]]  # role -> its channels, at least one
Releases = Callable[[str], Release | None]  # scene -> the release that answers
Resumed = Callable[[], ConsentIndex | None]  # returns a new state to start from


class FollowedLedger(ErasureLog, Protocol):
    """What the flow needs of the consent ledger."""

    def read_log_tag(self, subject: str, log_origin: str, index: int) -> bytes:
        """A tag of the subject, which cannot be computed without the subject's key."""
        ...


class _MovedElsewhereError(Exception):
    """Another process moved the cursor. Nothing was changed; continue from there."""


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
    ) -> None:
        """`source`: the log's origin, which identifies the sender of a notice."""
        self._store = CaseStore(home)
        self._ledger, self._scenes, self._source = ledger, scenes, source
        self._channels, self._releases, self._named = channels, releases, named
        self._resumed = resumed
        self._watch: ChangeWatch | None = None
        self._ahead: _Ahead | None = None

    def begin(self, at: datetime) -> None:
        """Set the cursor to the present if the flow never ran: earlier losses open no cases."""
        here = self._ledger.size, consent_bits.minute(at)
        with self._store.writing() as database:
            database.execute("UPDATE cursor SET size = ?, minute = ? WHERE size = 0", here)

    def run(self, at: datetime) -> int:
        """Follow the ledger to its end and time to `at`; returns the number of changes.

        Durable when it returns. Changes filed by a concurrent flow are not counted. Raises the
        errors of the ledger and the case store; run again after one.
        """
        changes, ended = 0, False
        while not ended:
            try:
                more, ended = self._step(at)
            except _MovedElsewhereError:
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
            _move(database, was, (watch.size, watch.minute))
            for key, group in _grouped(_unfiled(database, changes)).items():
                self._file(database, *key, group, names, at)
            self._tell_growth(database, at)
            self._escalate(database, at)
        return len(changes), ended

    def _cursor(self) -> Cursor:
        with self._store.reading() as database:
            row = database.execute("SELECT size, minute FROM cursor").fetchone()
            return row["size"], row["minute"]

    def _watched(self, cursor: Cursor) -> ChangeWatch:
        if self._watch is None or (self._watch.size, self._watch.minute) != cursor:
            self._watch = ChangeWatch(self._scenes, self._ledger, *cursor, self._resumed())
        return self._watch

    def _names(self, changes: Sequence[ConsentChange], at: datetime) -> dict[str, str]:
        """Masked names of the few customers that cases will name, read before locking."""
        few: set[str] = set()
        for (scene, kind), group in _grouped(changes).items():
            with self._store.reading() as database:
                few.update(self._unnamed(database, gathering(database, scene, kind, at), group))
        return {subject: self._named(subject, at) for subject in few}

    def _unnamed(
        self, database: Connection, number: int | None, changes: Sequence[ConsentChange]
    ) -> Iterator[str]:
        """Customers new to the case, as many as it can still name."""
        subjects = dict.fromkeys(subject for each in changes for subject in each.subjects)
        if number is None:
            return islice(subjects, MAX_NAMED)
        room = MAX_NAMED - len(require_case(database, number).customers)
        known = "SELECT 1 FROM concerned WHERE number = ? AND tag = ?"
        new = (
            subject
            for subject in subjects
            if not database.execute(known, [number, self._tag(subject, number)]).fetchone()
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
        number = gathering(database, scene, kind, at)
        opens = number is None
        if number is None:
            number = self._open(database, self._scenes[scene], kind, changes[0].before, at)
        case = require_case(database, number)
        self._concern(database, case, changes, names)
        self._count(database, case, changes, opens=opens)
        if opens:
            self._tell(database, number, NoticeType.OPENED, at)

    def _open(
        self, database: Connection, scene: Scene, kind: ChangeKind, live: int, at: datetime
    ) -> int:
        rules = scene.change
        fallback = active_fallback(scene, released=self._releases(scene.id) is not None)
        moments = [stamp(at), stamp(at + rules.window), stamp(at + rules.review)]
        done = database.execute(
            "INSERT INTO cases (scene, kind, count, told, live, fields, fallback, opened,"
            " gathers_until, due, status, responsible) VALUES (?,?,0,0,?,'[]',?,?,?,?,?,?)",
            [scene.id, kind, live, fallback, *moments, Status.OPEN, rules.responsible[0]],
        )
        number = int(done.lastrowid or 0)
        add_act(database, number, Act("opened", STEWARD, at, ""))
        return number

    def _concern(
        self,
        database: Connection,
        case: Case,
        changes: Sequence[ConsentChange],
        names: Mapping[str, str],
    ) -> None:
        """Store the changes, and each customer's tag once."""
        rows: list[list[object]] = []
        room = MAX_NAMED - len(case.customers)
        for each in changes:
            masked: list[str] = []
            for subject in each.subjects:
                values = [case.id, self._tag(subject, case.id)]
                new = database.execute("INSERT OR IGNORE INTO concerned VALUES (?, ?)", values)
                if new.rowcount and len(masked) < room and subject in names:
                    masked.append(names[subject])
            room -= len(masked)
            about = [each.scene, each.kind, each.index, each.minute, len(each.subjects)]
            rows.append([case.id, *about, json.dumps(masked)])
        database.executemany("INSERT INTO change VALUES (?, ?, ?, ?, ?, ?, ?)", rows)

    def _count(
        self, database: Connection, case: Case, changes: Sequence[ConsentChange], *, opens: bool
    ) -> None:
        """Update the case's count, fields and loss after these changes."""
        query = "SELECT COUNT(*) AS n FROM concerned WHERE number = ?"
        count = int(database.execute(query, [case.id]).fetchone()["n"])
        whole = (not opens and not case.fields) or not all(each.fields for each in changes)
        lost = {*case.fields, *(name for each in changes for name in each.fields)}
        names = [] if whole else [n for n in self._scenes[case.scene].fields if n in lost]
        expected = loss.measured(self._releases(case.scene), count, case.live)
        database.execute(
            "UPDATE cases SET count = ?, fields = ?, loss = ? WHERE id = ?",
            [count, json.dumps(names), expected and expected.text(), case.id],
        )

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
        )
        outbox.put(database, number, type_, body, channels, at)
        database.execute("UPDATE cases SET told = count WHERE id = ?", [number])

    def _tell_growth(self, database: Connection, at: datetime) -> None:
        """Send one more notice with the final count when a case's window has closed."""
        for number in self._those(database, "told < count AND gathers_until <= ?", at):
            add_act(database, number, Act("grew", STEWARD, at, ""))
            self._tell(database, number, NoticeType.GREW, at)

    def _escalate(self, database: Connection, at: datetime) -> None:
        """Pass overdue cases once to the next responsible role, with a new deadline."""
        for number in self._those(database, "escalated IS NULL AND due <= ?", at):
            case = require_case(database, number)
            rules = self._scenes[case.scene].change
            following = rules.responsible[1:] or rules.responsible
            database.execute(
                "UPDATE cases SET escalated = ?, due = ?, responsible = ?, status = ? WHERE id = ?",
                [stamp(at), stamp(at + rules.escalate), following[0], Status.OPEN, number],
            )
            add_act(database, number, Act("escalated", STEWARD, at, f"to {following[0]}"))
            self._tell(database, number, NoticeType.OVERDUE, at)

    def _those(self, database: Connection, where: str, at: datetime) -> list[int]:
        """The open cases that match `where`, except those of scenes no longer offered."""
        query = f"SELECT id, scene FROM cases WHERE status <> 'closed' AND {where} ORDER BY id"  # noqa: S608 - ours
        rows = database.execute(query, [stamp(at)]).fetchall()
        return [row["id"] for row in rows if row["scene"] in self._scenes]


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


def _corrected(cursor: Cursor, now: int) -> Cursor:
    """The cursor to continue from; goes back if an earlier run's clock was far ahead."""
    size, minute = cursor
    return (size, now) if now < minute - CORRECTED else cursor


def _unfiled(database: Connection, changes: Sequence[ConsentChange]) -> list[ConsentChange]:
    """The changes that were not filed before the clock was corrected."""
    query = (
        "SELECT 1 FROM change WHERE scene = ? AND kind = ? AND ifnull(entry, -1) = ? AND minute = ?"
    )
    keys = [[c.scene, c.kind, -1 if c.index is None else c.index, c.minute] for c in changes]
    known = [database.execute(query, key).fetchone() is not None for key in keys]
    return [each for each, filed in zip(changes, known, strict=True) if not filed]


def _move(database: Connection, was: Cursor, now: Cursor) -> None:
    """Compare and swap the cursor, so that two flows never file the same change."""
    query = "UPDATE cursor SET size = ?, minute = ? WHERE size = ? AND minute = ?"
    if database.execute(query, [*now, *was]).rowcount != 1:
        raise _MovedElsewhereError


def gathering(database: Connection, scene: str, kind: ChangeKind, at: datetime) -> int | None:
    """The case that still collects changes of this kind, or None."""
    query = (
        "SELECT id FROM cases WHERE scene = ? AND kind = ? AND status <> 'closed'"
        " AND gathers_until > ? ORDER BY id DESC LIMIT 1"
    )
    row = database.execute(query, [scene, kind, stamp(at)]).fetchone()
    return None if row is None else int(row["id"])


def _grouped(changes: Sequence[ConsentChange]) -> dict[tuple[str, ChangeKind], list[ConsentChange]]:
    groups: dict[tuple[str, ChangeKind], list[ConsentChange]] = defaultdict(list)
    for each in changes:
        groups[each.scene, each.kind].append(each)
    return groups

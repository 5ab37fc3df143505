"""Cases: the work on changes of one kind in one scene, its deadline, and what was done.

opened ── take, assign ──> taken ── close ──> closed ── reopen ──> opened
   └────────────────── close ─────────────────^

Every step is recorded as an act, and so is a comment.
"""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from sqlalchemy import bindparam, func, insert, select, update
from sqlalchemy.engine import Connection, RowMapping

from gate.contracts.scene import Fallback, Scene
from steward.cases import loss as losses
from steward.cases.case_store import CaseStore, moment, stamp
from steward.cases.changes import ChangeKind
from steward.cases.loss import Loss
from steward.storage.cases import ACT, ACTIVE, ASSIGNEE, CASE, CHANGE

STEWARD = "steward"  # the actor of automatic steps
MAX_NOTE = 2000  # characters
MAX_NAMED = 5  # masked names in a case
MAX_AT_ONCE = 25  # cases that one press takes or closes
MAX_NAME = 200

_VERSION = select(func.max(ACT.c.seq)).where(ACT.c.number == CASE.c.id).scalar_subquery()
SELECT_CASE = select(CASE, func.coalesce(_VERSION, 0).label("version"))
_OPEN = SELECT_CASE.where(ACTIVE).order_by(CASE.c.due, CASE.c.id)
_CASE = SELECT_CASE.where(CASE.c.id == bindparam("case"))
_ACTS = select(ACT).where(ACT.c.number == bindparam("case")).order_by(ACT.c.seq)
_ENTRIES = (
    select(CHANGE.c.entry)
    .where(CHANGE.c.number == bindparam("case"), CHANGE.c.entry.is_not(None))
    .order_by(CHANGE.c.entry)
)
_NAMED = (
    select(CHANGE.c.masked)
    .where(CHANGE.c.number == bindparam("case"), CHANGE.c.masked != "[]")
    .order_by(CHANGE.c.seq)
    .limit(MAX_NAMED)
)
_NAMED_IN_OPEN = (
    select(CHANGE.c.number, CHANGE.c.masked)
    .where(CHANGE.c.number.in_(select(CASE.c.id).where(ACTIVE)), CHANGE.c.masked != "[]")
    .order_by(CHANGE.c.seq)
)
_ADD_ACT = insert(ACT)
_UPDATE = update(CASE).where(CASE.c.id == bindparam("case"))
_HOLD = _UPDATE.values(status="taken", holder=bindparam("who"))
_CLOSE = _UPDATE.values(
    status="closed", holder=None, closed=bindparam("now"), closed_by=bindparam("who")
)
_REOPEN = _UPDATE.values(status="open", closed=None, closed_by=None, due=bindparam("deadline"))
_ASSIGNEES = select(ASSIGNEE.c.name).order_by(ASSIGNEE.c.name)
_SEEN_AGAIN = update(ASSIGNEE).where(ASSIGNEE.c.name == bindparam("who"))
_SEEN_AGAIN = _SEEN_AGAIN.values(role=bindparam("in_role"), seen=bindparam("now"))


class Status(StrEnum):
    OPEN = "open"
    TAKEN = "taken"
    CLOSED = "closed"


class UnknownCaseError(LookupError):
    """There is no case with this number."""


class CaseConflictError(Exception):
    """The case has changed since it was shown. Nothing was changed; show it again.

    `numbers`: the cases that changed, of those that were to be worked on together.
    """

    def __init__(self, why: str, numbers: tuple[int, ...] = ()) -> None:
        super().__init__(why)
        self.numbers = numbers


class MalformedActError(ValueError):
    """An act lacks a name or a required note, or one is too long."""


@dataclass(frozen=True, slots=True)
class Case:
    """A case about changes of one `kind` in one `scene`.

    `count`: customers whose consent was lost, each counted once. `fields`: the fields lost; empty:
    all. `fallback`: what services get for them now. `loss`: its expected cost, None if it cannot be
    measured. `live`: customers with an active grant when the case was opened. `due`: the deadline
    of the role `responsible`. `holder`: who works on it, None unless it is taken. `closed` and
    `closed_by`: when and by whom, None unless it is closed. `version`: grows with every act.
    """

    id: int
    scene: str
    kind: ChangeKind
    count: int
    opened: datetime
    due: datetime
    status: Status
    fallback: Fallback
    loss: Loss | None
    fields: tuple[str, ...]
    live: int
    responsible: str
    escalated: datetime | None
    customers: tuple[str, ...]  # the first few, masked
    holder: str | None = None
    closed: datetime | None = None
    closed_by: str | None = None
    version: int = 0


@dataclass(frozen=True, slots=True)
class Act:
    """A recorded step.

    `act`: opened, grew, escalated, taken, assigned, commented, closed, reopened or replayed.
    `note`: of an assignment to whom, else the text.
    """

    act: str
    by: str
    at: datetime
    note: str


class Cases:
    """The cases of the data directory `home`, for the people who work on them. Thread-safe."""

    def __init__(self, home: Path) -> None:
        self._store = CaseStore(home)

    def open_cases(self) -> list[Case]:
        """The cases that are not closed, the most urgent first."""
        with self._store.reading() as database:
            rows = database.execute(_OPEN).mappings().all()
            customers: dict[int, list[str]] = defaultdict(list)
            for number, masked in database.execute(_NAMED_IN_OPEN).all():
                customers[number] += json.loads(masked)
        return [parse_case(row, customers[row["id"]]) for row in rows]

    def case(self, number: int) -> Case:
        """The case with this number. Raises UnknownCaseError."""
        with self._store.reading() as database:
            return require_case(database, number)

    def take(self, number: int, by: str, at: datetime) -> Case:
        """Assign the case to `by`. Taking one's own case again changes nothing.

        Raises UnknownCaseError, MalformedActError, and CaseConflictError if the case is closed or
        somebody else's.
        """
        _require(by, "who takes the case", MAX_NAME)
        with self._store.writing() as database:
            _take(database, number, by, at)
            return require_case(database, number)

    def assign(self, number: int, to: str, by: str, at: datetime) -> Case:
        """Give the case to `to`, who has signed in at the desk before.

        Raises UnknownCaseError, MalformedActError, and CaseConflictError if the case is closed or
        taken by somebody else than `by`.
        """
        with self._store.writing() as database:
            known = database.execute(_ASSIGNEES).scalars().all()
            if to not in known:
                raise MalformedActError(f"want one of {[*known]} to assign to, found {to[:40]!r}")
            if _workable(database, number, by).holder != to:
                add_act(database, number, Act("assigned", by, at, to))
                database.execute(_HOLD, {"case": number, "who": to})
            return require_case(database, number)

    def close(self, number: int, by: str, note: str, at: datetime) -> Case:
        """Close the case; `note`: the result of the review.

        Raises UnknownCaseError, MalformedActError, and CaseConflictError if the case is closed or
        somebody else's.
        """
        _require_closing(by, note)
        with self._store.writing() as database:
            _close(database, number, by, note, at)
            return require_case(database, number)

    def take_all(self, shown: Mapping[int, int], by: str, at: datetime) -> None:
        """Take all these cases, or none. `shown`: the version of each that the person saw.

        Raises MalformedActError, and CaseConflictError with the numbers of the cases that changed
        or are closed or somebody else's.
        """
        _require(by, "who takes the cases", MAX_NAME)
        with self._store.writing() as database:
            _require_unchanged(database, shown, by)
            for number in shown:
                _take(database, number, by, at)

    def close_all(self, shown: Mapping[int, int], by: str, note: str, at: datetime) -> None:
        """Close all these cases with one note, or none. Arguments and errors as `take_all`."""
        _require_closing(by, note)
        with self._store.writing() as database:
            _require_unchanged(database, shown, by)
            for number in shown:
                _close(database, number, by, note, at)

    def reopen(self, number: int, by: str, reason: str, due: datetime, at: datetime) -> Case:
        """Open a closed case again, with the deadline `due` and nobody working on it.

        Raises UnknownCaseError, MalformedActError, and CaseConflictError if it is not closed.
        """
        _require(by, "who reopens the case", MAX_NAME)
        _require(reason, "a reason to reopen the case", MAX_NOTE)
        with self._store.writing() as database:
            if require_case(database, number).status is not Status.CLOSED:
                raise CaseConflictError(f"case {number} is not closed", (number,))
            add_act(database, number, Act("reopened", by, at, reason))
            database.execute(_REOPEN, {"case": number, "deadline": stamp(due)})
            return require_case(database, number)

    def comment(self, number: int, by: str, text: str, at: datetime) -> None:
        """Add a comment to a case, open or closed. Raises UnknownCaseError, MalformedActError."""
        _require(by, "who comments", MAX_NAME)
        _require(text, "a comment", MAX_NOTE)
        with self._store.writing() as database:
            require_case(database, number)
            add_act(database, number, Act("commented", by, at, text))

    def sign_in(self, name: str, role: str, at: datetime) -> None:
        """Note that somebody signed in, so that cases can be assigned to them."""
        values = {"who": name, "in_role": role, "now": stamp(at)}
        with self._store.writing() as database:
            if not database.execute(_SEEN_AGAIN, values).rowcount:
                row = {"name": name, "role": role, "seen": stamp(at)}
                database.execute(insert(ASSIGNEE), row)

    def assignees(self) -> list[str]:
        """Everybody to whom a case can be assigned, by name."""
        with self._store.reading() as database:
            return [*database.execute(_ASSIGNEES).scalars()]

    def acts(self, number: int) -> list[Act]:
        """All acts on the case, oldest first. Raises UnknownCaseError."""
        with self._store.reading() as database:
            require_case(database, number)
            rows = database.execute(_ACTS, {"case": number}).mappings().all()
        return [Act(row["act"], row["by"], moment(row["at"]), row["note"]) for row in rows]

    def entries(self, number: int) -> list[int]:
        """The consent-log entries that caused the case. Raises UnknownCaseError."""
        with self._store.reading() as database:
            require_case(database, number)
            return [*database.execute(_ENTRIES, {"case": number}).scalars()]

    def close_store(self) -> None:
        self._store.close()


def require_case(database: Connection, number: int) -> Case:
    """The case with this number. Raises UnknownCaseError."""
    row = database.execute(_CASE, {"case": number}).mappings().first()
    if row is None:
        raise UnknownCaseError(f"there is no case {number}; list the cases to see their numbers")
    return parse_case(row, named(database, number))


def named(database: Connection, number: int) -> tuple[str, ...]:
    """The masked names of a case, of its first customers."""
    found = database.execute(_NAMED, {"case": number}).scalars().all()
    return tuple(name for each in found for name in json.loads(each))[:MAX_NAMED]


def add_act(database: Connection, number: int, act: Act) -> None:
    values = {"number": number, "act": act.act, "by": act.by, "at": stamp(act.at), "note": act.note}
    database.execute(_ADD_ACT, values)


def active_fallback(scene: Scene, *, released: bool) -> Fallback:
    """What the gate returns for a scene now; without a release nothing is synthetic (G4)."""
    if scene.fallback is Fallback.SYNTHETIC and not released:
        return Fallback.WITHHOLD
    return scene.fallback


def parse_case(row: RowMapping, customers: Sequence[str]) -> Case:
    """A row of SELECT_CASE as a case with these masked names."""
    return Case(
        id=row["id"],
        scene=row["scene"],
        kind=ChangeKind(row["kind"]),
        count=row["count"],
        opened=moment(row["opened"]),
        due=moment(row["due"]),
        status=Status(row["status"]),
        fallback=Fallback(row["fallback"]),
        loss=losses.parse(row["loss"]) if row["loss"] else None,
        fields=tuple(json.loads(row["fields"])),
        live=row["live"],
        responsible=row["responsible"],
        escalated=moment(row["escalated"]) if row["escalated"] else None,
        customers=tuple(customers[:MAX_NAMED]),
        holder=row["holder"],
        closed=moment(row["closed"]) if row["closed"] else None,
        closed_by=row["closed_by"],
        version=row["version"],
    )


def _take(database: Connection, number: int, by: str, at: datetime) -> None:
    if _workable(database, number, by).status is Status.OPEN:
        add_act(database, number, Act("taken", by, at, ""))
        database.execute(_HOLD, {"case": number, "who": by})


def _close(database: Connection, number: int, by: str, note: str, at: datetime) -> None:
    _workable(database, number, by)
    add_act(database, number, Act("closed", by, at, note))
    database.execute(_CLOSE, {"case": number, "who": by, "now": stamp(at)})


def _workable(database: Connection, number: int, by: str) -> Case:
    """The case, if `by` may work on it. Raises UnknownCaseError and CaseConflictError."""
    case = require_case(database, number)
    if case.status is Status.CLOSED:
        raise CaseConflictError(
            f"case {number} is closed; reopen it, or wait: a later change opens a new one",
            (number,),
        )
    if case.status is Status.TAKEN and case.holder != by:
        raise CaseConflictError(f"case {number} was taken by {case.holder}; ask them", (number,))
    return case


def _require_unchanged(database: Connection, shown: Mapping[int, int], by: str) -> None:
    if not 0 < len(shown) <= MAX_AT_ONCE:
        raise MalformedActError(f"want 1 to {MAX_AT_ONCE} cases at once, found {len(shown)}")
    changed = tuple(
        number
        for number, version in shown.items()
        if (case := require_case(database, number)).version != version
        or case.status is Status.CLOSED
        or case.holder not in {None, by}
    )
    if changed:
        raise CaseConflictError(f"cases {[*changed]} changed since they were shown", changed)


def _require_closing(by: str, note: str) -> None:
    _require(by, "who closes the case", MAX_NAME)
    _require(note, "a note that says what was reviewed", MAX_NOTE)


def _require(text: str, what: str, most: int) -> None:
    if not 0 < len(text.strip()) <= most:
        raise MalformedActError(f"want {what}, 1 to {most} characters, found {len(text.strip())}")
    if "\0" in text:
        raise MalformedActError(f"want {what} as text, found a null character")

"""Cases: the work on changes of one kind in one scene, its deadline, and what was done.

opened ── take ──> taken ── close ──> closed        every step is recorded as an act
   └───────────── close ────────────────^
"""

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from sqlalchemy import bindparam, insert, select, update
from sqlalchemy.engine import Connection, RowMapping

from gate.contracts.scene import Fallback, Scene
from steward.cases import loss as losses
from steward.cases.case_store import CaseStore, moment, stamp
from steward.cases.changes import ChangeKind
from steward.cases.loss import Loss
from steward.storage.cases import ACT, CASE, CHANGE

STEWARD = "steward"  # the actor of automatic steps
MAX_NOTE = 2000  # characters
MAX_NAMED = 5  # masked names in a case

_IS_OPEN = CASE.c.status != "closed"
_OPEN = select(CASE).where(_IS_OPEN).order_by(CASE.c.due, CASE.c.id)
_CASE = select(CASE).where(CASE.c.id == bindparam("case"))
_ACTS = select(ACT).where(ACT.c.number == bindparam("case")).order_by(ACT.c.seq)
_HOLDER = (
    select(ACT.c.by)
    .where(ACT.c.number == bindparam("case"), ACT.c.act == "taken")
    .order_by(ACT.c.seq.desc())
    .limit(1)
)
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
    .where(CHANGE.c.number.in_(select(CASE.c.id).where(_IS_OPEN)), CHANGE.c.masked != "[]")
    .order_by(CHANGE.c.seq)
)
_ADD_ACT = insert(ACT)
_SET_STATUS = update(CASE).where(CASE.c.id == bindparam("case")).values(status=bindparam("now"))


class Status(StrEnum):
    OPEN = "open"
    TAKEN = "taken"
    CLOSED = "closed"


class UnknownCaseError(LookupError):
    """There is no case with this number."""


class CaseConflictError(Exception):
    """The case has changed since it was shown. Nothing was changed; show it again."""


class MalformedActError(ValueError):
    """An act lacks a name or a required note, or one is too long."""


@dataclass(frozen=True, slots=True)
class Case:
    """A case about changes of one `kind` in one `scene`.

    `count`: customers whose consent was lost, each counted once. `fields`: the fields lost; empty:
    all. `fallback`: what services get for them now. `loss`: its expected cost, None if it cannot be
    measured. `live`: customers with an active grant when the case was opened. `due`: the deadline
    of the role `responsible`.
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


@dataclass(frozen=True, slots=True)
class Act:
    """A recorded step. `act`: opened, grew, escalated, taken, closed or replayed."""

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
        return [_case(row, customers[row["id"]]) for row in rows]

    def case(self, number: int) -> Case:
        """The case with this number. Raises UnknownCaseError."""
        with self._store.reading() as database:
            return require_case(database, number)

    def take(self, number: int, by: str, at: datetime) -> Case:
        """Assign the case to `by`. Taking one's own case again changes nothing.

        Raises UnknownCaseError, MalformedActError, and CaseConflictError if the case is closed or
        somebody else's.
        """
        _require(by, "who takes the case", 200)
        with self._store.writing() as database:
            if _workable(database, number, by).status is Status.OPEN:
                add_act(database, number, Act("taken", by, at, ""))
                _set(database, number, Status.TAKEN)
            return require_case(database, number)

    def close(self, number: int, by: str, note: str, at: datetime) -> Case:
        """Close the case; `note`: the result of the review.

        Raises UnknownCaseError, MalformedActError, and CaseConflictError if the case is closed or
        somebody else's.
        """
        _require(by, "who closes the case", 200)
        _require(note, "a note that says what was reviewed", MAX_NOTE)
        with self._store.writing() as database:
            _workable(database, number, by)
            add_act(database, number, Act("closed", by, at, note))
            _set(database, number, Status.CLOSED)
            return require_case(database, number)

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
    return _case(row, named(database, number))


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


def _case(row: RowMapping, customers: Sequence[str]) -> Case:
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
    )


def _workable(database: Connection, number: int, by: str) -> Case:
    """The case, if `by` may work on it. Raises UnknownCaseError and CaseConflictError."""
    case = require_case(database, number)
    if case.status is Status.CLOSED:
        raise CaseConflictError(f"case {number} is closed; a later change opens a new one")
    if case.status is Status.TAKEN and (holder := _holder(database, number)) != by:
        raise CaseConflictError(f"case {number} was taken by {holder}; ask them")
    return case


def _holder(database: Connection, number: int) -> str:
    return str(database.execute(_HOLDER, {"case": number}).scalar_one())


def _set(database: Connection, number: int, status: Status) -> None:
    database.execute(_SET_STATUS, {"case": number, "now": status})


def _require(text: str, what: str, most: int) -> None:
    if not 0 < len(text.strip()) <= most:
        raise MalformedActError(f"want {what}, 1 to {most} characters, found {len(text.strip())}")
    if "\0" in text:
        raise MalformedActError(f"want {what} as text, found a null character")

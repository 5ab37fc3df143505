"""Cases: the work on changes of one kind in one scene, its deadline, and what was done.

opened ── take ──> taken ── close ──> closed        every step is recorded as an act
   └───────────── close ────────────────^
"""

import json
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from sqlite3 import Connection, Row

from gate.contracts.scene import Fallback, Scene
from steward.cases import loss as losses
from steward.cases.case_store import CaseStore, moment, stamp
from steward.cases.changes import ChangeKind
from steward.cases.loss import Loss

STEWARD = "steward"  # the actor of automatic steps
MAX_NOTE = 2000  # characters
MAX_NAMED = 5  # masked names in a case


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
            rows = database.execute("SELECT * FROM cases WHERE status <> 'closed' ORDER BY due, id")
            return [_case(database, row) for row in rows.fetchall()]

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
            query = "SELECT * FROM act WHERE number = ? ORDER BY rowid"
            rows = database.execute(query, [number]).fetchall()
        return [Act(row["act"], row["by"], moment(row["at"]), row["note"]) for row in rows]

    def entries(self, number: int) -> list[int]:
        """The consent-log entries that caused the case. Raises UnknownCaseError."""
        with self._store.reading() as database:
            require_case(database, number)
            query = "SELECT entry FROM change WHERE number = ? AND entry NOT NULL ORDER BY entry"
            return [row["entry"] for row in database.execute(query, [number]).fetchall()]

    def close_store(self) -> None:
        self._store.close()


def require_case(database: Connection, number: int) -> Case:
    """The case with this number. Raises UnknownCaseError."""
    row = database.execute("SELECT * FROM cases WHERE id = ?", [number]).fetchone()
    if row is None:
        raise UnknownCaseError(f"there is no case {number}; list the cases to see their numbers")
    return _case(database, row)


def add_act(database: Connection, number: int, act: Act) -> None:
    values = [number, act.act, act.by, stamp(act.at), act.note]
    database.execute("INSERT INTO act VALUES (?, ?, ?, ?, ?)", values)


def active_fallback(scene: Scene, *, released: bool) -> Fallback:
    """What the gate returns for a scene now; without a release nothing is synthetic (G4)."""
    if scene.fallback is Fallback.SYNTHETIC and not released:
        return Fallback.WITHHOLD
    return scene.fallback


def _case(database: Connection, row: Row) -> Case:
    query = "SELECT masked FROM change WHERE number = ? AND masked <> '[]' ORDER BY rowid LIMIT ?"
    named = database.execute(query, [row["id"], MAX_NAMED]).fetchall()
    customers = [name for each in named for name in json.loads(each["masked"])]
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
    query = "SELECT by FROM act WHERE number = ? AND act = 'taken' ORDER BY rowid DESC LIMIT 1"
    return str(database.execute(query, [number]).fetchone()["by"])


def _set(database: Connection, number: int, status: Status) -> None:
    database.execute("UPDATE cases SET status = ? WHERE id = ?", [status, number])


def _require(text: str, what: str, most: int) -> None:
    if not 0 < len(text.strip()) <= most:
        raise MalformedActError(f"want {what}, 1 to {most} characters, found {len(text.strip())}")

"""What the change flow reads and writes inside a transaction: cursor, cases, changes, customers.

Every function takes the connection of the caller's transaction.
"""

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import and_, bindparam, insert, select, update
from sqlalchemy.engine import Connection

from gate.contracts.scene import Fallback, Scene
from steward.cases.case import Status
from steward.cases.case_store import stamp
from steward.cases.changes import ChangeKind, ConsentChange
from steward.cases.loss import Loss
from steward.storage.cases import CASE, CHANGE, CONCERNED, CURSOR, ENTRY

Cursor = tuple[int, int]  # entries applied, minute reached
MAX_VALUES = 10_000  # in one statement
NO_ENTRY = -1  # of the consent log, in ENTRY

_CURSOR = select(CURSOR.c.size, CURSOR.c.minute)
_BEGIN = (
    update(CURSOR)
    .where(CURSOR.c.size == 0)
    .values(size=bindparam("new_size"), minute=bindparam("new_minute"))
)
_MOVE = (
    update(CURSOR)
    .where(CURSOR.c.size == bindparam("old_size"), CURSOR.c.minute == bindparam("old_minute"))
    .values(size=bindparam("new_size"), minute=bindparam("new_minute"))
)
_GATHERING = (
    select(CASE.c.id)
    .where(
        CASE.c.scene == bindparam("scene"),
        CASE.c.kind == bindparam("kind"),
        CASE.c.status != "closed",
        CASE.c.gathers_until > bindparam("at"),
    )
    .order_by(CASE.c.id.desc())
    .limit(1)
)
_FILED = select(ENTRY, CHANGE.c.minute).where(
    CHANGE.c.scene == bindparam("scene"),
    CHANGE.c.kind == bindparam("kind"),
    ENTRY.between(bindparam("first"), bindparam("last")),
    CHANGE.c.minute.between(bindparam("since"), bindparam("until")),
)
_COUNTED = select(CONCERNED.c.tag).where(CONCERNED.c.number == bindparam("case"))
_AMONG = _COUNTED.where(CONCERNED.c.tag.in_(bindparam("tags", expanding=True)))
_OPEN_CASE = insert(CASE).returning(CASE.c.id)
_ADD_CHANGE, _CONCERN = insert(CHANGE), insert(CONCERNED)
_COUNT = (
    update(CASE)
    .where(CASE.c.id == bindparam("case"))
    .values(count=bindparam("new_count"), fields=bindparam("lost"), loss=bindparam("expected"))
)
_TOLD = update(CASE).where(CASE.c.id == bindparam("case")).values(told=CASE.c.count)
_ESCALATE = (
    update(CASE)
    .where(CASE.c.id == bindparam("case"))
    .values(
        escalated=bindparam("now"),
        due=bindparam("deadline"),
        responsible=bindparam("role"),
        status=Status.OPEN.value,
        holder=None,
    )
)


_GROWN = and_(CASE.c.told < CASE.c.count, CASE.c.gathers_until <= bindparam("at"))
_OVERDUE = and_(CASE.c.escalated.is_(None), CASE.c.due <= bindparam("at"))
_DUE = (
    select(CASE.c.id, CASE.c.scene, _GROWN.label("grown"), _OVERDUE.label("overdue"))
    .where(CASE.c.status != "closed", _GROWN | _OVERDUE)
    .order_by(CASE.c.id)
)


class MovedElsewhereError(Exception):
    """Another process moved the cursor. Nothing was changed; continue from there."""


class DueCase(NamedTuple):
    """`grown`: after its last notice, and its window has closed. `overdue`: and not escalated."""

    number: int
    scene: str
    grown: bool
    overdue: bool


def cursor(database: Connection) -> Cursor:
    size, minute = database.execute(_CURSOR).one()
    return size, minute


def begin(database: Connection, now: Cursor) -> None:
    """Set the cursor unless something was followed."""
    database.execute(_BEGIN, {"new_size": now[0], "new_minute": now[1]})


def move(database: Connection, was: Cursor, now: Cursor) -> None:
    """Compare and swap the cursor, so that two flows never file the same change.

    Raises MovedElsewhereError.
    """
    old = {"old_size": was[0], "old_minute": was[1]}
    if database.execute(_MOVE, {**old, "new_size": now[0], "new_minute": now[1]}).rowcount != 1:
        raise MovedElsewhereError


def gathering(database: Connection, scene: str, kind: ChangeKind, at: datetime) -> int | None:
    """The case that still collects changes of this kind, or None."""
    values = {"scene": scene, "kind": kind.value, "at": stamp(at)}
    return database.execute(_GATHERING, values).scalar()


def open_case(
    database: Connection,
    scene: Scene,
    kind: ChangeKind,
    fallback: Fallback,
    live: int,
    responsible: str,
    at: datetime,
) -> int:
    """Open a case in which nobody is counted yet, and return its number."""
    rules = scene.change
    values = {
        "scene": scene.id,
        "kind": kind.value,
        "count": 0,
        "told": 0,
        "live": live,
        "fields": "[]",
        "fallback": fallback.value,
        "opened": stamp(at),
        "gathers_until": stamp(at + rules.window),
        "due": stamp(at + rules.review),
        "status": Status.OPEN.value,
        "responsible": responsible,
    }
    return int(database.execute(_OPEN_CASE, values).scalar_one())


def unfiled(database: Connection, changes: Sequence[ConsentChange]) -> list[ConsentChange]:
    """The changes that were not filed before the clock was corrected."""
    groups: dict[tuple[str, ChangeKind, bool], list[ConsentChange]] = defaultdict(list)
    for each in changes:
        groups[each.scene, each.kind, each.index is None].append(each)
    filed = {
        (scene, kind, entry, minute)
        for (scene, kind, _), group in groups.items()
        for entry, minute in _filed(database, scene, kind, group)
    }
    return [
        each for each in changes if (each.scene, each.kind, _entry(each), each.minute) not in filed
    ]


def _filed(
    database: Connection, scene: str, kind: ChangeKind, changes: Sequence[ConsentChange]
) -> Iterable[tuple[int, int]]:
    """Entry and minute of what was filed, as far as these changes reach."""
    entries, minutes = [_entry(each) for each in changes], [each.minute for each in changes]
    values = {
        "scene": scene,
        "kind": kind.value,
        "first": min(entries),
        "last": max(entries),
        "since": min(minutes),
        "until": max(minutes),
    }
    return (tuple(row) for row in database.execute(_FILED, values))


def _entry(change: ConsentChange) -> int:
    return NO_ENTRY if change.index is None else change.index


def counted(database: Connection, number: int, tags: Sequence[bytes]) -> set[bytes]:
    """Those of the tags whose customers the case has counted."""
    found: set[bytes] = set()
    for start in range(0, len(tags), MAX_VALUES):
        values = {"case": number, "tags": tags[start : start + MAX_VALUES]}
        found.update(database.execute(_AMONG, values).scalars().all())
    return found


def all_counted(database: Connection, number: int) -> set[bytes]:
    """The tags of all customers that the case has counted: cheaper than asking for most of them."""
    return {*database.execute(_COUNTED, {"case": number}).scalars().all()}


def concern(database: Connection, number: int, tags: Collection[bytes]) -> None:
    """Count customers, by tags that the case did not have."""
    if tags:
        database.execute(_CONCERN, [{"number": number, "tag": tag} for tag in tags])


def add_changes(
    database: Connection, number: int, changes: Iterable[tuple[ConsentChange, Sequence[str]]]
) -> None:
    """Add changes to a case, each with the masked names that a notice may give."""
    rows = [
        {
            "number": number,
            "scene": each.scene,
            "kind": each.kind.value,
            "entry": each.index,
            "minute": each.minute,
            "count": len(each.subjects),
            "masked": json.dumps(masked) if masked else "[]",
        }
        for each, masked in changes
    ]
    database.execute(_ADD_CHANGE, rows)


def set_count(
    database: Connection, number: int, count: int, fields: Sequence[str], loss: Loss | None
) -> None:
    expected = loss.text() if loss else None
    values = {"new_count": count, "lost": json.dumps(fields), "expected": expected}
    database.execute(_COUNT, {"case": number, **values})


def set_told(database: Connection, number: int) -> None:
    """Note that a notice gave the case's present count."""
    database.execute(_TOLD, {"case": number})


def due(database: Connection, at: datetime) -> list[DueCase]:
    """The cases that ask for a notice, by number."""
    return [DueCase(*row) for row in database.execute(_DUE, {"at": stamp(at)})]


def escalate(database: Connection, case: int, role: str, at: datetime, due: datetime) -> None:
    values = {"now": stamp(at), "deadline": stamp(due), "role": role}
    database.execute(_ESCALATE, {"case": case, **values})

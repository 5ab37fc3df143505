"""The queue of cases: filtered, in order, page by page, and the customers of one case.

A page reads an index of the table of cases as far as the page reaches; a filter that an index does
not serve (scene and kind) is applied to the rows of that index on the way. So the cost of a page
grows with its number and with what is filtered out, not with the number of cases.
"""

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from sqlalchemy import Column, ColumnElement, Select, and_, bindparam, func, or_, select
from sqlalchemy.engine import Connection

from steward.cases.case import SELECT_CASE, Case, UnknownCaseError, parse_case, require_case
from steward.cases.case_store import CaseStore, stamp
from steward.cases.changes import ChangeKind
from steward.storage.cases import ACTIVE, CASE, CHANGE

PAGE = 25  # rows
CHUNK = 500  # rows of an export that are read at once
MAX_PAGES = 400  # a reader of more wants a filter
NOBODY = "-"  # the holder of a case that nobody has taken

_COUNT = select(func.count()).select_from(CASE).where(ACTIVE)
_MASKED = (
    select(CHANGE.c.number, CHANGE.c.masked)
    .where(
        CHANGE.c.number.in_(bindparam("cases", expanding=True)),
        CHANGE.c.masked != "[]",
    )
    .order_by(CHANGE.c.seq)
)
_CHANGES = (
    select(CHANGE.c.entry, CHANGE.c.masked)
    .where(CHANGE.c.number == bindparam("case"), CHANGE.c.entry.is_not(None))
    .order_by(CHANGE.c.seq)
)
_OF_ENTRY = (
    select(CHANGE.c.seq)
    .where(CHANGE.c.number == bindparam("case"), CHANGE.c.entry == bindparam("which"))
    .limit(1)
)


class QueueState(StrEnum):
    ACTIVE = "active"  # open or taken
    OPEN = "open"
    TAKEN = "taken"
    CLOSED = "closed"
    ALL = "all"


class QueueOrder(StrEnum):
    DEADLINE = "deadline"  # the earliest first
    AGE = "age"  # the oldest first
    NEWEST = "newest"


@dataclass(frozen=True, slots=True)
class CaseFilter:
    """Which cases, in which order. None: any; the holder NOBODY: cases that nobody has taken."""

    state: QueueState = QueueState.ACTIVE
    kind: ChangeKind | None = None
    scene: str | None = None
    holder: str | None = None
    order: QueueOrder = QueueOrder.DEADLINE


@dataclass(frozen=True, slots=True)
class QueuePage:
    """Up to PAGE cases. `more`: whether a later page has some."""

    cases: list[Case]
    number: int
    more: bool


@dataclass(frozen=True, slots=True)
class CaseEntry:
    """The entry of the consent log that made a change of a case; `masked`: whose, if named."""

    entry: int
    masked: str | None


class CaseQueue:
    """The cases of the data directory `home`, to look through. Thread-safe."""

    def __init__(self, home: Path) -> None:
        self._store = CaseStore(home)

    def page(self, wanted: CaseFilter, number: int = 1, size: int = PAGE) -> QueuePage:
        """The page `number`, from 1 on."""
        query = _query(wanted).limit(size + 1).offset((number - 1) * size)
        with self._store.reading() as database:
            cases = _cases(database, query)
        return QueuePage(cases[:size], number, len(cases) > size)

    def all(self, wanted: CaseFilter) -> Iterator[Case]:
        """Every case of the filter, in its order, read CHUNK by CHUNK.

        A case that moves in the order meanwhile may be missing or come twice.
        """
        last: Case | None = None
        while True:
            query = _query(wanted).limit(CHUNK)
            if last is not None:
                query = query.where(_after(wanted.order, last))
            with self._store.reading() as database:
                cases = _cases(database, query)
            yield from cases
            if len(cases) < CHUNK:
                return
            last = cases[-1]

    def active(self) -> int:
        """How many cases are not closed."""
        with self._store.reading() as database:
            return int(database.execute(_COUNT).scalar_one())

    def entries(self, case: int, number: int = 1) -> tuple[list[CaseEntry], bool]:
        """A page of the entries that made the case, and whether there are more.

        An entry is of one customer. Raises UnknownCaseError.
        """
        query = _CHANGES.limit(PAGE + 1).offset((number - 1) * PAGE)
        with self._store.reading() as database:
            require_case(database, case)
            rows = database.execute(query, {"case": case}).all()
        found = [CaseEntry(entry, next(iter(json.loads(masked)), None)) for entry, masked in rows]
        return found[:PAGE], len(found) > PAGE

    def require_entry(self, case: int, entry: int) -> None:
        """Raises UnknownCaseError unless the entry is one of the case."""
        with self._store.reading() as database:
            if database.execute(_OF_ENTRY, {"case": case, "which": entry}).first() is None:
                raise UnknownCaseError(
                    f"want an entry of case {case}, found {entry}; see the list of its customers"
                )


def _query(wanted: CaseFilter) -> Select[Any]:
    query = SELECT_CASE
    if wanted.state is QueueState.ACTIVE:
        query = query.where(ACTIVE)
    elif wanted.state is not QueueState.ALL:
        query = query.where(CASE.c.status == wanted.state.value)
    if wanted.kind is not None:
        query = query.where(CASE.c.kind == wanted.kind.value)
    if wanted.scene is not None:
        query = query.where(CASE.c.scene == wanted.scene)
    if wanted.holder == NOBODY:
        query = query.where(CASE.c.holder.is_(None))
    elif wanted.holder is not None:
        query = query.where(CASE.c.holder == wanted.holder)
    column, descending = _order(wanted.order)
    if descending:
        return query.order_by(column.desc(), CASE.c.id.desc())
    return query.order_by(column, CASE.c.id)


def _after(order: QueueOrder, last: Case) -> ColumnElement[bool]:
    """The condition that a case comes after `last`."""
    column, descending = _order(order)
    value = stamp(last.due if order is QueueOrder.DEADLINE else last.opened)
    if descending:
        return or_(column < value, and_(column == value, CASE.c.id < last.id))
    return or_(column > value, and_(column == value, CASE.c.id > last.id))


def _order(order: QueueOrder) -> tuple[Column[str], bool]:
    """The column that gives the order, and whether the largest comes first."""
    if order is QueueOrder.DEADLINE:
        return CASE.c.due, False
    return CASE.c.opened, order is QueueOrder.NEWEST


def _cases(database: Connection, query: Select[Any]) -> list[Case]:
    rows = database.execute(query).mappings().all()
    names: dict[int, list[str]] = defaultdict(list)
    for number, masked in database.execute(_MASKED, {"cases": [row["id"] for row in rows]}):
        names[number] += json.loads(masked)
    return [parse_case(row, names[row["id"]]) for row in rows]

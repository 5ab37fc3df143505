"""View models of the pages of cases, and their export as CSV. Pure."""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlencode

from steward.cases.case import Case, Status
from steward.cases.case_queue import CaseFilter

CSV_TYPE = "text/csv; charset=utf-8"
CSV_COLUMNS = (
    "case",
    "scene",
    "kind",
    "customers",
    "names",
    "fallback",
    "expected_loss",
    "opened",
    "due",
    "status",
    "responsible",
    "assignee",
    "closed",
    "closed_by",
)
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what spreadsheets take for the start of one
ROWS_AT_ONCE = 200
UNITS = (("day", timedelta(days=1)), ("hour", timedelta(hours=1)), ("minute", timedelta(minutes=1)))


@dataclass(frozen=True, slots=True)
class DeadlineClock:
    """The time until or since a deadline, in the largest unit that it fills, rounded down."""

    late: bool
    unit: str  # day, hour or minute
    count: int


@dataclass(frozen=True, slots=True)
class CaseRow:
    """A case as the queue shows it. `clock`: None for a closed one."""

    case: Case
    clock: DeadlineClock | None


def rows(cases: Iterable[Case], at: datetime) -> list[CaseRow]:
    return [row(each, at) for each in cases]


def row(case: Case, at: datetime) -> CaseRow:
    """One case, with the time that its deadline is away."""
    return CaseRow(case, None if case.status is Status.CLOSED else deadline_clock(case.due, at))


def deadline_clock(due: datetime, at: datetime) -> DeadlineClock:
    away = abs(due - at)
    for unit, length in UNITS:
        if away >= length:
            return DeadlineClock(due < at, unit, away // length)
    return DeadlineClock(due < at, "minute", 1)  # less than one


def query(wanted: CaseFilter, page: int = 1) -> str:
    """The part of the queue's address that says what it shows; defaults are left out."""
    default = CaseFilter()
    named = {
        "state": wanted.state,
        "kind": wanted.kind,
        "scene": wanted.scene,
        "assignee": wanted.holder,
        "sort": wanted.order,
    }
    usual = (default.state, default.kind, default.scene, default.holder, default.order)
    parts = {
        name: str(value)
        for (name, value), left_out in zip(named.items(), usual, strict=True)
        if value != left_out
    }
    return urlencode(parts | ({"page": str(page)} if page > 1 else {}))


def exported(cases: Iterable[Case]) -> Iterator[str]:
    """The cases as CSV (RFC 4180), some rows at a time, without notes and comments.

    Customers are named as on the desk, masked. A cell that a spreadsheet would take for a formula
    begins with an apostrophe.
    """
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(CSV_COLUMNS)
    for count, case in enumerate(cases, start=1):
        writer.writerow([plain(cell) for cell in _cells(case)])
        if count % ROWS_AT_ONCE == 0:
            yield text.getvalue()
            text.seek(0)
            text.truncate()
    yield text.getvalue()


def plain(cell: str) -> str:
    """A cell that no spreadsheet runs."""
    return f"'{cell}" if cell.startswith(FORMULA) else cell


def _cells(case: Case) -> Sequence[str]:
    return (
        str(case.id),
        case.scene,
        case.kind.value,
        str(case.count),
        " ".join(case.customers),
        case.fallback.value,
        f"{case.loss.mean:.6f}" if case.loss else "",
        _time(case.opened),
        _time(case.due),
        case.status.value,
        case.responsible,
        case.holder or "",
        _time(case.closed),
        case.closed_by or "",
    )


def _time(at: datetime | None) -> str:
    return "" if at is None else at.strftime("%Y-%m-%dT%H:%M:%SZ")

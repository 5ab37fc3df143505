"""Routes of the desk's pages about cases: the queue, one case, its customers, and the export.

The address of the queue says what it shows, so that a view can be kept as a bookmark:

    /desk/cases?state=closed&scene=segmentation&sort=newest&page=2
"""

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Form, Query
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse

from portal.auth.session import Session
from portal.desk import case_tables, tables
from portal.desk.desk_page import Here, Me, Number, PageNumber, Short, desk_page
from portal.desk.office import ROLES, Office
from portal.web.pages import context
from portal.web.problems import MalformedFormError, reads_pages
from steward.cases.case import MAX_NAME, CaseConflictError
from steward.cases.case_queue import NOBODY, CaseFilter, QueueOrder, QueueState
from steward.cases.changes import ChangeKind

router = APIRouter(prefix="/desk", include_in_schema=False)

REVIEW_AGAIN = timedelta(days=3)  # the deadline of a reopened case whose scene is not offered
SELECTED = re.compile(r"([1-9][0-9]{0,8})\.([0-9]{1,15})")
Selected = Annotated[list[str], Form()]


def case_filter(
    state: QueueState = QueueState.ACTIVE,
    kind: Annotated[str, Query(max_length=40)] = "",
    scene: Annotated[str, Query(max_length=100)] = "",
    assignee: Annotated[str, Query(max_length=MAX_NAME)] = "",
    sort: QueueOrder = QueueOrder.DEADLINE,
) -> CaseFilter:
    """What the address asks for; an empty value is any. Raises MalformedFormError."""
    if kind and kind not in [*ChangeKind]:
        raise MalformedFormError(f"want one of {[*ChangeKind]} as kind, found {kind!r}")
    return CaseFilter(
        state, ChangeKind(kind) if kind else None, scene or None, assignee or None, sort
    )


Wanted = Annotated[CaseFilter, Depends(case_filter)]


@router.get("/cases")
def cases(request: Request, here: Here, me: Me, wanted: Wanted, page: PageNumber = 1) -> Response:
    return _queue(request, here, me, wanted, page)


@router.get("/cases.csv")
def export(here: Here, me: Me, wanted: Wanted) -> Response:  # noqa: ARG001 - signed in
    return StreamingResponse(
        case_tables.exported(here.queue.all(wanted)),
        media_type=case_tables.CSV_TYPE,
        headers={"Content-Disposition": 'attachment; filename="cases.csv"'},
    )


@router.post("/queue/take")
def take_selected(
    request: Request, here: Here, me: Me, wanted: Wanted, case: Selected, page: PageNumber = 1
) -> Response:
    """Take the selected cases, all or none. `case`: number and version, 12.345, as shown."""
    at, shown = context(request).clock(), _selected(case)
    return _together(
        request, here, me, wanted, page, lambda: here.cases.take_all(shown, me.subject, at)
    )


@router.post("/queue/close")
def close_selected(
    request: Request,
    here: Here,
    me: Me,
    wanted: Wanted,
    case: Selected,
    note: Short,
    page: PageNumber = 1,
) -> Response:
    """Close the selected cases with one note, all or none."""
    at, shown = context(request).clock(), _selected(case)
    return _together(
        request, here, me, wanted, page, lambda: here.cases.close_all(shown, me.subject, note, at)
    )


@router.get("/cases/{number}")
def case(request: Request, here: Here, me: Me, number: Number) -> Response:
    return _case(request, here, me, number)


@router.post("/cases/{number}/take")
def take(request: Request, here: Here, me: Me, number: Number) -> Response:
    at = context(request).clock()
    return _alone(request, here, me, number, lambda: here.cases.take(number, me.subject, at))


@router.post("/cases/{number}/assign")
def assign(request: Request, here: Here, me: Me, number: Number, to: Short) -> Response:
    at = context(request).clock()
    return _alone(request, here, me, number, lambda: here.cases.assign(number, to, me.subject, at))


@router.post("/cases/{number}/close")
def close(request: Request, here: Here, me: Me, number: Number, note: Short) -> Response:
    at = context(request).clock()
    return _alone(request, here, me, number, lambda: here.cases.close(number, me.subject, note, at))


@router.post("/cases/{number}/reopen")
def reopen(request: Request, here: Here, me: Me, number: Number, reason: Short) -> Response:
    """Open a closed case again, with a new deadline as for a new case of its scene."""
    at = context(request).clock()
    scene = here.product.scenes.get(here.cases.case(number).scene)
    due = at + (scene.change.review if scene else REVIEW_AGAIN)
    return _alone(
        request, here, me, number, lambda: here.cases.reopen(number, me.subject, reason, due, at)
    )


@router.post("/cases/{number}/comment")
def comment(request: Request, here: Here, me: Me, number: Number, text: Short) -> Response:
    at = context(request).clock()
    return _alone(
        request, here, me, number, lambda: here.cases.comment(number, me.subject, text, at)
    )


@router.get("/cases/{number}/customers")
def customers(
    request: Request, here: Here, me: Me, number: Number, page: PageNumber = 1
) -> Response:
    return _customers(request, here, me, number, page)


@router.post("/cases/{number}/customers")
def open_customer(
    request: Request,
    here: Here,
    me: Me,
    number: Number,
    entry: Annotated[int, Form(ge=0, le=10**12)],
    reason: Short,
    page: PageNumber = 1,
) -> Response:
    """Open one customer of a case. A POST, because a search is written to register and read log."""
    if not reason.strip():
        raise MalformedFormError("want a reason to open a customer, found none")
    at = context(request).clock()
    result = here.open_customer(number, entry, me.subject, reason.strip(), at)
    match = tables.customer(result) if result else None
    return _customers(request, here, me, number, page, searched=True, match=match)


def _queue(
    request: Request,
    here: Office,
    me: Session,
    wanted: CaseFilter,
    page: int,
    changed: tuple[int, ...] = (),
) -> Response:
    """The queue; after a conflict it names the cases that changed, with 409."""
    found, at = here.queue.page(wanted, page), context(request).clock()
    return desk_page(
        request,
        me,
        "desk/cases.html",
        status=409 if changed else 200,
        rows=case_tables.rows(found.cases, at),
        found=found,
        wanted=wanted,
        changed=changed,
        states=[*QueueState],
        kinds=[*ChangeKind],
        orders=[*QueueOrder],
        assignees=here.cases.assignees(),
        nobody=NOBODY,
        query=case_tables.query(wanted),
        here=case_tables.query(wanted, page),
        previous=case_tables.query(wanted, page - 1),
        following=case_tables.query(wanted, page + 1),
    )


def _case(
    request: Request, here: Office, me: Session, number: int, *, changed: bool = False
) -> Response:
    """One case; after a conflict it says so, with 409, and shows the present state."""
    case, at = here.cases.case(number), context(request).clock()
    return desk_page(
        request,
        me,
        "desk/case.html",
        status=409 if changed else 200,
        row=case_tables.row(case, at),
        case=case,
        changed=changed,
        person=me.subject,
        assignees=here.cases.assignees(),
        acts=here.cases.acts(number),
        letters=here.outbox.of(number),
        roles=ROLES,
    )


def _customers(
    request: Request,
    here: Office,
    me: Session,
    number: int,
    page: int,
    *,
    searched: bool = False,
    match: tables.CustomerRow | None = None,
) -> Response:
    entries, more = here.queue.entries(number, page)
    return desk_page(
        request,
        me,
        "desk/case_customers.html",
        case=here.cases.case(number),
        entries=entries,
        number=page,
        more=more,
        searched=searched,
        match=match,
    )


def _alone(
    request: Request, here: Office, me: Session, number: int, act: Callable[[], object]
) -> Response:
    """Do `act` and show the case."""
    try:
        act()
    except CaseConflictError:
        if not reads_pages(request):
            raise
        return _case(request, here, me, number, changed=True)
    return RedirectResponse(f"/desk/cases/{number}", 303)


def _together(
    request: Request,
    here: Office,
    me: Session,
    wanted: CaseFilter,
    page: int,
    act: Callable[[], object],
) -> Response:
    """Do `act` on several cases and show the queue as it was."""
    try:
        act()
    except CaseConflictError as error:
        if not reads_pages(request):
            raise
        return _queue(request, here, me, wanted, page, error.numbers)
    return RedirectResponse(f"/desk/cases?{case_tables.query(wanted, page)}", 303)


def _selected(cases: list[str]) -> dict[int, int]:
    """The number of each case with its version. Raises MalformedFormError."""
    matches = [SELECTED.fullmatch(each) for each in cases]
    shown = {int(each[1]): int(each[2]) for each in matches if each}
    if None in matches or len(shown) != len(cases):
        raise MalformedFormError(f"want cases as number.version, each once, found {cases[:3]}")
    return shown

"""Routes of the steward's pages. Decisions are in office.py and the package steward."""

from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Form
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from portal.auth.session import Session
from portal.desk import case_tables, tables
from portal.desk.desk_page import (
    COOKIE,
    Here,
    Me,
    Number,
    PageNumber,
    Short,
    desk_page,
    find_steward,
)
from portal.desk.office import GROUNDS, OFFICER, ROLES, Office
from portal.signin import routes
from portal.web.health import job_results
from portal.web.pages import context, page, words
from portal.web.problems import LoginRefusedError, MalformedFormError, NotFoundError
from steward.cases.case_queue import PAGE, CaseFilter
from steward.oversight.review import ReviewOutcome

router = APIRouter(prefix="/desk", include_in_schema=False)

FIRST_CASES = 5  # on the first page
A_DAY = timedelta(days=1)
DAYS = 90  # of health shown

Text = Annotated[str, Form(max_length=20_000)]


@router.get("")
def show(request: Request, here: Here) -> Response:
    me = find_steward(request)
    if me is None:
        provider = context(request).desk_provider is not None
        return page(request, "desk/login.html", roles=ROLES, steward=None, provider=provider)
    at = context(request).clock()
    return desk_page(
        request,
        me,
        "desk/today.html",
        rows=case_tables.rows(here.queue.page(CaseFilter(), size=FIRST_CASES).cases, at),
        active=here.queue.active(),
        waiting=here.reviews.pending(),
        alerts=here.contracts.alerts(),
        agreements=tables.agreements(here.agreements(at)),
        at=at,
    )


@router.post("/login")
def sign_in(request: Request, here: Here, role: Short) -> Response:
    """The demonstration's login, without proof. Refused unless the setting `demo` is on."""
    if not here.product.settings.demo or role not in ROLES:
        raise LoginRefusedError
    return _signed_in(request, here, role, role)


@router.get("/login/provider")
def go_to_provider(request: Request) -> Response:
    return routes.to_provider(request, context(request).desk_provider, "come_back_to_desk")


@router.get("/login/callback")
def come_back_to_desk(
    request: Request, here: Here, code: routes.Code = "", state: routes.State = ""
) -> Response:
    claims = routes.claims(request, context(request).desk_provider, code, state)
    stated = claims.get(here.product.settings.oidc_roles_claim)
    roles = [stated] if isinstance(stated, str) else stated  # some providers write one as a text
    role = next((role for role in ROLES if isinstance(roles, list) and role in roles), None)
    if role is None or not str(claims.get("sub", "")):
        raise LoginRefusedError
    return _signed_in(request, here, role, str(claims["sub"]))


@router.post("/logout")
def sign_out(request: Request, here: Here) -> Response:
    here.sessions.close(request.cookies.get(COOKIE))
    response = RedirectResponse("/desk", 303)
    response.delete_cookie(COOKIE, path="/desk")
    return response


@router.get("/reviews")
def reviews(request: Request, here: Here, me: Me, page: PageNumber = 1) -> Response:
    shown = here.reviews.waiting(PAGE + 1, (page - 1) * PAGE)
    count, _ = here.reviews.pending()
    return desk_page(
        request,
        me,
        "desk/reviews.html",
        waiting=shown[:PAGE],
        count=count,
        number=page,
        more=len(shown) > PAGE,
        at=context(request).clock(),
    )


@router.post("/reviews/{number}/{verdict}")
def decide(
    request: Request,
    here: Here,
    me: Me,
    number: Number,
    verdict: ReviewOutcome,
    reason: Short,
    text: Text = "",
) -> Response:
    edited = text if verdict is ReviewOutcome.EDIT else None
    at = context(request).clock()
    here.reviews.decide(number, verdict, by=me.subject, reason=reason, text=edited, at=at)
    return RedirectResponse("/desk/reviews", 303)


@router.get("/contracts")
def contracts(request: Request, here: Here, me: Me) -> Response:
    at, product = context(request).clock(), here.product
    return desk_page(
        request,
        me,
        "desk/contracts.html",
        last=here.contracts.last_run(),
        alerts=tables.alerts(here.contracts.alerts(), product.scenes, product.source),
        rows=tables.attained(here.contracts, product.scenes, at - A_DAY),
        items=tables.items(product.source),
    )


@router.post("/contracts/check")
def check(request: Request, here: Here, me: Me) -> Response:  # noqa: ARG001 - signed in
    here.check(context(request).clock())
    return RedirectResponse("/desk/contracts", 303)


@router.get("/jobs")
def jobs(request: Request, here: Here, me: Me) -> Response:
    at = context(request).clock()
    return desk_page(
        request,
        me,
        "desk/jobs.html",
        rows=tables.jobs(job_results(request).snapshot(at), at),
        endless=here.read_logs_without_end(),
    )


@router.get("/agreements")
def agreements(request: Request, here: Here, me: Me) -> Response:
    return _agreements(request, here, me)


@router.get("/customers")
def search_again(me: Me) -> Response:  # noqa: ARG001 - signed in
    """A language change on a search result leads here; the search is not repeated."""
    return RedirectResponse("/desk/agreements", 303)


@router.post("/customers")
def search(
    request: Request, here: Here, me: Me, customer: Short, ground: Short, reason: Short
) -> Response:
    """Search for a customer. A POST, because a search is written to register and read log."""
    if ground not in GROUNDS or not reason.strip():
        raise MalformedFormError(
            f"want one of {[*GROUNDS]} and a reason for a search, found {ground[:20]!r}"
        )
    at = context(request).clock()
    result = here.search(customer.strip(), me.subject, ground, reason.strip(), at)
    match = tables.customer(result) if result else None
    form = {"customer": customer, "ground": ground, "reason": reason}
    return _agreements(request, here, me, searched=True, match=match, form=form)


@router.get("/openings")
def openings(request: Request, me: Me) -> Response:
    _require_officer(me)
    return desk_page(request, me, "desk/openings.html", token=None, customer=None)


@router.post("/openings")
def open_history(
    request: Request, me: Me, customer: Short, reason: Short, days: Annotated[int, Form()]
) -> Response:
    """Make a token with which an authority can see one customer's history."""
    _require_officer(me)
    here, subject = context(request), customer.strip()
    token = here.openings.grant(subject, me.subject, reason, days, here.clock())
    return desk_page(request, me, "desk/openings.html", token=token, customer=subject)


def _require_officer(me: Session) -> None:
    if me.name != OFFICER:
        raise NotFoundError


def _signed_in(request: Request, here: Office, role: str, person: str) -> Response:
    """Begin a new session. `person` is recorded with every act, `role` is what the desk shows."""
    here.sessions.close(request.cookies.get(COOKIE))
    here.cases.sign_in(person, role, context(request).clock())
    token = here.sessions.open(person, role, context(request).clock())
    response = RedirectResponse("/desk", 303)
    secure = request.url.scheme == "https"
    response.set_cookie(
        COOKIE,
        token,
        max_age=int(here.sessions.length.longest.total_seconds()),
        path="/desk",
        httponly=True,
        samesite="lax",
        secure=secure,
    )
    return response


def _agreements(
    request: Request,
    here: Office,
    me: Session,
    *,
    searched: bool = False,
    match: tables.CustomerRow | None = None,
    form: dict[str, str] | None = None,
) -> Response:
    shown = tables.agreements(here.agreements(context(request).clock()))
    drawn = tables.over_time(here.trend.last(DAYS), words(request).short_day)
    facts: dict[str, Any] = {
        "agreements": shown,
        "grounds": GROUNDS,
        "searched": searched,
        "match": match,
    }
    facts["trend"] = drawn
    return desk_page(request, me, "desk/agreements.html", form=form, **facts)

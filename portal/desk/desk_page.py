"""Who is signed in at the desk, and how its pages are rendered: shared by the desk's routes."""

from typing import Annotated, Any

from fastapi import Depends, Form, Path, Query
from starlette.requests import Request
from starlette.responses import Response

from portal.auth.session import Session
from portal.desk.office import Office
from portal.web import pages
from portal.web.pages import context, page
from portal.web.problems import SignedOutError
from steward.cases.case_queue import MAX_PAGES

COOKIE = "sovereign-desk"  # not the customers' cookie: a browser can have both
MAX_REASON = 500

Short = Annotated[str, Form(max_length=MAX_REASON)]
Number = Annotated[int, Path(ge=1, le=10**9)]
PageNumber = Annotated[int, Query(ge=1, le=MAX_PAGES)]


def office(request: Request) -> Office:
    office: Office = request.app.state.office
    return office


def find_steward(request: Request) -> Session | None:
    """The session of the steward who sent the request; None without one."""
    return pages.find_session(request, office(request).sessions, request.cookies.get(COOKIE))


def steward(request: Request) -> Session:
    """Raises SignedOutError."""
    signed_in = find_steward(request)
    if signed_in is None:
        raise SignedOutError
    return signed_in


Here = Annotated[Office, Depends(office)]
Me = Annotated[Session, Depends(steward)]


def desk_page(
    request: Request, me: Session, template: str, status: int = 200, **facts: Any
) -> Response:
    """A page of the desk, for a steward who is signed in."""
    scenes = context(request).product.scenes
    return page(request, template, status=status, steward=me.name, scenes=scenes, **facts)

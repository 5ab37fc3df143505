"""Routes of the customer's passkeys: list, add, remove."""

from typing import Annotated

from fastapi import APIRouter, Path
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from portal.auth.passkeys import Challenge
from portal.auth.session import Session
from portal.consent.keys import proved_now
from portal.signin import routes
from portal.signin.current_customer import Me
from portal.signin.routes import JSON, Body
from portal.web.pages import context, page
from portal.web.problems import NotFoundError, ProveAgainError

router = APIRouter(prefix="/customer/passkeys", include_in_schema=False)

KeyId = Annotated[str, Path(pattern="^[0-9a-f]{2,2048}$")]


@router.get("")
def show(request: Request, me: Me) -> Response:
    here = context(request)
    known, proved = here.passkeys.of(me.subject), proved_now(me, here.clock())
    return page(request, "customer/passkeys.html", keys=known, proved=proved)


def _require_proved(request: Request, me: Session) -> None:
    """A passkey signs in again, so a session that was stolen must neither add nor remove one."""
    if not proved_now(me, context(request).clock()):
        raise ProveAgainError


@router.post("/options")
def offer(request: Request, me: Me) -> Response:
    """Raises ProveAgainError."""
    _require_proved(request, me)
    host = routes.here(request)
    value, options = context(request).passkeys.offer(me.subject, me.label, host)
    answer = Response(options, media_type=JSON)
    return routes.begin(request, Challenge(value, me.subject), answer)


@router.post("")
def add(request: Request, me: Me, body: Body) -> Response:
    """Add a passkey. Answers 204; the script reloads the page. Raises ProveAgainError."""
    _require_proved(request, me)
    asked = routes.finish(request)
    if not isinstance(asked, Challenge) or asked.subject != me.subject:
        raise NotFoundError
    here = context(request)
    here.passkeys.add(me.subject, body, asked.value, routes.here(request), here.clock())
    return Response(status_code=204)


@router.post("/{key}/remove")
def remove(request: Request, me: Me, key: KeyId) -> Response:
    """Raises ProveAgainError."""
    _require_proved(request, me)
    if not context(request).passkeys.remove(me.subject, key):
        raise NotFoundError
    return RedirectResponse("/customer/passkeys", 303)

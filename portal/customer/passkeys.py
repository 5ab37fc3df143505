"""Routes of the customer's passkeys: list, add, remove."""

from typing import Annotated

from fastapi import APIRouter, Path
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from portal.signin import routes
from portal.signin.current_customer import Me
from portal.signin.routes import JSON, Body, Challenge
from portal.web.pages import context, page
from portal.web.problems import NotFoundError

router = APIRouter(prefix="/customer/passkeys", include_in_schema=False)

KeyId = Annotated[str, Path(pattern="^[0-9a-f]{2,2048}$")]


@router.get("")
def show(request: Request, me: Me) -> Response:
    return page(request, "customer/passkeys.html", keys=context(request).passkeys.of(me.subject))


@router.post("/options")
def offer(request: Request, me: Me) -> Response:
    host = routes.here(request)
    value, options = context(request).passkeys.offer(me.subject, me.label, host)
    answer = Response(options, media_type=JSON)
    return routes.begin(request, Challenge(value, me.subject), answer)


@router.post("")
def add(request: Request, me: Me, body: Body) -> Response:
    """Add a passkey. Answers 204; the script reloads the page."""
    asked = routes.finish(request)
    if not isinstance(asked, Challenge) or asked.subject != me.subject:
        raise NotFoundError
    here = context(request)
    here.passkeys.add(me.subject, body, asked.value, routes.here(request), here.clock())
    return Response(status_code=204)


@router.post("/{key}/remove")
def remove(request: Request, me: Me, key: KeyId) -> Response:
    if not context(request).passkeys.remove(me.subject, key):
        raise NotFoundError
    return RedirectResponse("/customer/passkeys", 303)

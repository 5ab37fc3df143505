"""Routes that take a signed-in customer from the login host to the consent host.

    login host     POST /customer/continue   a page with a form for the other host, and a code in it
    consent host   POST /enter               the code, once, within a minute, from that page alone

The code is in the body of a form, so that it appears in no URL and no log. A script submits the
form; without one it is a button. Only pages of the login host can submit it, which prevents an
attacker from putting a customer into a foreign session.
"""

from typing import Annotated

from fastapi import APIRouter, Form
from starlette.requests import Request
from starlette.responses import Response

from portal.signin.current_customer import Me
from portal.signin.routes import brought_over
from portal.web.hosts import ENTRY, Hosts
from portal.web.pages import Crossing, context, page
from portal.web.problems import NotFoundError, UsedCodeError
from portal.web.security import POLICY, own_path

router = APIRouter(include_in_schema=False)

CENTRE = "/customer"


@router.post("/customer/continue")
def cross(request: Request, me: Me, to: Annotated[str, Form()] = CENTRE) -> Response:
    here, hosts = context(request), _hosts(request)
    code = here.crossings.begin(Crossing(me.identity, me.digest, own_path(to)), here.clock())
    target = f"{hosts.consent}{ENTRY}"
    response = page(request, "customer/crossing.html", target=target, code=code)
    response.headers["Content-Security-Policy"] = POLICY.replace(
        "form-action 'self'", f"form-action 'self' {hosts.consent}"
    )
    response.headers["Referrer-Policy"] = "strict-origin"  # the other host checks the origin
    return response


@router.post(ENTRY)
def enter(request: Request, code: Annotated[str, Form(max_length=100)]) -> Response:
    here, hosts = context(request), _hosts(request)
    if not hosts.comes_over(request.url.path, request.headers):
        raise NotFoundError
    begun = here.crossings.finish(code, here.clock())
    if begun is None or not here.sessions.is_live(begun.session, here.clock()):
        raise UsedCodeError
    return brought_over(request, begun.who, begun.to)


def _hosts(request: Request) -> Hosts:
    hosts = context(request).hosts
    if hosts is None:
        raise NotFoundError
    return hosts

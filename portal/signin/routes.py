"""Routes to sign in and out: at the company's provider, with a passkey, a code, or as a demo.

Every failure looks the same to the person; the operator's log has the reason, and no names.
"""

import logging
import secrets
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Query
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from portal.auth.oidc import LoginError, Pending, Provider
from portal.auth.passkeys import Challenge, Host, PasskeyError
from portal.auth.session import COOKIE, Identity, put_cookie
from portal.consent import gpc, returning
from portal.signin import greeting
from portal.web import pages
from portal.web.pages import Begun, context, page
from portal.web.problems import (
    LoginRefusedError,
    MalformedFormError,
    NotFoundError,
    UnknownCustomerError,
    UsedCodeError,
)

router = APIRouter(include_in_schema=False)

BEGUN = "sovereign-begun"  # cookie of an exchange that this browser began
MAX_BYTES = 1 << 16  # of a passkey's answer
JSON = "application/json"

log = logging.getLogger(__name__)


Code = Annotated[str, Query(max_length=4096)]
State = Annotated[str, Query(max_length=256)]


async def small_body(request: Request) -> bytes:
    """The body of a request, at most MAX_BYTES. Raises MalformedFormError."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BYTES:
            raise MalformedFormError(f"want at most {MAX_BYTES} bytes, found more")
    return bytes(body)


Body = Annotated[bytes, Depends(small_body)]


@router.post("/login")
def sign_in(request: Request, customer: Annotated[str, Form()]) -> Response:
    """The demonstration's login, without proof. Refused unless the setting `demo` is on."""
    here = context(request)
    if not here.product.settings.demo:
        raise LoginRefusedError
    greeted = greeting.look_up(here, customer)
    if not greeting.is_known(here, customer, greeted):
        raise UnknownCustomerError
    return _signed_in(request, customer, greeted.name, RedirectResponse("/customer", 303))


@router.get("/login/provider")
def go_to_provider(request: Request) -> Response:
    return to_provider(request, context(request).provider, "come_back")


@router.get("/login/callback")
def come_back(request: Request, code: Code = "", state: State = "") -> Response:
    here = context(request)
    claim = here.product.settings.oidc_customer_claim
    return _welcome(request, _customer(claims(request, here.provider, code, state).get(claim)))


@router.post("/login/passkey/options")
def ask_for_passkey(request: Request) -> Response:
    value, options = context(request).passkeys.ask(here(request))
    return begin(request, Challenge(value, None), Response(options, media_type=JSON))


@router.post("/login/passkey")
def sign_in_with_passkey(request: Request, body: Body) -> Response:
    """Sign in; answers 204 and a cookie, and the script goes to the centre."""
    asked = finish(request)
    if not isinstance(asked, Challenge) or asked.subject is not None:
        raise LoginRefusedError
    try:
        subject = context(request).passkeys.whose(body, asked.value, here(request))
    except PasskeyError as error:
        log.warning("a passkey was refused: %s", error)
        raise LoginRefusedError from error
    name = greeting.look_up(context(request), subject).name
    return _signed_in(request, subject, name, Response(status_code=204))


@router.get("/handoff")
def arrive(request: Request) -> Response:
    """The page a scanned code leads to. The code is in the fragment, which is not sent to us."""
    return page(request, "customer/arrive.html")


@router.post("/handoff")
def take_over(request: Request, code: Annotated[str, Form(max_length=40)]) -> Response:
    known = context(request)
    by = known.handoffs.redeem(code, known.clock())
    if by is None:
        raise UsedCodeError
    return brought_over(request, by)


@router.post("/logout")
def sign_out(request: Request) -> Response:
    context(request).sessions.close(request.cookies.get(COOKIE))
    response = RedirectResponse("/", 303)
    response.delete_cookie(COOKIE)
    return response


def to_provider(request: Request, provider: Provider | None, back: str) -> Response:
    """Send the browser to a provider, which sends it on to the route named `back`."""
    if provider is None:
        raise NotFoundError
    try:
        address, pending = provider.begin(str(request.url_for(back)))
    except LoginError as error:
        log.warning("sign-in is unavailable: %s", error)
        raise LoginRefusedError from error
    return begin(request, pending, RedirectResponse(address, 303))


def claims(request: Request, provider: Provider | None, code: str, state: str) -> Mapping[str, Any]:
    """The claims of the person who came back from this provider. Raises LoginRefusedError."""
    pending = finish(request)
    if provider is None or not isinstance(pending, Pending):
        raise LoginRefusedError
    if not secrets.compare_digest(pending.state.encode(), state.encode()):
        raise LoginRefusedError
    try:
        return provider.finish(pending, code)
    except LoginError as error:
        log.warning("a login was refused: %s", error)
        raise LoginRefusedError from error


def _customer(claim: object) -> str:
    """The customer's number in a claim: a text, or a whole number. Raises LoginRefusedError."""
    if isinstance(claim, str) or type(claim) is int:
        return str(claim)
    log.warning("a login was refused: the customer claim is no text but %s", type(claim).__name__)
    raise LoginRefusedError


def begin(request: Request, what: Begun, response: Response) -> Response:
    """Bind `what` to this browser by a cookie; it can finish it once."""
    known = context(request)
    response.set_cookie(
        BEGUN,
        known.begun.begin(what, known.clock()),
        max_age=int(known.begun.lasts.total_seconds()),
        httponly=True,
        samesite="lax",
        secure=request.url.scheme == "https",
    )
    return response


def finish(request: Request) -> Begun | None:
    """What this browser began, if it has not expired. It is removed."""
    known = context(request)
    return known.begun.finish(request.cookies.get(BEGUN), known.clock())


def here(request: Request) -> Host:
    """The relying party of this request; a page of another host would sign another name."""
    return Host(request.url.hostname or "", f"{request.url.scheme}://{request.url.netloc}")


def _welcome(request: Request, customer: str) -> Response:
    greeted = greeting.look_up(context(request), customer)
    if not greeting.is_customer(context(request), customer, greeted):
        raise LoginRefusedError
    return _signed_in(request, customer, greeted.name, RedirectResponse("/customer", 303))


def brought_over(request: Request, by: Identity, to: str = "/customer") -> Response:
    """Begin a session here for somebody who signed in elsewhere, with the time of that proof."""
    response = RedirectResponse(to, 303)
    return _signed_in(request, by.subject, by.name, response, by.proved)


def _signed_in(
    request: Request,
    subject: str,
    name: str | None,
    response: Response,
    proved: datetime | None = None,
) -> Response:
    """Begin a new session, and close the one that the browser had."""
    known = context(request)
    known.sessions.close(request.cookies.get(COOKIE))
    token = known.sessions.open(subject, name, known.clock(), proved)
    put_cookie(response, request, token, known.sessions.length.longest)
    began = pages.find_session(request, known.sessions, token)
    if began is not None:
        returning.bind(known, began, pages.words(request))
    if began is not None and gpc.asked(request):
        gpc.greet(request, began)
    return response

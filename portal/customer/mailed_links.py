"""Signing in with a link by mail, for customers who have no other way at hand.

    POST /login/mail         the number; the answer is the same whether anybody has it
    GET  /login/mail         where the link leads; its code is in the fragment, which no log has
    POST /login/mail/code    signs in, in the browser that asked

Whoever reads a customer's mail can sign in by it. So there is none of it unless `mail_sign_in` is
set, and such a session has proven nothing: keys, passkeys and leaving want a provider or a passkey.
"""

import secrets
from datetime import datetime
from email.message import EmailMessage
from typing import Annotated

from fastapi import APIRouter, Form
from starlette.requests import Request
from starlette.responses import Response

from portal.auth.mailed_links import LASTS
from portal.auth.session import UNPROVEN, Identity
from portal.customer.receipts import mailbox
from portal.operations import mail
from portal.signin import greeting
from portal.signin.routes import brought_over
from portal.web.i18n import Words
from portal.web.pages import PortalContext, context, page, words
from portal.web.problems import NotFoundError, UsedCodeError

router = APIRouter(include_in_schema=False)

BROWSER = "sovereign-mail"  # cookie of the browser that asked


@router.get("/login/mail")
def follow(request: Request) -> Response:
    _post(context(request))
    return page(request, "customer/mailed_link.html", sent=False)


@router.post("/login/mail")
def ask(request: Request, customer: Annotated[str, Form(max_length=128)]) -> Response:
    """Mail a link to a customer, if anybody has this number and an address."""
    here, spoken = context(request), words(request)
    post, at = _post(here), here.clock()
    browser = request.cookies.get(BROWSER) or secrets.token_urlsafe(32)  # an earlier link holds
    if here.mailed_links.may_ask(customer, browser, at):
        # Written by the thread that sends: the answer takes as long for a number that nobody has.
        post.put(lambda: _letter(here, spoken, customer, browser, at), anybody_asks=True)
    response = page(request, "customer/mailed_link.html", sent=True)
    response.set_cookie(
        BROWSER,
        browser,
        max_age=int(LASTS.total_seconds()),
        httponly=True,
        samesite="lax",
        secure=request.url.scheme == "https",
    )
    return response


@router.post("/login/mail/code")
def sign_in(request: Request, code: Annotated[str, Form(max_length=40)]) -> Response:
    here = context(request)
    _post(here)
    browser = request.cookies.get(BROWSER, "")
    subject = here.mailed_links.redeem(code, browser, here.clock()) if browser else None
    if subject is None:
        raise UsedCodeError
    response = brought_over(
        request, Identity(subject, greeting.look_up(here, subject).name, UNPROVEN)
    )
    response.delete_cookie(BROWSER)
    return response


def _post(here: PortalContext) -> mail.CustomerMail:
    """The way for letters. Raises NotFoundError unless customers may sign in by them."""
    if here.post is None or not here.product.settings.mail_sign_in:
        raise NotFoundError
    return here.post


def _letter(
    here: PortalContext, spoken: Words, customer: str, browser: str, at: datetime
) -> EmailMessage | None:
    if not here.product.ledger.numbers([customer]):
        return None  # a number that nobody has costs no read, of which there are so many a minute
    if (to := mailbox(here, customer, at)) is None:
        return None
    settings = here.product.settings
    # Never by the request's own host: whoever asks may name any.
    base = settings.login_origin or settings.address or f"http://localhost:{settings.port}"
    facts = {
        "at": spoken.moment(at),
        "link": f"{base.rstrip('/')}/login/mail#{here.mailed_links.open(customer, browser, at)}",
    }
    body = spoken.plain("mail.sign-in.body", **facts)
    return mail.letter(settings.mail_from, to, spoken.plain("mail.sign-in.subject"), body)

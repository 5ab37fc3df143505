"""Routes to leave: at once every grant ends, and after 72 hours everything is erased.

GET  /customer/leave/everything             what it would mean; while it waits, until when
POST /customer/leave/everything/challenge   what the customer's key signs (the page's script)
POST /customer/leave/everything/letter      mail a code, for somebody who lost every key
POST /customer/leave/everything             ask for it
POST /customer/leave/everything/stop        stop it
"""

import secrets
from typing import Annotated

from fastapi import APIRouter, Form
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from ledger.events import canonical_json, instruction_signature
from ledger.events.canonical_json import StrictJsonError
from ledger.events.instruction_signature import SignatureError
from portal.auth.passkeys import Challenge
from portal.auth.session import Session
from portal.consent import departure, keys, wording
from portal.customer import key_routes, receipts, signing
from portal.signin import routes
from portal.signin.current_customer import Me
from portal.web.pages import context, page, words
from portal.web.problems import NotFoundError, ProveAgainError
from steward.oversight.legal_hold import Holds

router = APIRouter(prefix="/customer/leave/everything", include_in_schema=False)

PLACE = "/customer/leave/everything"
MAX_PROOF = 64_000  # characters of a signature
Typed = Annotated[str, Form(max_length=100)]


class _RefusedError(Exception):
    """The request lacks a proof. `why`: a part of a message key."""

    def __init__(self, why: str, status: int) -> None:
        super().__init__(why)
        self.why, self.status = why, status


@router.get("")
def show(request: Request, me: Me) -> Response:
    return _page(request, me)


@router.post("/challenge")
def challenge(request: Request, me: Me) -> Response:
    """What a key at hand signs. The page's script compares it with the page first."""
    evidence = signing.asked(request)
    if evidence is None:
        raise NotFoundError
    nonce, origin = secrets.token_bytes(32), context(request).product.ledger.origin
    said = departure.statement(origin, me.subject, nonce, evidence.value)
    answer = Response(departure.encoded(said), media_type=signing.MEDIA_TYPE)
    return routes.begin(request, Challenge(nonce, me.subject), answer)


@router.post("/letter")
def send_code(request: Request, me: Me) -> Response:
    """Mail a code to somebody who signed in just now. Raises ProveAgainError."""
    here = context(request)
    if here.post is None:
        raise NotFoundError
    _require_fresh(request, me)
    code = here.departure_codes.open(me.subject, here.clock())
    receipts.warn(request, me, "leaving-code", code=code)
    return _page(request, me, sent=True)


@router.post("")
def leave(
    request: Request,
    me: Me,
    word: Typed = "",
    proof: Annotated[str, Form(max_length=MAX_PROOF)] = "",
    code: Typed = "",
) -> Response:
    here, spoken = context(request), words(request)
    departure.require_present(me.agreement.history(here.product.ledger))
    if word.strip().casefold() != spoken.plain("leave.word").casefold():
        return _page(request, me, status=400, refused="word")
    try:
        _require_proof(request, me, proof, code)
    except _RefusedError as refusal:
        return _page(request, me, status=refusal.status, refused=refusal.why)
    ledger, at = here.product.ledger, here.clock()
    to = receipts.reachable(request, me)  # before the grant that lets us read the address ends
    ledger.create_keys([me.subject])  # of somebody who is new in the source
    with here.customer_locks.of(me.subject):  # no press is recorded in between
        waiting = here.departures.request(me.subject, spoken.tag, at)
        # If we crash here, the job ends the grants within a minute.
        said = wording.of_act(departure.ACT, spoken)
        ended = departure.end_grants(ledger, here.product.scenes, me.subject, said, at)
    for each in ended:
        receipts.send(request, me, each, to)
    receipts.warn(request, me, "leaving-requested", to, until=spoken.moment(waiting.due))
    return RedirectResponse(PLACE, 303)


@router.post("/stop")
def stop(request: Request, me: Me) -> Response:
    """Stop it, for somebody who signed in just now. Raises ProveAgainError."""
    _require_fresh(request, me)
    if context(request).departures.end(me.subject):
        receipts.warn(request, me, "leaving-stopped")
    return RedirectResponse("/customer", 303)


def _require_proof(request: Request, me: Session, proof: str, code: str) -> None:
    """Raises _RefusedError unless whoever is signed in proved that they are the customer."""
    state = me.agreement.state(context(request).product.ledger)
    if not keys.authority(state).keys:
        _require_fresh_sign_in(request, me)
    elif proof:
        _require_signed(request, me, proof)
    elif code:
        _require_fresh_sign_in(request, me)
        here = context(request)
        if here.departure_codes.redeem(code, here.clock()) != me.subject:
            raise _RefusedError("code", 403)
    else:
        raise _RefusedError("key", 403)


def _require_signed(request: Request, me: Session, proof: str) -> None:
    here, asked = context(request), routes.finish(request)
    if not isinstance(asked, Challenge) or asked.subject != me.subject:
        raise _RefusedError("key", 403)
    ledger = here.product.ledger
    state, history = me.agreement.state(ledger), me.agreement.history(ledger)
    try:
        signature = instruction_signature.parse(canonical_json.parse(proof.encode()))
        departure.require_key(state, ledger.origin, me.subject, asked.value, signature)
    except (StrictJsonError, SignatureError) as error:
        raise _RefusedError("key", 403) from error
    if keys.newly_enrolled(signature.key, state, history, here.clock()):
        _require_fresh_sign_in(request, me)


def _require_fresh_sign_in(request: Request, me: Session) -> None:
    if not keys.proved_now(me, context(request).clock()):
        raise _RefusedError("sign-in", 403)


def _require_fresh(request: Request, me: Session) -> None:
    if not keys.proved_now(me, context(request).clock()):
        raise ProveAgainError


def _page(
    request: Request, me: Session, *, status: int = 200, refused: str = "", sent: bool = False
) -> Response:
    here = context(request)
    holds, ledger = Holds(here.product.register()), here.product.ledger
    return page(
        request,
        "customer/leave_all.html",
        status=status,
        refused=refused,
        sent=sent,
        hold=holds.of(me.subject),
        asked=holds.requested(me.subject),
        has_keys=bool(keys.authority(me.agreement.state(ledger)).keys),
        proved=keys.proved_now(me, here.clock()),
        mails=here.post is not None,
        **key_routes.facts(request, me),
    )

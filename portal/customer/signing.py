"""An act that the customer signs: drafted, handed to the page's script, and recorded as it was.

    the script   POST what was pressed, with `Sovereign-Evidence: A` (a passkey) or `B`
    the portal   200, the instruction as canonical JSON; or 204: nothing to say
    the script   checks it against the page, asks the key, POST /customer/signed
    the portal   204: recorded

One draft waits in a session at a time. Nobody but the ledger judges the signature.
"""

from datetime import timedelta

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from ledger import event, instruction, jcs
from ledger.event import Evidence
from portal.customer import acts, receipts
from portal.customer.acts import Wanted
from portal.customer.who import Me
from portal.pages import faces
from portal.problems import MalformedFormError, NothingToSignError
from portal.session import Draft, Session
from portal.signin import Body

router = APIRouter(prefix="/customer", include_in_schema=False)

HEADER = "Sovereign-Evidence"
MEDIA_TYPE = "application/json"
WAITS = timedelta(minutes=10)
SIGNED = {
    Evidence.PASSKEY.value: Evidence.PASSKEY,
    Evidence.BROWSER_KEY.value: Evidence.BROWSER_KEY,
}


def asked(request: Request) -> Evidence | None:
    """The class of evidence that the page's script is about to give; None if it is a plain form."""
    hosts = faces(request).hosts
    if hosts is None or not hosts.signs(request.headers):
        return None
    return SIGNED.get(request.headers.get(HEADER, ""))


def offer(request: Request, me: Session, wanted: Wanted, evidence: Evidence) -> Response:
    """The instruction, to be signed. Raises VersionConflictError."""
    here = faces(request)
    said = acts.draft(here.product.ledger, me, wanted, evidence, here.clock())
    me.draft = Draft(said, wanted.notice, wanted.undo, here.clock() + WAITS)
    return Response(event.encode(said), media_type=MEDIA_TYPE)


@router.post("/signed")
def take(request: Request, me: Me, body: Body) -> Response:
    """204. Raises NothingToSignError, MalformedFormError, and what `Ledger.record` raises."""
    here = faces(request)
    draft = me.take_draft(here.clock())
    if draft is None:
        raise NothingToSignError
    try:
        signature = instruction.parse(jcs.parse(body))
    except jcs.StrictJsonError as error:
        raise MalformedFormError(f"the signature is {error}") from error
    acts.settle(here.product.ledger, me, draft, signature)
    receipts.send_last(request, me)
    return Response(status_code=204)

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

from ledger.events import canonical_json, envelope, instruction_signature
from ledger.events.envelope import EvidenceClass
from portal.auth.session import Draft, Session
from portal.consent import acts
from portal.consent.acts import Wanted
from portal.customer import receipts
from portal.signin.current_customer import Me
from portal.signin.routes import Body
from portal.web.pages import faces
from portal.web.problems import MalformedFormError, NothingToSignError

router = APIRouter(prefix="/customer", include_in_schema=False)

HEADER = "Sovereign-Evidence"
MEDIA_TYPE = "application/json"
WAITS = timedelta(minutes=10)
SIGNED = {
    EvidenceClass.PASSKEY.value: EvidenceClass.PASSKEY,
    EvidenceClass.BROWSER_KEY.value: EvidenceClass.BROWSER_KEY,
}


def asked(request: Request) -> EvidenceClass | None:
    """The class of evidence that the page's script is about to give; None if it is a plain form."""
    hosts = faces(request).hosts
    if hosts is None or not hosts.signs(request.headers):
        return None
    return SIGNED.get(request.headers.get(HEADER, ""))


def offer(request: Request, me: Session, wanted: Wanted, evidence: EvidenceClass) -> Response:
    """The instruction, to be signed. Raises VersionConflictError."""
    here = faces(request)
    said = acts.draft(here.product.ledger, me, wanted, evidence, here.clock())
    me.draft = Draft(said, wanted.notice, wanted.undo, here.clock() + WAITS)
    return Response(envelope.encode(said), media_type=MEDIA_TYPE)


@router.post("/signed")
def take(request: Request, me: Me, body: Body) -> Response:
    """204. Raises NothingToSignError, MalformedFormError, and what `Ledger.record` raises."""
    here = faces(request)
    draft = me.take_draft(here.clock())
    if draft is None:
        raise NothingToSignError
    try:
        signature = instruction_signature.parse(canonical_json.parse(body))
    except canonical_json.StrictJsonError as error:
        raise MalformedFormError(f"the signature is {error}") from error
    acts.settle(here.product.ledger, me, draft, signature)
    receipts.send_last(request, me)
    return Response(status_code=204)

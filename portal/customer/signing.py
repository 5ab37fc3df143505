"""Routes of acts that the customer signs: drafted, signed by the page's script, recorded.

    the script   POST the pressed button, with `Sovereign-Evidence: A` (a passkey) or `B`
    the portal   200, the instruction as canonical JSON; or 204: nothing to change
    the script   compares it with the page, has the key sign it, POST /customer/signed
    the portal   204: recorded

A session has at most one draft. Only the ledger verifies the signature.
"""

from datetime import timedelta

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from ledger.events import canonical_json, envelope, instruction_signature
from ledger.events.envelope import EvidenceClass
from portal.auth.session import Draft, Session
from portal.consent import acts, departure
from portal.consent.acts import Wanted
from portal.customer import receipts
from portal.signin.current_customer import Me
from portal.signin.routes import Body
from portal.web.pages import context
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
    """The class of evidence that the page's script announces; None for a plain form."""
    hosts = context(request).hosts
    if hosts is None or not hosts.signs(request.headers):
        return None
    return SIGNED.get(request.headers.get(HEADER, ""))


def offer(request: Request, me: Session, wanted: Wanted, evidence: EvidenceClass) -> Response:
    """Answer with the instruction to sign. Raises VersionConflictError."""
    here = context(request)
    instruction = acts.draft(here.product.ledger, me, wanted, evidence, here.clock())
    me.draft = Draft(instruction, wanted.notice, wanted.undo, here.clock() + WAITS)
    return Response(envelope.encode(instruction), media_type=MEDIA_TYPE)


@router.post("/signed")
def take(request: Request, me: Me, body: Body) -> Response:
    """Record the signed draft; answers 204.

    Raises NothingToSignError, LeavingError, MalformedFormError, and what `Ledger.record` raises.
    """
    here = context(request)
    draft = me.take_draft(here.clock())
    if draft is None:
        raise NothingToSignError
    try:
        signature = instruction_signature.parse(canonical_json.parse(body))
    except canonical_json.StrictJsonError as error:
        raise MalformedFormError(f"want a signature in strict JSON: {error}") from error
    with here.customer_locks.of(me.subject):
        departure.require_staying(here, me.subject, draft.instruction.act)
        acts.settle(here.product.ledger, me, draft, signature)
    receipts.send_last(request, me)
    return Response(status_code=204)

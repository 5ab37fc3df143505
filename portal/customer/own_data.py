"""Routes of "What is stored about you": own values beside what services are answered of them.

GET  /customer/data     every item, its system and who may read it; no values
POST /customer/data     the same with values: a read of its own in the read log, so it is no GET

Clauses 3.24 to 3.27 of specs/portal.md.
"""

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from gate.reads import own_access
from gate.reads.own_access import OwnRow
from portal.auth.session import Session
from portal.consent import departure
from portal.consent.flow import own_data
from portal.signin.current_customer import Me
from portal.web.pages import context, page
from portal.web.problems import ProveAgainError

router = APIRouter(prefix="/customer/data", include_in_schema=False)


@router.get("")
def show(request: Request, me: Me) -> Response:
    return _page(request, me, None)


@router.post("")
def show_values(request: Request, me: Me) -> Response:
    """Raises ProveAgainError in a session by a link from a mailbox, JournalError."""
    if not me.is_proven:
        raise ProveAgainError
    here = context(request)
    product = here.product
    own = own_access.read_own(product.gate, [*product.source.items], me.subject, here.clock())
    return _page(request, me, own)


def _page(request: Request, me: Session, own: OwnRow | None) -> Response:
    here = context(request)
    gate, at = here.product.gate, here.clock()
    answered = (
        own_access.foresee(gate, me.subject, at)
        if own is None
        else own_access.foresee_values(gate, own, at)
    )
    return page(
        request,
        "customer/own_data.html",
        items=own_data.items(here.product.source, own, answered),
        shown=own,
        proven=me.is_proven,
        departure=here.departures.of(me.subject),
        moved=departure.successor(me.agreement.history(here.product.ledger)),
    )

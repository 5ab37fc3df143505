"""Routes of "Who has what": each recipient with what it was given, and one press that stops it.

GET  /customer/recipients                    the page; `?find=` keeps recipients of that name
POST /customer/recipients/stop               withdraw every use
POST /customer/recipients/<service>/stop     withdraw every use that the recipient takes part in

A press only withdraws. Nothing is allowed for several uses at once.
"""

from collections.abc import Collection
from typing import Annotated

from fastapi import APIRouter, Form, Query
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from portal.auth.session import Notice, Session
from portal.consent import departure, wording
from portal.consent.flow import recipients
from portal.consent.flow.recipients import ACT
from portal.customer import receipts, routes
from portal.signin.current_customer import Me
from portal.web.pages import context, page, words
from portal.web.problems import ChangedWordsError, NotFoundError

router = APIRouter(prefix="/customer/recipients", include_in_schema=False)

PLACE = "/customer/recipients"
Field = Annotated[str, Form()]
Wanted = Annotated[str, Query(max_length=100)]


@router.get("")
def show(request: Request, me: Me, find: Wanted = "") -> Response:
    here, spoken = context(request), words(request)
    product = here.product
    given = recipients.given_away(entry for _, entry in product.reads_of(me.subject))
    current = {each.digest for each in product.scenes.values()}
    former = [each for each in here.contract_archive.all() if each.digest not in current]
    rows = recipients.recipients(routes.agreement_now(request, me), product.source, given, former)
    ends = {card.scene.id: card.scene.title for each in rows for card in each.stops}
    found = [each for each in rows if find.casefold() in spoken.of(each.title).casefold()]
    return page(
        request,
        "customer/recipients.html",
        rows=found,
        ends=[] if find else [*ends.values()],
        find=find,
        given=given,
        token=wording.act_token(ACT, spoken),
        notice=me.take_notice(ACT),
        earlier=product.unattributed_reads(),
        kept=product.kept_reads(),
        missing=product.missing_reads(),
        departure=here.departures.of(me.subject),
        moved=departure.successor(me.agreement.history(product.ledger)),
    )


@router.post("/stop")
def stop_everybody(request: Request, me: Me, words: Field) -> Response:
    return _stop(request, me, words, None)


@router.post("/{service}/stop")
def stop_one(request: Request, me: Me, service: str, words: Field) -> Response:
    """Raises NotFoundError for a recipient that takes part in no use."""
    scenes = context(request).product.scenes.values()
    uses = {each.id for each in scenes if service in {one.id for one in each.services}}
    if not uses:
        raise NotFoundError(service)
    return _stop(request, me, words, uses)


def _stop(request: Request, me: Session, shown: str, uses: Collection[str] | None) -> Response:
    """Withdraw what holds now of these uses, also what was allowed since the page was made."""
    here = context(request)
    ledger = here.product.ledger
    departure.require_present(me.agreement.history(ledger))
    said = wording.read_act_token(shown, ACT, here.words)
    if said is None:
        raise ChangedWordsError(ACT)
    with here.customer_locks.of(me.subject):
        ended = departure.end_grants(
            ledger, here.product.scenes, me.subject, said, here.clock(), uses
        )
    for each in ended:
        me.agreement.add(each)
        receipts.send(request, me, each)
    me.undo = None
    me.notice = Notice(ACT, "notice.stopped" if ended else "notice.unchanged")
    return RedirectResponse(PLACE, 303)

"""Pages of what happened with a customer's data: history, reads, map."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from portal.auth.session import Session
from portal.consent import departure, history, seen_words
from portal.consent.flow import data_map, reads
from portal.customer.routes import agreed
from portal.operations.wiring import Product
from portal.signin.current_customer import Me
from portal.web.pages import context, page

router = APIRouter(prefix="/customer", include_in_schema=False)

PageNumber = Annotated[int, Query(alias="page", ge=1, le=10**6)]


@router.get("/history")
def show_history(request: Request, me: Me, number: PageNumber = 1) -> Response:
    product = context(request).product
    recorded = me.agreement.history(product.ledger)
    rows = history.page(recorded, product.scenes, number, context(request).words)
    shown = {each.index for each in rows.rows}
    seen = seen_words.of(
        (each for each in recorded if each.index in shown),
        context(request).word_store,
        product.scenes,
    )
    leaving = context(request).departures.of(me.subject)
    return page(
        request,
        "customer/history.html",
        rows=rows,
        seen=seen,
        departure=leaving,
        moved=departure.successor(recorded),
    )


@router.get("/reads")
def show_reads(request: Request, me: Me, number: PageNumber = 1) -> Response:
    product = context(request).product
    entries = product.reads_of(me.subject, (number - 1) * reads.PAGE_SIZE)
    rows = reads.page(entries, product.source, product.scenes, number)
    decided = context(request).explanations.of(me.subject) if number == 1 else []
    decisions = reads.explained(decided, product.source, product.scenes)
    opened = context(request).openings.of(me.subject) if number == 1 else []
    return page(
        request,
        "customer/reads.html",
        unlisted=not product.ledger.numbers([me.subject]),
        rows=rows,
        decisions=decisions,
        opened=opened,
        sampled=context(request).sampled.of(me.subject) if number == 1 else [],
        earlier=None if rows.more else product.unattributed_reads(),
        kept=None if rows.more else product.kept_reads(),
        missing=None if rows.more else product.missing_reads(),
        joined=_joined(product, me),
        moved=_moved(product, me),
        departure=context(request).departures.of(me.subject),
    )


@router.get("/map")
def show_map(request: Request, me: Me, item: str | None = None) -> Response:
    here = context(request)
    product = here.product
    state, at = agreed(request, me), here.clock()
    counted = data_map.count(entry for _, entry in product.reads_of(me.subject))
    uses = data_map.uses(product.source, product.scenes, state, counted.reads, at)
    drawn = data_map.draw(product.source, product.scenes, uses, item)
    earlier = product.unattributed_reads()
    return page(
        request,
        "customer/map.html",
        flow=drawn,
        counted=counted,
        earlier=earlier,
        kept=product.kept_reads(),
        missing=product.missing_reads(),
        joined=_joined(product, me),
        moved=_moved(product, me),
        departure=here.departures.of(me.subject),
    )


def _joined(product: Product, me: Session) -> datetime | None:
    """When another number of the customer ended, under which more is recorded."""
    return history.other_number(each.event for each in product.ledger.history(me.subject))


def _moved(product: Product, me: Session) -> str | None:
    """The number that the customer has now, if the company gave up this one."""
    return departure.successor(me.agreement.history(product.ledger))

"""Routes of authority access: with a token, one customer's history with proofs, and reads."""

from typing import Annotated, Any

from fastapi import APIRouter, Form
from starlette.requests import Request
from starlette.responses import Response

from portal.consent import history
from portal.consent.flow import reads
from portal.web.pages import context, page
from portal.web.problems import LoginRefusedError

router = APIRouter(prefix="/regulator/opening", include_in_schema=False)

Short = Annotated[str, Form(max_length=200)]


@router.get("")
def ask(request: Request) -> Response:
    return page(request, "regulator/opening.html", opened=None)


@router.post("")
def open_(request: Request, customer: Short, token: Short) -> Response:
    """Show the history. A POST, because using the token is recorded in the register."""
    here = context(request)
    if not here.openings.use(customer.strip(), token.strip(), here.clock()):
        raise LoginRefusedError
    opened = _opened(request, customer.strip())
    form = {"customer": customer, "token": token}
    return page(request, "regulator/opening.html", opened=opened, form=form)


def _opened(request: Request, customer: str) -> dict[str, Any]:
    product = context(request).product
    instructions = product.ledger.history(customer)
    rows = reads.page(product.reads_of(customer), product.source, product.scenes, 1)
    receipts = {
        each.index: product.ledger.receipt(each.index, customer) for each in instructions[-10:]
    }
    return {
        "customer": customer,
        "rows": history.page(instructions, product.scenes, 1, context(request).words),
        "reads": rows,
        "receipts": receipts,
    }

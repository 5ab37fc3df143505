"""What an authority with a token sees of one customer: what they said, with proofs; who read."""

from typing import Annotated, Any

from fastapi import APIRouter, Form
from starlette.requests import Request
from starlette.responses import Response

from portal.consent import history, reads
from portal.web.pages import faces, page
from portal.web.problems import LoginRefusedError

router = APIRouter(prefix="/regulator/opening", include_in_schema=False)

Short = Annotated[str, Form(max_length=200)]


@router.get("")
def ask(request: Request) -> Response:
    return page(request, "regulator/opening.html", opened=None)


@router.post("")
def open_(request: Request, customer: Short, token: Short) -> Response:
    """A use of the token writes, in the register: so it is no GET."""
    here = faces(request)
    if not here.openings.use(customer.strip(), token.strip(), here.clock()):
        raise LoginRefusedError
    opened = _opened(request, customer.strip())
    return page(request, "regulator/opening.html", opened=opened)


def _opened(request: Request, customer: str) -> dict[str, Any]:
    product = faces(request).product
    said = product.ledger.history(customer)
    found = reads.page(product.reads_of(customer), product.source, product.scenes, 1)
    receipts = {each.index: product.ledger.receipt(each.index, customer) for each in said[-10:]}
    return {
        "customer": customer,
        "rows": history.page(said, product.scenes, 1),
        "reads": found,
        "receipts": receipts,
    }

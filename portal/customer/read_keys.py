"""Route of the file with which customers find their reads in the public logs by themselves."""

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from portal.archive import own_read_keys
from portal.consent import keys
from portal.signin.current_customer import Me
from portal.web.pages import context
from portal.web.problems import ProveAgainError

router = APIRouter(include_in_schema=False)


@router.get("/customer/reads/keys")
def download(request: Request, me: Me) -> Response:
    """The customer's read keys, for somebody who signed in just now. Raises ProveAgainError.

    Whoever has the file can tell the customer's entries for as long as the logs exist, which is
    more than a stolen session can see.
    """
    here = context(request)
    if not keys.proved_now(me, here.clock()):
        raise ProveAgainError
    written = own_read_keys.made(here.product.ledger, me.subject).encode()
    headers = {
        "Content-Disposition": f'attachment; filename="{own_read_keys.FILE_NAME}"',
        "Cache-Control": "no-store",
    }
    return Response(written, media_type="application/json", headers=headers)

"""Routes to export all data, or erase one instruction. Each explains itself first.

To leave: portal.customer.departures.

GET  /customer/leave                        the choices, and the archive if it is ready
POST /customer/leave/archive                begin to build the archive
GET  /archive/<folder>/<name>.zip           the archive, by its signed name; ranges are served
GET  /customer/leave/entries/17             what erasing this one would mean
POST /customer/leave/entries/17             erase it
"""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Path
from starlette.requests import Request
from starlette.responses import FileResponse, RedirectResponse, Response

from ledger import entry_erasure
from ledger.entry_erasure import NoSuchEntryError
from portal.archive import store
from portal.archive.building import Builds
from portal.archive.holding import CustomerRecords
from portal.archive.store import KEY, ArchiveStore
from portal.auth.session import Session
from portal.configuration import languages
from portal.consent import departure, history
from portal.operations.erasure import Eraser
from portal.operations.wiring import Product, secret
from portal.signin.current_customer import Me
from portal.web.pages import context, page
from portal.web.problems import NotFoundError, ProveAgainError
from steward.oversight.legal_hold import Holds

router = APIRouter(include_in_schema=False)

Index = Annotated[int, Path(ge=0, le=1 << 40)]
MAX_SHOWN = 50  # newest instructions


def builds(product: Product, at: datetime) -> Builds:
    """Builds archives for one application. Deletes those that have expired at `at`."""
    records = CustomerRecords(
        product.home,
        product.ledger,
        product.source,
        product.scenes,
        product.gate.source,
        languages.catalogues(product.company),
    )
    archives = ArchiveStore(product.home, secret(product.home / KEY))
    archives.sweep(at)
    return Builds(records, archives)


@router.get("/customer/leave")
def show(request: Request, me: Me) -> Response:
    here, making = context(request), _builds(request)
    instructions = here.product.ledger.history(me.subject)
    free = entry_erasure.erasable(instructions, [each.index for each in instructions[-MAX_SHOWN:]])
    ready = making.store.newest(store.folder(here.product.ledger, me.subject), here.clock())
    return page(
        request,
        "customer/leave.html",
        build=making.of(me.subject),
        ready=ready,
        size=ready.stat().st_size if ready else 0,
        ends=store.ends(ready) if ready else None,
        joined=history.other_number(each.event for each in instructions),
        moved=departure.successor(instructions),
        departure=here.departures.of(me.subject),
        rows=history.page(
            [e for e in instructions if e.index in free], here.product.scenes, 1, here.words
        ).rows,
    )


@router.post("/customer/leave/archive")
def make(request: Request, me: Me) -> Response:
    _builds(request).begin(me.subject, context(request).clock())
    return RedirectResponse("/customer/leave", 303)


@router.get("/archive/{folder}/{name}")
def download(request: Request, folder: str, name: str) -> Response:
    """Whoever has the URL gets the archive until it expires; a part of it with `Range`."""
    path = _builds(request).store.find(folder, name, context(request).clock())
    if path is None:
        raise NotFoundError(name)
    headers = {
        "Content-Encoding": "identity",  # otherwise ranges would count compressed bytes
        "ETag": f'"{name.split("-")[1]}"',
        "Cache-Control": "private, no-store",
    }
    return FileResponse(path, headers=headers, media_type="application/zip", filename="archive.zip")


@router.get("/customer/leave/entries/{index}")
def show_entry(request: Request, me: Me, index: Index) -> Response:
    product = context(request).product
    instructions = [each for each in product.ledger.history(me.subject) if each.index == index]
    if not instructions:
        raise NoSuchEntryError(index)
    (row,) = history.page(instructions, product.scenes, 1, context(request).words).rows
    return page(request, "customer/leave_entry.html", entry=row, hold=_hold(request, me))


@router.post("/customer/leave/entries/{index}")
def erase_entry(request: Request, me: Me, index: Index) -> Response:
    """Raises ProveAgainError in a session by a link from a mailbox: what is erased is gone."""
    if not me.is_proven:
        raise ProveAgainError
    _eraser(request).entry(me.subject, index, context(request).clock())
    return RedirectResponse("/customer/leave", 303)


def _eraser(request: Request) -> Eraser:
    here = context(request)
    product = here.product
    return Eraser(product.home, product.ledger, product.register(), here.sessions.end)


def _hold(request: Request, me: Session) -> object:
    return Holds(context(request).product.register()).of(me.subject)


def _builds(request: Request) -> Builds:
    builds: Builds = request.app.state.builds
    return builds

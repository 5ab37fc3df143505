"""Routes of receipts: as a file, printed, by mail, and through the code on a printed one."""

from collections.abc import Mapping
from datetime import datetime
from email.message import EmailMessage
from typing import Annotated

from fastapi import APIRouter, Form
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from gate.contracts.scene import Scene
from gate.reads.point import ReadRequest
from ledger.events.authority import COOLING_OFF
from ledger.reader import RecordedEvent
from portal.archive import pack
from portal.auth import handoff
from portal.auth.session import Session
from portal.consent import history, shown_version
from portal.customer import paper
from portal.operations import mail
from portal.operations.controller import organisation, stated
from portal.operations.wiring import Product
from portal.signin.current_customer import Me
from portal.web.i18n import Words
from portal.web.pages import PortalContext, context, page, words
from portal.web.problems import NotFoundError
from steward.dpv import consent_receipt

router = APIRouter(include_in_schema=False)

LETTER_SCENE = "contract-service"  # the address is read through the gate
LETTER_SERVICE = "sovereignty-centre"
MEDIA_TYPE = "text/plain"


@router.get("/customer/receipts/{index}")
def download(request: Request, me: Me, index: int) -> Response:
    """One of the customer's own receipts. Another customer's is not found, like a missing one."""
    own(request, me, index)
    headers = {"Content-Disposition": f'attachment; filename="{file_name(index)}"'}
    written = context(request).product.ledger.receipt(index, me.subject)
    return Response(written, media_type=MEDIA_TYPE, headers=headers)


@router.get("/customer/receipts/{index}/jsonld")
def download_record(request: Request, me: Me, index: int) -> Response:
    """A receipt as ISO/IEC TS 27560 consent record: of decisions on scenes, not of acts on keys."""
    here = context(request)
    product, instruction = here.product, own(request, me, index).event
    scenes = shown_version.contracts(instruction, product.scenes, product.home)
    if not _linked(product, instruction, scenes):
        raise NotFoundError(index)
    proof = product.ledger.receipt(index, me.subject)
    made = consent_receipt.document(proof, scenes, organisation(product.settings), here.clock())
    headers = {"Content-Disposition": f'attachment; filename="receipt-{index}.jsonld"'}
    return Response(pack.document(made), media_type=consent_receipt.MEDIA_TYPE, headers=headers)


@router.get("/customer/receipts/{index}/paper")
def show_paper(request: Request, me: Me, index: int) -> Response:
    """A receipt to print."""
    here = context(request)
    recorded, product = own(request, me, index), here.product
    entry = history.entry(recorded, product.scenes)
    scenes = shown_version.contracts(recorded.event, product.scenes, product.home)
    place = str(request.url_for("verify"))
    address = paper.address(place, here.link_key, me.subject, index)
    picture = Markup(handoff.picture(address)) if address else None  # noqa: S704 - our own drawing
    return page(
        request,
        "customer/paper.html",
        entry=entry,
        sentence=history.sentence(entry, words(request)),
        address=address,
        picture=picture,
        log=product.ledger.origin,
        file=file_name(index),
        mails=here.post is not None,
        linked=_linked(product, recorded.event, scenes),
    )


@router.post("/customer/receipts/{index}/mail")
def mail_again(request: Request, me: Me, index: int) -> Response:
    recorded = own(request, me, index)
    send(request, me, recorded)
    return RedirectResponse(f"/customer/receipts/{index}/paper", 303)


@router.post("/receipts")
def open_by_secret(
    request: Request, index: Annotated[int, Form()], secret: Annotated[str, Form(max_length=200)]
) -> Response:
    """The receipt that the code on a printed one leads to. A wrong secret finds nothing."""
    here = context(request)
    subject = paper.whose(here.link_key, secret, index)
    if subject is None:
        raise NotFoundError
    try:
        written = here.product.ledger.receipt(index, subject)
    except (KeyError, IndexError) as error:
        raise NotFoundError from error
    return Response(written, media_type=MEDIA_TYPE)


def own(request: Request, me: Session, index: int) -> RecordedEvent:
    """The customer's own entry of that number. Raises NotFoundError."""
    ledger = context(request).product.ledger
    for each in me.agreement.history(ledger):
        if each.index == index:
            return each
    raise NotFoundError(index)


def _linked(product: Product, instruction: object, scenes: Mapping[str, Scene]) -> bool:
    """Whether a consent record exists: a decision on a scene, and the controller is configured."""
    return stated(product.settings) and consent_receipt.expressible(instruction, scenes)


def file_name(index: int) -> str:
    return f"receipt-{index}.tlog-proof"


def send_last(request: Request, me: Session) -> None:
    """Mail the receipt of the act that the session just recorded."""
    if me.notice is not None and me.notice.receipt is not None:
        send(request, me, own(request, me, me.notice.receipt))


def send(request: Request, me: Session, recorded: RecordedEvent) -> None:
    """Mail a copy, if mail is configured. Returns at once and never fails."""
    here, spoken = context(request), words(request)
    if here.post is not None:
        subject, at = me.subject, here.clock()
        here.post.put(lambda: _letter(here, spoken, subject, recorded, at))


def warn(request: Request, me: Session, what: str) -> None:
    """Mail a warning about the customer's keys, in addition to the receipt."""
    here, spoken = context(request), words(request)
    if here.post is not None:
        subject, at, wait = me.subject, here.clock(), COOLING_OFF
        here.post.put(lambda: _warning(here, spoken, subject, what, at, at + wait))


def mailbox(here: PortalContext, subject: str, at: datetime) -> str | None:
    """The customer's address, read through the gate; None if there is none."""
    request = ReadRequest(LETTER_SERVICE, LETTER_SCENE, subject, ("email",), at)
    return here.product.gate.read(request).values.get("email")


def _letter(
    here: PortalContext, spoken: Words, subject: str, recorded: RecordedEvent, at: datetime
) -> EmailMessage | None:
    to = mailbox(here, subject, at)
    if to is None:
        return None
    entry = history.entry(recorded, here.product.scenes)
    facts = {
        "said": history.sentence(entry, spoken),
        "at": spoken.moment(entry.at),
        "evidence": spoken.plain(f"evidence.{entry.evidence}"),
        "index": spoken.number(entry.index),
        "file": file_name(entry.index),
    }
    settings = here.product.settings
    body = spoken.plain("mail.receipt.body", **facts)
    made = mail.letter(settings.mail_from, to, spoken.plain("mail.receipt.subject", **facts), body)
    proof = here.product.ledger.receipt(recorded.index, subject)
    made.add_attachment(  # as bytes: a line ending changed in transit would break the proof
        proof.encode(), "application", "octet-stream", filename=file_name(recorded.index)
    )
    return made


def _warning(
    here: PortalContext, spoken: Words, subject: str, what: str, at: datetime, until: datetime
) -> EmailMessage | None:
    to = mailbox(here, subject, at)
    if to is None:
        return None
    facts = {"at": spoken.moment(at), "until": spoken.moment(until)}
    title = spoken.plain(f"mail.{what}.subject", **facts)
    body = spoken.plain(f"mail.{what}.body", **facts)
    return mail.letter(here.product.settings.mail_from, to, title, body)

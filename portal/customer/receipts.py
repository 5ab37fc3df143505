"""Routes of receipts: as a file, printed, by mail, and through the code on a printed one."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from email.message import EmailMessage
from typing import Annotated

from fastapi import APIRouter, Form
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from gate.contracts.scene import Scene
from gate.reads.request import ReadRequest
from ledger.events.authority import COOLING_OFF
from ledger.events.envelope import Instruction
from ledger.reader import RecordedEvent
from portal.archive import pack
from portal.auth import handoff
from portal.auth.session import Session
from portal.consent import history, seen_words, shown_version
from portal.customer import paper
from portal.operations import mail
from portal.operations.company_folder import organisation, stated
from portal.operations.wiring import Product
from portal.signin.current_customer import Me
from portal.web.i18n import Words
from portal.web.pages import PortalContext, context, page, words
from portal.web.problems import NotFoundError
from steward.dpv import consent_receipt, processing_record

router = APIRouter(include_in_schema=False)

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
    """A receipt in DPV's terms: of decisions on scenes, not of acts on keys."""
    here = context(request)
    product, instruction = here.product, own(request, me, index).event
    scenes = shown_version.contracts(instruction, product.scenes, product.home, here.words)
    if not _linked(product, instruction, scenes):
        raise NotFoundError(index)
    proof = product.ledger.receipt(index, me.subject)
    ours, categories = organisation(product.settings, product.company), product.source.categories
    made = consent_receipt.document(proof, scenes, ours, here.clock(), categories)
    headers = {"Content-Disposition": f'attachment; filename="receipt-{index}.jsonld"'}
    return Response(pack.document(made), media_type=consent_receipt.MEDIA_TYPE, headers=headers)


@router.get("/customer/scenes/{scene}/jsonld")
def use_record(request: Request, me: Me, scene: str) -> Response:  # noqa: ARG001 - signed in
    """The record of a use that needs no consent; where consent decides, receipts have records."""
    here = context(request)
    product = here.product
    found = product.scenes.get(scene)
    if found is None or found.needs_consent or not stated(product.settings):
        raise NotFoundError(scene)
    ours, categories = organisation(product.settings, product.company), product.source.categories
    made = processing_record.of_scene(found, ours, here.clock(), categories)
    headers = {"Content-Disposition": f'attachment; filename="{found.id}.jsonld"'}
    return Response(pack.document(made), media_type=consent_receipt.MEDIA_TYPE, headers=headers)


@router.get("/customer/receipts/{index}/paper")
def show_paper(request: Request, me: Me, index: int) -> Response:
    """A receipt to print."""
    here = context(request)
    recorded, product = own(request, me, index), here.product
    entry = history.entry(recorded, product.scenes, here.words)
    scenes = shown_version.contracts(recorded.event, product.scenes, product.home, here.words)
    place = str(request.url_for("verify"))
    address = paper.address(place, here.link_key, me.subject, index)
    picture = Markup(handoff.picture(address)) if address else None  # noqa: S704 - our own drawing
    return page(
        request,
        "customer/paper.html",
        entry=entry,
        sentence=history.sentence(entry, words(request)),
        seen=seen_words.of([recorded], here.word_store, scenes)[index],
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
    """Whether a record in DPV's terms exists: of a decision on a scene, by a stated controller."""
    return stated(product.settings) and consent_receipt.expressible(instruction, scenes)


def file_name(index: int) -> str:
    return f"receipt-{index}.tlog-proof"


def send_last(request: Request, me: Session) -> None:
    """Mail the receipt of the act that the session just recorded."""
    if me.notice is not None and me.notice.receipt is not None:
        send(request, me, own(request, me, me.notice.receipt))


def send(request: Request, me: Session, recorded: RecordedEvent, to: str | None = None) -> None:
    """Mail a copy, if mail is configured. Returns at once and never fails. `to`: see `warn`."""
    here, spoken = context(request), words(request)
    if here.post is not None:
        subject, at = me.subject, here.clock()
        here.post.put(lambda: _letter(here, spoken, subject, recorded, at, to))


def warn(request: Request, me: Session, what: str, to: str | None = None, **facts: str) -> None:
    """Mail a warning, such as about the customer's keys, in addition to receipts.

    `to`: the address, if it was read before; `facts`: further facts of the message.
    """
    here, spoken = context(request), words(request)
    if here.post is not None:
        subject, at = me.subject, here.clock()
        shown = {"at": spoken.moment(at), "until": spoken.moment(at + COOLING_OFF)} | facts
        here.post.put(lambda: _warning(here, spoken, subject, what, at, shown, to))


def reachable(request: Request, me: Session) -> str | None:
    """The address for letters that are sent later; None if there is none, or no mail."""
    here = context(request)
    return mailbox(here, me.subject, here.clock()) if here.post is not None else None


def mailbox(here: PortalContext, subject: str, at: datetime) -> str | None:
    """The customer's address, read through the gate; None if there is none."""
    if (use := here.product.company.roles.letters) is None:
        return None
    request = ReadRequest(use.service, use.scene, subject, (use.item,), at)
    return here.product.gate.read(request).values.get(use.item)


def _letter(
    here: PortalContext,
    spoken: Words,
    subject: str,
    recorded: RecordedEvent,
    at: datetime,
    to: str | None,
) -> EmailMessage | None:
    to = to or mailbox(here, subject, at)
    if to is None:
        return None
    entry = history.entry(recorded, here.product.scenes, here.words)
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
    for text in _words(here, recorded):
        made.add_attachment(text, "application", "json", filename=f"words-{entry.digest}.json")
    return made


def _words(here: PortalContext, recorded: RecordedEvent) -> Iterable[bytes]:
    """The words that the customer saw, byte for byte, if they are stored."""
    instruction = recorded.event
    if not isinstance(instruction, Instruction):
        return []
    return here.word_store.find([instruction.wording.digest]).values()


def _warning(
    here: PortalContext,
    spoken: Words,
    subject: str,
    what: str,
    at: datetime,
    facts: Mapping[str, str],
    to: str | None,
) -> EmailMessage | None:
    to = to or mailbox(here, subject, at)
    if to is None:
        return None
    title = spoken.plain(f"mail.{what}.subject", **facts)
    body = spoken.plain(f"mail.{what}.body", **facts)
    return mail.letter(here.product.settings.mail_from, to, title, body)

"""Honours Global Privacy Control: a browser's request not to sell or share its user's data, nor use
it for advertising across companies (W3C, "Global Privacy Control", header `Sec-GPC: 1`).

The signal withdraws the scenes that the company declares to share or advertise (the role
`global_privacy_control`; every function takes these and no others). The wording of that instruction
is the signal itself:

    {"locale":"en","scene":"ads-device-id","signal":"Sec-GPC: 1"}

A GET never writes, so the sign-in that carries the signal records it. If a browser begins to send
it later, the page has a form that its script submits at once. The signal is general and is honoured
once per scene: a customer who later allows such a scene on our page has decided on this specific
case, and that decision counts (section "The Sec-GPC Header Field").
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from starlette.requests import Request

from gate.contracts.scene import Scene
from gate.reads.point import Gate
from ledger import clock
from ledger.events.envelope import Instruction, Withdrawn, Wording
from ledger.events.reducer import ConsentState
from ledger.reader import RecordedEvent
from ledger.service import Ledger, VersionConflictError
from portal.auth.session import Session
from portal.consent import terms
from portal.consent.centre import live_fields
from portal.operations.wiring import Product
from portal.web.pages import context, words

HEADER = "Sec-GPC"
LAST_UPDATE = "2026-11-21"  # in /.well-known/gpc.json


@dataclass(frozen=True, slots=True)
class SignalNotice:
    """What a page shows about the signal while the browser sends it."""

    off: Sequence[Scene]  # not allowed, as the signal asks
    still_allowed: Sequence[Scene]  # allowed on our page since, or before it could be recorded
    receipts: Sequence[int]  # of the withdrawals that this session recorded
    waiting: bool  # not recorded yet


def asked(request: Request) -> bool:
    """Whether the browser sends the signal: the value `1` in at least one header."""
    return "1" in request.headers.getlist(HEADER)


def shown(scene: str, locale: str) -> bytes:
    """The signal as the wording of an instruction, as canonical JSON."""
    words = {"locale": locale, "scene": scene, "signal": f"{HEADER}: 1"}
    return json.dumps(words, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def wording(scene: str, locale: str) -> Wording:
    return Wording(locale, sha256(shown(scene, locale)).digest())


def is_by_signal(instruction: Instruction) -> bool:
    """Whether the browser's signal gave the instruction, and not the customer."""
    match instruction.act:
        case Withdrawn(scene):
            return instruction.wording == wording(scene, instruction.wording.locale)
        case _:
            return False


def decide(
    scenes: Mapping[str, Scene],
    state: ConsentState | None,
    history: Sequence[RecordedEvent],
    at: datetime,
) -> list[Withdrawn]:
    """The withdrawals due: scenes that are allowed and were never withdrawn by it. Pure."""
    honoured = {
        each.event.act.scene
        for each in history
        if isinstance(each.event, Instruction)
        and isinstance(each.event.act, Withdrawn)
        and is_by_signal(each.event)
    }
    return [
        Withdrawn(name)
        for name, scene in scenes.items()
        if name not in honoured and live_fields(scene, state, at)
    ]


def greet(request: Request, session: Session) -> None:
    """Honour the signal of a signed-in customer, recorded in the language of their page."""
    here, locale = context(request), words(request).tag
    product = here.product
    honour(product.gate, product.ledger, signalled(product), session, locale, here.clock())


def signalled(product: Product) -> dict[str, Scene]:
    """The scenes that the signal withdraws."""
    names = product.company.roles.global_privacy_control
    return {name: product.scenes[name] for name in names}


def honour(
    gate: Gate,
    ledger: Ledger,
    scenes: Mapping[str, Scene],
    session: Session,
    locale: str,
    at: datetime,
) -> None:
    """Record the withdrawals due, once per session. Durable when it returns.

    If the agreement changes meanwhile, nothing is recorded, and the next page tries again.
    """
    if session.signal is not None:
        return
    history = session.agreement.history(ledger)
    state = terms.active(gate, session.subject, session.agreement.state(ledger))
    drafts: list[Instruction] = []
    for act in decide(scenes, state, history, at):
        words = wording(act.scene, locale)
        drafts.append(
            drafts[-1].next(act, at=at, wording=words)
            if drafts
            else ledger.draft(
                session.subject,
                act,
                at=at,
                wording=words,
                time_uncertain=clock.doubt() is not None,
            )
        )
    try:
        recorded = ledger.record(drafts)
    except VersionConflictError:
        return
    for each in recorded:
        session.agreement.add(each)
    session.signal = tuple(each.index for each in recorded)


def allowed(scenes: Mapping[str, Scene], session: Session, scene: str) -> None:
    """Note that the customer allowed a scene while the signal waited: their decision is later."""
    if scene in scenes and session.signal is None:
        session.signal = ()


def notice(
    scenes: Mapping[str, Scene], state: ConsentState | None, session: Session, at: datetime
) -> SignalNotice:
    """The notice for a browser that sends the signal. Pure."""
    live = [each for each in scenes.values() if live_fields(each, state, at)]
    off = [each for each in scenes.values() if each not in live]
    return SignalNotice(off, live, session.signal or (), session.signal is None and bool(live))

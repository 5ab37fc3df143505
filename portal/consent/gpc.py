"""Global Privacy Control: a browser's standing request that its user's data be neither sold nor
shared, nor used for advertising across companies (W3C, "Global Privacy Control": `Sec-GPC: 1`).

It withdraws the scenes that share or advertise. What was said then is the signal itself, and the
instruction names it as its words:

    {"locale":"en","scene":"ads-device-id","signal":"Sec-GPC: 1"}

Pages are asked for with GET, and a GET never writes. So the signal is recorded by the sign-in that
carries it, which writes in any case; a browser that begins to send it later is answered with a form
that the page's script sends off at once. The signal is general and says nothing new the second
time: whoever allows such a scene on our page after it was honoured has decided on this very case,
and that holds (section "The Sec-GPC Header Field": a specific arrangement with the person).
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from starlette.requests import Request

from gate.contracts.scene import Scene
from gate.reads.point import Gate
from ledger.events.envelope import Instruction, Withdrawn, Wording
from ledger.events.reducer import ConsentState
from ledger.reader import RecordedEvent
from ledger.service import Ledger, VersionConflictError
from portal.auth.session import Session
from portal.consent import terms
from portal.consent.centre import live_fields
from portal.web.pages import faces, words

HEADER = "Sec-GPC"
SCENES = ("third-party-sharing", "ads-device-id")
LAST_UPDATE = "2026-11-21"  # of what /.well-known/gpc.json says


@dataclass(frozen=True, slots=True)
class Heard:
    """What a page says of the signal, while the browser sends it."""

    off: Sequence[Scene]  # not allowed, as the signal asks
    kept: Sequence[Scene]  # allowed on our page since, or before it could be recorded
    receipts: Sequence[int]  # of what this session recorded because of it
    waiting: bool  # not recorded yet


def asked(request: Request) -> bool:
    """Whether the browser sends the signal: exactly `1`, in one of its headers at least."""
    return "1" in request.headers.getlist(HEADER)


def wording(scene: str, locale: str) -> Wording:
    said = {"locale": locale, "scene": scene, "signal": f"{HEADER}: 1"}
    data = json.dumps(said, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return Wording(locale, sha256(data.encode()).digest())


def said_by_signal(instruction: Instruction) -> bool:
    """Whether it was the browser that said it, and no press of the customer's."""
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
    """What the signal withdraws: what it names, is allowed, and it never withdrew before. Pure."""
    honoured = {
        each.event.act.scene
        for each in history
        if isinstance(each.event, Instruction)
        and isinstance(each.event.act, Withdrawn)
        and said_by_signal(each.event)
    }
    return [
        Withdrawn(name)
        for name in SCENES
        if name not in honoured and live_fields(scenes[name], state, at)
    ]


def greet(request: Request, session: Session) -> None:
    """Honour the signal of somebody who is signed in, in the language they read."""
    here, locale = faces(request), words(request).tag
    product = here.product
    honour(product.gate, product.ledger, product.scenes, session, locale, here.clock())


def honour(
    gate: Gate,
    ledger: Ledger,
    scenes: Mapping[str, Scene],
    session: Session,
    locale: str,
    at: datetime,
) -> None:
    """Record what the signal withdraws, once a session. Durable when it returns.

    If somebody else changes the agreement meanwhile it waits, and the next page offers it again.
    """
    if session.signal is not None:
        return
    history = session.agreement.history(ledger)
    state = terms.in_force(gate, session.agreement.state(ledger))
    drafts: list[Instruction] = []
    for act in decide(scenes, state, history, at):
        said = wording(act.scene, locale)
        drafts.append(
            drafts[-1].next(act, at=at, wording=said)
            if drafts
            else ledger.draft(session.subject, act, at=at, wording=said)
        )
    try:
        recorded = ledger.record(drafts)
    except VersionConflictError:
        return
    for each in recorded:
        session.agreement.add(each)
    session.signal = tuple(each.index for each in recorded)


def allowed(session: Session, scene: str) -> None:
    """The customer allowed a scene while the signal waited: the press is the later word."""
    if scene in SCENES and session.signal is None:
        session.signal = ()


def heard(
    scenes: Mapping[str, Scene], state: ConsentState | None, session: Session, at: datetime
) -> Heard:
    """What there is to say to a browser that sends the signal. Pure."""
    live = [scenes[name] for name in SCENES if live_fields(scenes[name], state, at)]
    off = [scenes[name] for name in SCENES if scenes[name] not in live]
    return Heard(off, live, session.signal or (), session.signal is None and bool(live))

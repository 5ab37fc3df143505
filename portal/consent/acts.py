"""Turns a pressed button into a recorded instruction: gather, decide, apply."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from gate.contracts.scene import Scene
from gate.reads.point import Gate
from ledger import clock
from ledger.events.envelope import (
    Act,
    EvidenceClass,
    Granted,
    Instruction,
    TriggerCleared,
    TriggerSet,
    Withdrawn,
    Wording,
)
from ledger.events.instruction_signature import Signature
from ledger.events.reducer import ConsentState, SceneConsent
from ledger.reader import RecordedEvent
from ledger.service import Ledger
from portal.auth.session import Draft, Notice, Session, Undo
from portal.consent import conditions, terms, wording
from portal.consent.centre import live_fields, offered
from portal.web.i18n import Words
from portal.web.problems import (
    ChangedWordsError,
    LockedSceneError,
    MalformedFormError,
    UnknownItemError,
)

MAX_DIGITS = 9  # of a version in a form
Switch = Granted | Withdrawn


class Wish(StrEnum):
    ALLOW = "allow"
    WITHDRAW = "withdraw"


@dataclass(frozen=True, slots=True)
class Button:
    """A pressed button: what the customer wants, and what the page showed when it was pressed."""

    scene: Scene
    wish: Wish
    item: str | None  # None: the whole scene
    wording: Wording
    version: int


@dataclass(frozen=True, slots=True)
class Wanted:
    """An act to record, on the wording and at the version that the page showed."""

    act: Act
    wording: Wording
    version: int
    notice: Notice  # to show once it is recorded
    undo: Undo | None = None


def button(
    scene: Scene,
    wish: Wish,
    item: str | None,
    words: str,
    version: str,
    languages: Mapping[str, Words],
) -> Button:
    """Read a form. Raises LockedScene-, UnknownItem-, ChangedWords- or MalformedFormError."""
    if scene.locked:
        raise LockedSceneError(scene.id)
    if item is not None and (item not in scene.fields or scene.counts_everybody):
        raise UnknownItemError(item)
    seen = wording.read_token(words, scene, languages)
    if seen is None:
        raise ChangedWordsError(scene.id)
    return Button(scene, wish, item, seen, read_version(version))


def read_version(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS):
        raise MalformedFormError(f"version is {text[:20]!r}, want a number as the page showed it")
    return int(text)


def decide(
    pressed: Button, state: ConsentState | None, at: datetime, excluded: Collection[str] = ()
) -> Switch | None:
    """The act that fulfils the wish; None if nothing would change. Pure and total.

    `excluded`: the items that were left out when the scene was allowed last.
    """
    scene, live = pressed.scene, live_fields(pressed.scene, state, at)
    match pressed.wish, pressed.item:
        case Wish.ALLOW, None:
            return (
                None
                if len(live) == len(scene.fields)
                else Granted(scene.id, offered(scene, live, excluded), None)
            )
        case Wish.ALLOW, item:
            return None if item in live else _with(scene, state, (*live, str(item)))
        case Wish.WITHDRAW, None:
            unasked = scene.objectable and (state is None or scene.id not in state.scenes)
            return Withdrawn(scene.id) if live or unasked else None
        case Wish.WITHDRAW, item if item not in live:
            return None
        case Wish.WITHDRAW, item if state is None or state.last(scene.id) is None:
            return _objection(scene, state, [each for each in live if each != item])
        case Wish.WITHDRAW, item:
            return Withdrawn(scene.id, (str(item),))


def _objection(scene: Scene, state: ConsentState | None, rest: Sequence[str]) -> Switch:
    """The first act of a customer who objects to an item of a scene, and not to the `rest`.

    It names the rest, which the record then has in so many words. Whoever has a key objects to the
    whole scene: to name the rest would need the key, and no objection does.
    """
    if not rest or (state is not None and state.authority.keys):
        return Withdrawn(scene.id)
    return Granted(scene.id, tuple(rest), None)


def wanted_condition(
    gate: Gate,
    ledger: Ledger,
    session: Session,
    pressed: Button,
    place: int,
    figure: str | None,
) -> Wanted | None:
    """The act that sets the scene's condition number `place` to `figure`, or clears it (None).

    Raises UnknownItemError, MalformedFormError, ChangedWordsError. None if nothing would change.
    """
    scene = pressed.scene
    if not 0 <= place < len(scene.triggers):
        raise UnknownItemError(place)
    terms.require_current(gate, scene)
    state = terms.active(gate, session.subject, session.agreement.state(ledger))
    act = conditions.decide(scene, scene.triggers[place], figure, state)
    return None if act is None else _wanted(act, pressed, None)


def wanted_switch(
    gate: Gate,
    ledger: Ledger,
    session: Session,
    pressed: Button,
    at: datetime,
    excluded: Collection[str] = (),
) -> Wanted | None:
    """The act that the button asks for; None if nothing would change. Raises ChangedWordsError."""
    terms.require_current(gate, pressed.scene)
    state = terms.active(gate, session.subject, session.agreement.state(ledger))
    act = decide(pressed, state, at, excluded)
    return None if act is None else _wanted(act, pressed, _undo(act, pressed.scene, state, at))


def wanted_back(session: Session, pressed: Button, at: datetime) -> Wanted | None:
    """The act that reverses the last one, if it can still be undone; it is offered once.

    A permission that would have ended meanwhile is not given again.
    """
    undo, session.undo = session.undo, None
    if undo is None or undo.scene != pressed.scene.id:
        return None
    if undo.until is not None and at >= undo.until:
        return None
    act = Granted(undo.scene, undo.fields, undo.until) if undo.fields else Withdrawn(undo.scene)
    wanted = _wanted(act, pressed, None)
    part = session.notice.part if session.notice else ""
    return replace(wanted, notice=replace(wanted.notice, part=part))


def record(ledger: Ledger, session: Session, wanted: Wanted, at: datetime) -> None:
    """Record the act with session evidence, and store its notice in the session.

    Raises VersionConflictError if the scene, or who may sign, changed since the page was made, and
    UnauthorisedError if the act needs the customer's key; then nothing is recorded. Durable when it
    returns.
    """
    wanted = replace(wanted, version=_version(ledger, session, wanted))
    instruction = draft(ledger, session, wanted, EvidenceClass.SESSION, at)
    settle(ledger, session, Draft(instruction, wanted.notice, wanted.undo, at), None)


def _version(ledger: Ledger, session: Session, wanted: Wanted) -> int:
    """The version to record the act at: the present one, if nothing that it rests on changed.

    An act on another scene since the page was made is no conflict; one on keys is.
    """
    scene, history = getattr(wanted.act, "scene", None), session.agreement.history(ledger)
    state = session.agreement.state(ledger)
    since = [each.event for each in history if _sequence(each) > wanted.version]
    others = (getattr(getattr(each, "act", None), "scene", None) for each in since)
    if scene is None or any(each in {None, scene} for each in others):
        return wanted.version
    return max(wanted.version, state.seq if state else 0)


def _sequence(recorded: RecordedEvent) -> int:
    return recorded.event.seq if isinstance(recorded.event, Instruction) else 0


def draft(
    ledger: Ledger, session: Session, wanted: Wanted, evidence: EvidenceClass, at: datetime
) -> Instruction:
    """The instruction for an act. Raises VersionConflictError."""
    return ledger.draft(
        session.subject,
        wanted.act,
        at=at,
        wording=wanted.wording,
        evidence=evidence,
        expected=wanted.version,
        time_uncertain=clock.doubt() is not None,
    )


def settle(ledger: Ledger, session: Session, draft: Draft, signature: Signature | None) -> None:
    """Record a draft, signed or not, and store its notice in the session. Raises as `record`."""
    (recorded,) = ledger.record([draft.instruction], signatures=[signature])
    session.agreement.add(recorded)
    session.notice = replace(draft.notice, receipt=recorded.index)
    session.undo = draft.undo


def _wanted(act: Act, pressed: Button, undo: Undo | None) -> Wanted:
    notice = Notice(pressed.scene.id, _notice_key(act, pressed), part=pressed.item or "")
    return Wanted(act, pressed.wording, pressed.version, notice, undo)


def _notice_key(act: Act, pressed: Button) -> str:
    """The message key of the notice for an act."""
    of_item, objects = pressed.item is not None, pressed.wish is Wish.WITHDRAW
    if isinstance(act, Granted | Withdrawn) and pressed.scene.objectable:
        whole = not of_item or act == Withdrawn(pressed.scene.id)
        kind = "objected" if objects or isinstance(act, Withdrawn) else "unobjected"
        return f"notice.{kind}" if whole else f"notice.{kind}-item"
    match act:
        case Granted():
            return "notice.allowed-item" if of_item else "notice.allowed"
        case TriggerSet():
            return "notice.condition-set"
        case TriggerCleared():
            return "notice.condition-cleared"
        case _:
            return "notice.withdrawn-item" if of_item else "notice.withdrawn"


def _with(scene: Scene, state: ConsentState | None, fields: tuple[str, ...]) -> Granted:
    """A grant of `fields`, in the contract's order, that ends when the present one does."""
    last = state.last(scene.id) if state else None
    until = last.until if isinstance(last, SceneConsent) and len(fields) > 1 else None
    return Granted(scene.id, tuple(name for name in scene.fields if name in fields), until)


def _undo(act: Act, scene: Scene, state: ConsentState | None, at: datetime) -> Undo | None:
    """The act that reverses `act`; None where that would need the customer's key."""
    live = tuple(live_fields(scene, state, at))
    if state and state.authority.keys and (live or isinstance(act, Withdrawn)):
        return None
    last = state.last(scene.id) if state else None
    until = last.until if live and isinstance(last, SceneConsent) else None
    return Undo(scene.id, live, until)

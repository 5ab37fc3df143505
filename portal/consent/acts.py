"""Turns a pressed button into a recorded instruction: gather, decide, apply."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from gate.contracts.scene import Scene
from gate.reads.point import Gate
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
from ledger.service import Ledger
from portal.auth.session import Draft, Notice, Session, Undo
from portal.consent import conditions, terms, wording
from portal.consent.centre import live_fields
from portal.web.problems import (
    ChangedWordsError,
    LockedSceneError,
    MalformedFormError,
    UnknownItemError,
)

UNDO_FOR = timedelta(seconds=10)
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


def button(scene: Scene, wish: Wish, item: str | None, words: str, version: str) -> Button:
    """Read a form. Raises LockedScene-, UnknownItem-, ChangedWords- or MalformedFormError."""
    if scene.locked:
        raise LockedSceneError(scene.id)
    if item is not None and item not in scene.fields:
        raise UnknownItemError(item)
    seen = wording.read_token(words, scene)
    if seen is None:
        raise ChangedWordsError(scene.id)
    return Button(scene, wish, item, seen, read_version(version))


def read_version(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS):
        raise MalformedFormError(f"version is {text[:20]!r}, want a number as the page showed it")
    return int(text)


def decide(pressed: Button, state: ConsentState | None, at: datetime) -> Switch | None:
    """The act that fulfils the wish; None if nothing would change. Pure and total."""
    scene, live = pressed.scene, live_fields(pressed.scene, state, at)
    match pressed.wish, pressed.item:
        case Wish.ALLOW, None:
            return (
                None
                if len(live) == len(scene.fields)
                else Granted(scene.id, (*scene.fields,), None)
            )
        case Wish.ALLOW, item:
            return None if item in live else _with(scene, state, (*live, str(item)))
        case Wish.WITHDRAW, None:
            return Withdrawn(scene.id) if live else None
        case Wish.WITHDRAW, item:
            return Withdrawn(scene.id, (str(item),)) if item in live else None


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
    state = terms.active(gate, session.agreement.state(ledger))
    act = conditions.decide(scene, scene.triggers[place], figure, state)
    return None if act is None else _wanted(act, pressed, None)


def wanted_switch(
    gate: Gate, ledger: Ledger, session: Session, pressed: Button, at: datetime
) -> Wanted | None:
    """The act that the button asks for; None if nothing would change. Raises ChangedWordsError."""
    terms.require_current(gate, pressed.scene)
    state = terms.active(gate, session.agreement.state(ledger))
    act = decide(pressed, state, at)
    return None if act is None else _wanted(act, pressed, _undo(act, pressed.scene, state, at))


def wanted_back(session: Session, pressed: Button, at: datetime) -> Wanted | None:
    """The act that reverses the last one, if undo is still offered; it is offered once."""
    undo, session.undo = session.undo, None
    if undo is None or undo.scene != pressed.scene.id or at >= undo.deadline:
        return None
    act = Granted(undo.scene, undo.fields, undo.until) if undo.fields else Withdrawn(undo.scene)
    return _wanted(act, pressed, None)


def record(ledger: Ledger, session: Session, wanted: Wanted, at: datetime) -> None:
    """Record the act with session evidence, and store its notice in the session.

    Raises VersionConflictError if the agreement changed since the page was made, and
    UnauthorisedError if the act needs the customer's key; then nothing is recorded. Durable when it
    returns.
    """
    instruction = draft(ledger, session, wanted, EvidenceClass.SESSION, at)
    settle(ledger, session, Draft(instruction, wanted.notice, wanted.undo, at), None)


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
    )


def settle(ledger: Ledger, session: Session, draft: Draft, signature: Signature | None) -> None:
    """Record a draft, signed or not, and store its notice in the session. Raises as `record`."""
    (recorded,) = ledger.record([draft.instruction], signatures=[signature])
    session.agreement.add(recorded)
    session.notice = replace(draft.notice, receipt=recorded.index)
    session.undo = draft.undo


def _wanted(act: Act, pressed: Button, undo: Undo | None) -> Wanted:
    notice = Notice(pressed.scene.id, _notice_key(act, of_item=pressed.item is not None))
    return Wanted(act, pressed.wording, pressed.version, notice, undo)


def _notice_key(act: Act, *, of_item: bool) -> str:
    """The message key of the notice for an act."""
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
    last = state.scenes.get(scene.id) if state else None
    until = last.until if isinstance(last, SceneConsent) and len(fields) > 1 else None
    return Granted(scene.id, tuple(name for name in scene.fields if name in fields), until)


def _undo(act: Act, scene: Scene, state: ConsentState | None, at: datetime) -> Undo | None:
    """The act that reverses `act`; None where that would need the customer's key."""
    live = tuple(live_fields(scene, state, at))
    if state and state.authority.keys and (live or isinstance(act, Withdrawn)):
        return None
    last = state.scenes.get(scene.id) if state else None
    until = last.until if live and isinstance(last, SceneConsent) else None
    return Undo(scene.id, live, until, at + UNDO_FOR)

"""From a pressed button to a recorded instruction. Gather, decide, apply."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from gate.contract import Scene
from gate.read import Gate
from ledger.consent import ConsentState, SceneConsent
from ledger.event import Act, Granted, TriggerCleared, TriggerSet, Withdrawn, Wording
from ledger.ledger import Ledger
from portal.customer import terms, triggers, wording
from portal.customer.centre import live_fields
from portal.problems import (
    ChangedWordsError,
    LockedSceneError,
    MalformedFormError,
    UnknownItemError,
)
from portal.session import Notice, Session, Undo

UNDO_FOR = timedelta(seconds=10)
MOST_DIGITS = 9  # of a version in a form
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
    if not (text.isascii() and text.isdigit() and len(text) <= MOST_DIGITS):
        raise MalformedFormError(f"version is {text[:20]!r}, want a number as the page showed it")
    return int(text)


def decide(pressed: Button, state: ConsentState | None, at: datetime) -> Switch | None:
    """The act that fulfils the wish; None if things stand that way already. Pure and total."""
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


def set_condition(
    gate: Gate,
    ledger: Ledger,
    session: Session,
    pressed: Button,
    place: int,
    figure: str | None,
    at: datetime,
) -> None:
    """Set the scene's condition number `place` to `figure`, or clear it (None).

    Raises UnknownItemError, MalformedFormError, VersionConflictError.
    """
    scene = pressed.scene
    if not 0 <= place < len(scene.triggers):
        raise UnknownItemError(place)
    terms.require_current(gate, scene)
    state = terms.in_force(gate, session.agreement.state(ledger))
    act = triggers.decide(scene, scene.triggers[place], figure, state)
    if act is None:
        session.notice = Notice(scene.id, "notice.unchanged")
        return
    session.notice, session.undo = _record(ledger, session, act, pressed, at), None


def carry_out(gate: Gate, ledger: Ledger, session: Session, pressed: Button, at: datetime) -> None:
    """Record what the button asks for, and leave word of it in the session.

    Raises VersionConflictError if the agreement changed since the page was made, and records
    nothing then. Durable when it returns.
    """
    terms.require_current(gate, pressed.scene)
    state = terms.in_force(gate, session.agreement.state(ledger))
    act = decide(pressed, state, at)
    if act is None:
        session.notice = Notice(pressed.scene.id, "notice.unchanged")
        return
    undo = _undo(pressed.scene, state, at)
    session.notice = _record(ledger, session, act, pressed, at)
    session.undo = undo


def take_back(ledger: Ledger, session: Session, pressed: Button, at: datetime) -> None:
    """Append the entry that reverses the last act, if it is still offered."""
    undo, session.undo = session.undo, None
    if undo is None or undo.scene != pressed.scene.id or at >= undo.deadline:
        session.notice = Notice(pressed.scene.id, "notice.undo-over")
        return
    act = Granted(undo.scene, undo.fields, undo.until) if undo.fields else Withdrawn(undo.scene)
    session.notice = _record(ledger, session, act, pressed, at)


def _record(ledger: Ledger, session: Session, act: Act, pressed: Button, at: datetime) -> Notice:
    instruction = ledger.draft(
        session.subject, act, at=at, wording=pressed.wording, expected=pressed.version
    )
    (recorded,) = ledger.record([instruction])
    session.agreement.add(recorded)
    return Notice(pressed.scene.id, _said(act, of_item=pressed.item is not None), recorded.index)


def _said(act: Act, *, of_item: bool) -> str:
    """What the notice says of an act: a message key."""
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


def _undo(scene: Scene, state: ConsentState | None, at: datetime) -> Undo:
    live = tuple(live_fields(scene, state, at))
    last = state.scenes.get(scene.id) if state else None
    until = last.until if live and isinstance(last, SceneConsent) else None
    return Undo(scene.id, live, until, at + UNDO_FOR)

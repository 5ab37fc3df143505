"""Compares the words that a customer agreed to with the present ones, word by word. Pure.

Both are the canonical JSON of portal.consent.wording in one language. Only the parts that differ
are shown, each as a row of pieces:

    What is done instead    We offer [removed: two][added: three] branches by postcode
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from difflib import SequenceMatcher
from enum import StrEnum
from typing import Any

from gate.contracts import odcs, versions
from gate.contracts.scene import Scene
from ledger.events.envelope import Granted, Instruction
from ledger.reader import RecordedEvent
from portal.consent import wording
from portal.web.i18n import Words

# Scripts without spaces between words are compared sign by sign.
TOKEN = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]|\w+|\s+|[^\w\s]")
LABELS = {  # members of the words, in the order of the page, with their message keys
    "title": "scene.words-title",
    "summary": "scene.words-summary",
    "consequence": "card.consequence",
    "alternative": "card.alternative",
    "basis": "scene.basis",
    "items": "scene.items",
    "services": "scene.services",
    "triggers": "scene.conditions",
    "days": "scene.longest",
}


class PieceKind(StrEnum):
    SAME = "same"
    REMOVED = "removed"
    ADDED = "added"


@dataclass(frozen=True, slots=True)
class Piece:
    change: PieceKind
    text: str


@dataclass(frozen=True, slots=True)
class ChangedPart:
    """A part of the words that differs. `label`: a message key."""

    label: str
    pieces: tuple[Piece, ...]


@dataclass(frozen=True, slots=True)
class WordChanges:
    """What changed since a permission. Without `parts` the words are the same."""

    at: datetime  # of the permission
    index: int  # of its entry
    locale: str
    version: str  # agreed to
    present: str
    parts: tuple[ChangedPart, ...]
    versions: tuple[str, ...]  # all known ones of the contract, oldest first


def permission(recorded: Sequence[RecordedEvent], scene: str) -> tuple[int, Instruction] | None:
    """The customer's last permission of a scene, with its entry; None if they gave none here."""
    for each in reversed(recorded):
        event = each.event
        if (
            isinstance(event, Instruction)
            and isinstance(event.act, Granted)
            and event.act.scene == scene
        ):
            return each.index, event
    return None


def changes(
    index: int,
    instruction: Instruction,
    seen: bytes | None,
    scene: Scene,
    words: Mapping[str, Words],
    known: Iterable[Scene],
) -> WordChanges | None:
    """What changed since the permission `instruction`; None if its words are not stored.

    `index`: of its entry; `seen`: the stored words; `known`: archived versions of contracts.
    """
    if seen is None:
        return None
    before: dict[str, Any] = json.loads(seen)
    spoken = words.get(instruction.wording.locale)
    if spoken is None or before.get("scene") != scene.id:
        return None
    now: dict[str, Any] = json.loads(wording.shown(scene, spoken))
    numbers = {each.version for each in known if each.id == scene.id}
    numbers |= {before["version"], scene.version}
    return WordChanges(
        instruction.at,
        index,
        spoken.tag,
        before["version"],
        scene.version,
        (*_parts(before, now, scene, spoken),),
        (*sorted(numbers, key=versions.parse),),
    )


def compared(before: str, now: str) -> tuple[Piece, ...]:
    """The pieces of two texts: those without ADDED are `before`, those without REMOVED `now`."""
    old, new = TOKEN.findall(before), TOKEN.findall(now)
    pieces: list[Piece] = []
    for _, a, b, c, d in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        gone, come = "".join(old[a:b]), "".join(new[c:d])
        if gone == come:
            pieces.append(Piece(PieceKind.SAME, gone))
            continue
        pieces += [Piece(PieceKind.REMOVED, gone)] if gone else []
        pieces += [Piece(PieceKind.ADDED, come)] if come else []
    return (*pieces,)


def _parts(
    before: Mapping[str, Any], now: Mapping[str, Any], scene: Scene, spoken: Words
) -> Iterator[ChangedPart]:
    for member, label in LABELS.items():
        old, new = (_lines(each.get(member), scene, spoken) for each in (before, now))
        for name in dict.fromkeys((*old, *new)):
            was, is_now = old.get(name, ""), new.get(name, "")
            if was != is_now:
                yield ChangedPart(label, compared(was, is_now))


def _lines(value: Any, scene: Scene, spoken: Words) -> dict[str, str]:
    """The texts of one member, by what they are about."""
    match value:
        case None:
            return {}
        case int():
            return {"": spoken.days(value)}
        case str():
            return {"": value}
        case list():
            return {each: each for each in value}
        case _:
            return {name: _item(name, use, scene, spoken) for name, use in value.items()}


def _item(name: str, use: str, scene: Scene, spoken: Words) -> str:
    field = scene.fields.get(name)
    return f"{odcs.spoken(field.item.title, spoken.tag) if field else name} – {use}"

"""The items that a customer left out of a scene, remembered while the scene is off.

Whoever allowed five of six items, switched the scene off and allows it again, allows the same five.
An item that the contract did not have then was not left out.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from gate.contracts.scene import Scene
from ledger.events.envelope import Granted, Imported, Instruction, Withdrawn
from ledger.reader import RecordedEvent
from portal.storage.words import WordStore


@dataclass(frozen=True, slots=True)
class LastAllowed:
    """The items that were allowed last, and the digest of the words that named them all."""

    fields: frozenset[str]
    words: bytes


def excluded(
    history: Sequence[RecordedEvent], store: WordStore, scenes: Mapping[str, Scene]
) -> dict[str, frozenset[str]]:
    """By scene, the items that the customer left out when they last allowed some of it."""
    last = last_allowed(history)
    texts = store.find(each.words for each in last.values())
    return {
        name: frozenset(_named(texts.get(each.words), scenes[name])) - each.fields
        for name, each in last.items()
        if name in scenes
    }


def last_allowed(history: Sequence[RecordedEvent]) -> dict[str, LastAllowed]:
    """By scene, what was allowed before it was switched off, if ever. `history`: oldest first."""
    allowed: dict[str, LastAllowed] = {}
    for each in history:
        if not isinstance(each.event, Instruction):
            continue
        words = each.event.wording.digest
        match each.event.act:
            case Granted(scene, fields) | Imported(scene, fields):
                allowed[scene] = LastAllowed(frozenset(fields), words)
            case Withdrawn(scene, tuple() as fields) if scene in allowed:
                if rest := allowed[scene].fields - {*fields}:
                    allowed[scene] = LastAllowed(rest, words)
    return allowed


def _named(text: bytes | None, scene: Scene) -> Collection[str]:
    """The items that the words named; those of the present contract if they are not stored."""
    words = json.loads(text) if text is not None else {}
    items: Collection[str] = words.get("items", scene.fields)
    return items

"""What happened with a customer's data: instructions given, and reads made. Pure view models."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from gate.contract import Scene, Text
from ledger.event import Act, Granted, Imported, Instruction, TriggerCleared, TriggerSet, Withdrawn
from ledger.reader import Recorded

PAGE_SIZE = 50


@dataclass(frozen=True, slots=True)
class Entry:
    """One instruction, as the history shows it."""

    index: int
    at: datetime
    scene: Text | None
    did: str  # message key
    scope: str  # message key: how `items` limit it
    items: tuple[Text, ...]  # those named; empty if it is the whole scene
    locale: str
    digest: str
    evidence: str


@dataclass(frozen=True, slots=True)
class Page:
    rows: tuple[Entry, ...]
    number: int
    pages: int


def page(recorded: Sequence[Recorded], scenes: Mapping[str, Scene], number: int) -> Page:
    """Page `number`, from 1, of a customer's instructions, newest first."""
    pages = max(1, -(-len(recorded) // PAGE_SIZE))
    last = len(recorded) - (number - 1) * PAGE_SIZE
    shown = recorded[max(0, last - PAGE_SIZE) : max(0, last)]
    return Page(tuple(_entry(each, scenes) for each in reversed(shown)), number, pages)


def _entry(recorded: Recorded, scenes: Mapping[str, Scene]) -> Entry:
    said = recorded.event
    assert isinstance(said, Instruction)  # noqa: S101 - a customer's history holds nothing else
    scene = scenes.get(getattr(said.act, "scene", ""))
    scope, fields = _scope(said.act, scene)
    return Entry(
        index=recorded.index,
        at=said.at,
        scene=scene.title if scene else None,
        did=_did(said.act),
        scope=scope,
        items=tuple(scene.fields[name].item.title for name in fields) if scene else (),
        locale=said.wording.locale,
        digest=said.wording.digest.hex(),
        evidence=said.evidence.value,
    )


def _did(act: Act) -> str:
    match act:
        case Granted() | Imported():
            return "did.allowed"
        case Withdrawn():
            return "did.withdrawn"
        case TriggerSet():
            return "did.trigger-set"
        case TriggerCleared():
            return "did.trigger-cleared"
        case _:
            return "did.other"


def _scope(act: Act, scene: Scene | None) -> tuple[str, list[str]]:
    """The shorter way to say which items an act is about: `only these`, or `without those`."""
    named = getattr(act, "fields", None)
    if scene is None or named is None:
        return "items.only", []
    only = [name for name in scene.fields if name in named]
    without = [name for name in scene.fields if name not in named]
    if isinstance(act, Granted | Imported) and len(without) < len(only):
        return "items.without", without
    return "items.only", only

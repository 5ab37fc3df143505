"""View models of a customer's instructions. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from gate.contracts.odcs import Text
from gate.contracts.scene import Scene
from ledger.events.envelope import Act, Granted, Imported, Instruction, Withdrawn
from ledger.reader import RecordedEvent
from portal.consent import gpc
from portal.web.i18n import Words

PAGE_SIZE = 50


@dataclass(frozen=True, slots=True)
class HistoryEntry:
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
class HistoryPage:
    rows: tuple[HistoryEntry, ...]
    number: int
    pages: int


def page(
    recorded: Sequence[RecordedEvent], scenes: Mapping[str, Scene], number: int
) -> HistoryPage:
    """Page `number`, from 1, of a customer's instructions, newest first."""
    pages = max(1, -(-len(recorded) // PAGE_SIZE))
    last = len(recorded) - (number - 1) * PAGE_SIZE
    shown = recorded[max(0, last - PAGE_SIZE) : max(0, last)]
    return HistoryPage(tuple(entry(each, scenes) for each in reversed(shown)), number, pages)


def sentence(row: HistoryEntry, spoken: Words) -> str:
    """An instruction in one plain sentence, without markup."""
    parts = [spoken.plain(row.did)]
    if row.scene:
        parts.append(spoken.of(row.scene))
    whole = " ".join(parts)
    if row.items:
        scope = spoken.plain(row.scope, items=spoken.listed(row.items))
        whole += spoken.plain("list.comma") + scope
    return whole


def entry(recorded: RecordedEvent, scenes: Mapping[str, Scene]) -> HistoryEntry:
    """One instruction of a customer's history."""
    instruction = recorded.event
    assert isinstance(instruction, Instruction)  # noqa: S101 - a customer's history has no other events
    scene = scenes.get(getattr(instruction.act, "scene", ""))
    scope, fields = _scope(instruction.act, scene)
    return HistoryEntry(
        index=recorded.index,
        at=instruction.at,
        scene=scene.title if scene else None,
        did=_did(instruction),
        scope=scope,
        items=tuple(scene.fields[name].item.title for name in fields) if scene else (),
        locale=instruction.wording.locale,
        digest=instruction.wording.digest.hex(),
        evidence=instruction.evidence.value,
    )


def _did(instruction: Instruction) -> str:
    match instruction.act:
        case Granted():
            return "did.allowed"
        case Withdrawn() if gpc.is_by_signal(instruction):
            return "did.withdrawn-by-signal"
        case Withdrawn():
            return "did.withdrawn"
        case Imported():
            return "did.imported"
        case act:
            return f"did.{act.__struct_config__.tag}"


def _scope(act: Act, scene: Scene | None) -> tuple[str, list[str]]:
    """The shorter description of an act's items: `only these`, or `without those`."""
    named = getattr(act, "fields", None)
    if scene is None or named is None:
        return "items.only", []
    only = [name for name in scene.fields if name in named]
    without = [name for name in scene.fields if name not in named]
    if isinstance(act, Granted | Imported) and len(without) < len(only):
        return "items.without", without
    return "items.only", only

"""View models of a customer's instructions. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import get_args

from gate.contracts.odcs import Text
from gate.contracts.scene import Scene
from ledger.events import acts
from ledger.events.envelope import (
    Act,
    EvidenceClass,
    Granted,
    Imported,
    Instruction,
    SourceDeleted,
    Withdrawn,
)
from ledger.reader import RecordedEvent
from portal.consent import gpc, wording
from portal.web.i18n import Words

PAGE_SIZE = 50
OF_THE_COMPANY = (  # the names of the words of its acts
    "source-deleted",
    "merged-into",
    "merged",
    "split",
    "limited",
    "renamed",
    "renamed-to",
)
COMPANY = "company"  # in place of the evidence class: the company gave the act of itself
RENAMED = "renamed"  # ...: the company took the act over from the customer's old number


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
    evidence: str  # the class, COMPANY or RENAMED

    @property
    def words(self) -> str:
        """The message key that says whose words they are."""
        of_company = self.evidence in {COMPANY, RENAMED}
        return "history.words-company" if of_company else "history.words"


@dataclass(frozen=True, slots=True)
class HistoryPage:
    rows: tuple[HistoryEntry, ...]
    number: int
    pages: int


def page(
    recorded: Sequence[RecordedEvent],
    scenes: Mapping[str, Scene],
    number: int,
    words: Mapping[str, Words],
) -> HistoryPage:
    """Page `number`, from 1, of a customer's instructions, newest first. `words`: by language."""
    pages = max(1, -(-len(recorded) // PAGE_SIZE))
    last = len(recorded) - (number - 1) * PAGE_SIZE
    shown = recorded[max(0, last - PAGE_SIZE) : max(0, last)]
    return HistoryPage(tuple(entry(each, scenes, words) for each in reversed(shown)), number, pages)


def sentence(row: HistoryEntry, spoken: Words) -> str:
    """An instruction in one plain sentence, without markup."""
    whole = spoken.plain(row.did)
    if row.scene:
        whole = spoken.plain("list.said", did=whole, scene=spoken.of(row.scene))
    if row.items:
        scope = spoken.plain(row.scope, items=spoken.listed(row.items))
        whole += spoken.plain("list.clause") + scope
    return whole


def entry(
    recorded: RecordedEvent, scenes: Mapping[str, Scene], words: Mapping[str, Words]
) -> HistoryEntry:
    """One instruction of a customer's history."""
    instruction = recorded.event
    assert isinstance(instruction, Instruction)  # noqa: S101 - a customer's history has no other events
    scene = scenes.get(getattr(instruction.act, "scene", ""))
    scope, fields = _scope(instruction.act, scene)
    return HistoryEntry(
        index=recorded.index,
        at=instruction.at,
        scene=scene.title if scene else None,
        did=_did(instruction, scene, words),
        scope=scope,
        items=tuple(scene.fields[name].item.title for name in fields) if scene else (),
        locale=instruction.wording.locale,
        digest=instruction.wording.digest.hex(),
        evidence=_evidence(instruction, words),
    )


def _evidence(instruction: Instruction, words: Mapping[str, Words]) -> str:
    """How an act came about: its class, or that the company gave it or took it over."""
    if type(instruction.act) in acts.OF_THE_COMPANY:
        return COMPANY
    if instruction.evidence is EvidenceClass.IMPORTED:
        for why, known in (("limited", COMPANY), ("renamed", RENAMED)):
            if _is_explained_by(instruction, why, words):
                return known
    return instruction.evidence.value


def _is_explained_by(instruction: Instruction, why: str, words: Mapping[str, Words]) -> bool:
    spoken = words.get(instruction.wording.locale)
    return spoken is not None and instruction.wording == wording.of_act(why, spoken)


def other_number(instructions: Iterable[Instruction]) -> datetime | None:
    """When the company last renamed the customer, or merged another record of them into this."""
    kinds = acts.Merged | acts.Renamed
    return max((each.at for each in instructions if isinstance(each.act, kinds)), default=None)


def _did(instruction: Instruction, scene: Scene | None, words: Mapping[str, Words]) -> str:
    if scene is not None and scene.unsaid:  # legitimate interest from the beginning
        return _objected(instruction) or _decided(instruction, words)
    return _decided(instruction, words)


def _objected(instruction: Instruction) -> str | None:
    """How an act is called in a scene in which nobody ever consented."""
    match instruction.act:
        case Granted():
            return "did.unobjected"
        case Withdrawn() if not gpc.is_by_signal(instruction):
            return "did.objected"
        case _:
            return None


def names() -> dict[str, str]:
    """What each act is called, as a message key, by the type that receipts state."""
    plain = {"granted": "switch.allow", "withdrawn": "switch.withdraw"}
    kinds = [each.__struct_config__.tag for each in get_args(acts.Act)]
    return {str(kind): f"did.{kind}" for kind in kinds} | plain


def _decided(instruction: Instruction, words: Mapping[str, Words]) -> str:
    match instruction.act:
        case Granted():
            return "did.allowed"
        case Withdrawn() if gpc.is_by_signal(instruction):
            return "did.withdrawn-by-signal"
        case Withdrawn():
            return "did.withdrawn"
        case Imported():
            return "did.imported"
        case SourceDeleted(into=str()):
            renamed = _is_explained_by(instruction, "renamed-to", words)
            return "did.renamed-to" if renamed else "did.merged-into"
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

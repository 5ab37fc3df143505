"""View models of the reads of a customer's data, and of explained decisions. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any

from gate.contracts.odcs import Text
from gate.contracts.scene import LegalBasis, ReadShape, Scene
from gate.contracts.source import SourceContract
from gate.decision.decide import Reason, View
from gate.readlog.writer import OWN
from steward.language import catalogue
from steward.oversight.explanations import Explained

PAGE_SIZE = 50
STATISTICS = ReadShape.STATISTICS.value  # the action of an entry
NOT_PERMITTED = "not-permitted"  # the reason of a question that was not for the one who asked
COUNTED = "counted"  # the view that a page has of what was only counted
Entry = tuple[int, Mapping[str, Any]]  # index in the read log, read-log entry


@dataclass(frozen=True, slots=True)
class ReadPart:
    """The items that one read answered in the same way."""

    view: str  # a View, or COUNTED
    items: tuple[Text, ...]


@dataclass(frozen=True, slots=True)
class ReadRow:
    index: int
    at: datetime
    service: (
        Text | None
    )  # None: recorded without one (the customer, or who may not ask for another)
    scene: Text  # empty of the customer's own access
    parts: tuple[ReadPart, ...]  # empty: refused outright
    reason: str
    action: str  # "evaluate", "named", "own", "read", "rows", "search", "statistics" or "table"
    delivery: str  # a Delivery
    on_behalf_of: str | None  # id of the person for whom the service asked


@dataclass(frozen=True, slots=True)
class ReadsPage:
    rows: tuple[ReadRow, ...]
    number: int
    more: bool


@dataclass(frozen=True, slots=True)
class Input:
    title: Text
    value: str
    view: str


@dataclass(frozen=True, slots=True)
class DecisionView:
    """A decision about the customer, as the service that made it explained it."""

    at: datetime
    service: Text
    scene: Text
    outcome: str
    reasons: tuple[str, ...]
    inputs: tuple[Input, ...]
    model: str
    entry: int  # of the read log: what it rests on
    tokens: int | None  # that the model read and wrote
    on_behalf_of: str | None


def page(
    entries: Iterable[Entry], source: SourceContract, scenes: Mapping[str, Scene], number: int
) -> ReadsPage:
    """Page `number`, from 1. `entries`: from the page's first entry on, newest first."""
    newest = [*islice(entries, PAGE_SIZE + 1)]
    rows = tuple(row(index, entry, source, scenes) for index, entry in newest[:PAGE_SIZE])
    return ReadsPage(rows, number, len(newest) > PAGE_SIZE)


def explained(
    decisions: Iterable[Explained], source: SourceContract, scenes: Mapping[str, Scene]
) -> list[DecisionView]:
    """The decisions that services explained, newest first, at most one page."""
    return [_decision(each, source, scenes) for each in islice(decisions, PAGE_SIZE)]


def _decision(
    decision: Explained, source: SourceContract, scenes: Mapping[str, Scene]
) -> DecisionView:
    explanation = decision.explanation
    scene = scenes.get(decision.scene)
    known = {each.id: each.title for each in scene.services} if scene else {}
    inputs = tuple(
        Input(_title(source, name), "" if value is None else str(value), decision.views[name])
        for name, value in explanation.inputs.items()
    )
    return DecisionView(
        at=decision.at,
        service=known.get(explanation.service, as_is(explanation.service)),
        scene=scene.title if scene else as_is(decision.scene),
        outcome=explanation.outcome,
        reasons=explanation.reasons,
        inputs=inputs,
        model=" ".join(
            filter(None, (explanation.model, explanation.model_version, explanation.prompt_version))
        ),
        entry=explanation.reading.index,
        tokens=explanation.tokens,
        on_behalf_of=explanation.on_behalf_of,
    )


def _title(source: SourceContract, name: str) -> Text:
    item = source.items.get(name)
    return item.title if item else as_is(name)


def row(
    index: int, entry: Mapping[str, Any], source: SourceContract, scenes: Mapping[str, Scene]
) -> ReadRow:
    views: Mapping[str, str] = entry["views"]
    if entry["action"] == STATISTICS:
        views = dict.fromkeys(entry["fields"], COUNTED)
    parts = [_part(view, views, source) for view in (*View, COUNTED)]
    if entry["action"] == STATISTICS and (scene := scenes.get(entry["scene"])):
        # The entry names the items alone. Which periods were due then, its release says.
        parts[-1] = ReadPart(COUNTED, (*parts[-1].items, *(each.title for each in scene.series)))
    return ReadRow(
        index=index,
        at=datetime.fromisoformat(entry["at"]),
        service=_service(entry["service"], scenes) if entry["service"] else None,
        scene=scenes[entry["scene"]].title if entry["scene"] in scenes else as_is(entry["scene"]),
        parts=tuple(part for part in parts if part.items),
        reason=_reason(entry, scenes),
        action=entry["action"],
        delivery=entry["delivery"],
        on_behalf_of=entry.get("on_behalf_of"),
    )


def _reason(entry: Mapping[str, Any], scenes: Mapping[str, Scene]) -> str:
    """An answer about many customers says `granted` also where the contract needs no consent."""
    if not entry["service"] and entry["action"] != OWN:
        return NOT_PERMITTED
    scene = scenes.get(entry["scene"])
    if scene is not None and entry["reason"] == Reason.GRANTED:
        return _OF_MANY[scene.legal_basis]
    return str(entry["reason"])


_OF_MANY = {
    LegalBasis.CONSENT: Reason.GRANTED,
    LegalBasis.CONTRACT: Reason.LEGAL_BASIS_CONTRACT,
    LegalBasis.OBLIGATION: Reason.LEGAL_OBLIGATION,
    LegalBasis.INTEREST: Reason.LEGITIMATE_INTEREST,
}


def _part(view: str, views: Mapping[str, str], source: SourceContract) -> ReadPart:
    named = [name for name, how in views.items() if how == view]
    titles = (source.items[n].title if n in source.items else as_is(n) for n in named)
    return ReadPart(view, tuple(titles))


def _service(id_: str, scenes: Mapping[str, Scene]) -> Text:
    known = {each.id: each.title for scene in scenes.values() for each in scene.services}
    return known.get(id_) or as_is(id_)


def as_is(id_: str) -> Text:
    """An id without a title in any contract, shown unchanged in every language."""
    return {catalogue.ENGLISH: id_}

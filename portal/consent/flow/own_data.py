"""A customer's own values, and for each what services are answered now. Pure view models.

Answers that are alike are one line: the same view and value, with the uses and services that get
it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from gate.contracts.odcs import Text
from gate.contracts.source import Item, SourceContract
from gate.decision.decide import View
from gate.reads.own_access import ForeseenAnswer, OwnRow
from portal.consent.flow.data_map import GIVEN
from portal.consent.flow.reads import COUNTED

_ORDER = (View.PERSONAL, View.GENERALISED, COUNTED, View.SYNTHETIC, View.WITHHELD)


@dataclass(frozen=True, slots=True)
class SeeingScene:
    """A use, and its services that are answered alike. `listed`: only in lists of customers."""

    id: str
    title: Text
    services: tuple[Text, ...]
    listed: bool


@dataclass(frozen=True, slots=True)
class SeenValue:
    """What some services are answered of an item. `view`: a View, or COUNTED.

    `value`: None if nothing is given, if the page shows no values, or if nothing is stored.
    """

    view: str
    value: str | None
    scenes: tuple[SeeingScene, ...]


@dataclass(frozen=True, slots=True)
class OwnItem:
    """One item. `value`: None where `OwnRow` has none."""

    name: str
    title: Text
    system: Text
    value: str | None
    is_text: bool
    read_by: tuple[Text, ...]  # services that may read it now, exactly or less exactly
    seen: tuple[SeenValue, ...]


def items(
    source: SourceContract, own: OwnRow | None, answered: Sequence[ForeseenAnswer]
) -> list[OwnItem]:
    """Every item of the source, in its order. `own`: None shows no values, also not drawn ones."""
    values = {} if own is None else own.values
    return [
        OwnItem(
            name=item.name,
            title=item.title,
            system=source.systems[item.system],
            value=_text(values.get(item.name)),
            is_text=item.free_text,
            read_by=_readers(item.name, answered),
            seen=_seen(item, answered, shows=own is not None),
        )
        for item in source.items.values()
    ]


def _seen(item: Item, answered: Sequence[ForeseenAnswer], *, shows: bool) -> tuple[SeenValue, ...]:
    alike: dict[tuple[str, str | None], dict[str, SeeingScene]] = {}
    for each in answered:
        for view, value in _answer(each, item.name):
            group = alike.setdefault((view, value if shows else None), {})
            use = _use(each)
            before = group.get(use.id)
            services = (*before.services, *use.services) if before else use.services
            group[use.id] = SeeingScene(use.id, use.title, services, use.listed)
    found = (SeenValue(*what, tuple(uses.values())) for what, uses in alike.items())
    return tuple(sorted(found, key=lambda each: _ORDER.index(each.view)))


def _readers(item: str, answered: Sequence[ForeseenAnswer]) -> tuple[Text, ...]:
    given = (each for each in answered if each.decision.views.get(item) in GIVEN)
    readers = {each.service: _title(each) for each in given if not each.scene.counts_everybody}
    return (*readers.values(),)


def _answer(answered: ForeseenAnswer, item: str) -> Iterator[tuple[str, str | None]]:
    """View and value of the item in this answer; nothing if the scene does not have the item."""
    if item not in answered.scene.fields:
        return
    view, value = answered.views.get(item, View.WITHHELD), _text(answered.values.get(item))
    if answered.is_read_alone:
        yield view, None if view is View.WITHHELD else value
    elif view is not View.PERSONAL:
        yield View.WITHHELD, None
    elif answered.scene.counts_everybody:
        yield COUNTED, None
    else:
        yield view, value


def _use(answered: ForeseenAnswer) -> SeeingScene:
    scene = answered.scene
    listed = not answered.is_read_alone and not scene.counts_everybody
    return SeeingScene(scene.id, scene.title, (_title(answered),), listed)


def _title(answered: ForeseenAnswer) -> Text:
    return next(each.title for each in answered.scene.services if each.id == answered.service)


def _text(value: Any) -> str | None:
    return None if value is None else str(value)

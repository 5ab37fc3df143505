"""Who has what: each recipient of a customer's data, what it was given, and what it may read. Pure.

A recipient is a service that a contract names or named, or one that was given something of the
customer's. What it was given are the customer's own values; drawn values and totals are not theirs.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from gate.contracts.odcs import Text
from gate.contracts.scene import Scene, Service
from gate.contracts.source import SourceContract
from portal.consent.centre import Centre, SceneCard
from portal.consent.flow.data_map import GIVEN, READING
from portal.consent.flow.reads import as_is

MAX_READS_COUNTED = 1000  # the newest of one customer that gave something
MAX_SCANNED = 10_000  # entries that are looked through for them, refusals and questions among them
SEARCH = "search"  # the action that gives the customer's number alone
ACT = "stopped"  # names the words that the customer saw: wording.shown_of_act


@dataclass(slots=True)
class GivenToOne:
    """What one service was given of a customer: each item, and when last.

    `listed`: when it last got their number in a list of customers.
    """

    items: dict[str, datetime] = field(default_factory=dict)
    last: datetime | None = None
    listed: datetime | None = None


@dataclass(frozen=True, slots=True)
class GivenAway:
    """By service; `complete`: whether these are all reads of the customer, not only the newest."""

    by_service: Mapping[str, GivenToOne]
    complete: bool

    @property
    def newest(self) -> int:
        return MAX_SCANNED


@dataclass(frozen=True, slots=True)
class HeldItem:
    title: Text
    last: datetime  # when the recipient was given it last


@dataclass(frozen=True, slots=True)
class Recipient:
    """One line of the page.

    `may_read`: whether a use lets it read something now; `counts`: whether one counts the customer
    in totals. `stops`: the uses that end if the customer
    stops it. `others`: who else may read less then, because they take part in the same uses.
    """

    id: str
    title: Text
    partner: bool | None  # None: no contract says, past or present
    held: tuple[HeldItem, ...]  # newest first
    last: datetime | None  # when it was given something last
    listed: datetime | None  # when it last got the customer's number in a list
    uses: tuple[SceneCard, ...]
    others: tuple[Text, ...]

    @property
    def may_read(self) -> bool:
        live = (each for each in self.uses if each.standing.live and not each.frozen)
        return any(not each.scene.counts_everybody for each in live)

    @property
    def counts(self) -> bool:
        return any(each.standing.live and each.scene.counts_everybody for each in self.uses)

    @property
    def stops(self) -> tuple[SceneCard, ...]:
        return tuple(card for card in self.uses if _stoppable(card))

    @property
    def locked(self) -> bool:
        """Whether it goes on reading after a stop, for a contract or by law."""
        return any(each.scene.locked for each in self.uses)


def given_away(entries: Iterable[Mapping[str, Any]]) -> GivenAway:
    """What each service was given. `entries`: of the read log, newest first."""
    found: defaultdict[str, GivenToOne] = defaultdict(GivenToOne)
    counted = 0
    for number, entry in enumerate(entries):
        if number >= MAX_SCANNED or counted >= MAX_READS_COUNTED:
            return GivenAway(found, complete=False)
        items = [name for name, view in entry["views"].items() if view in GIVEN]
        is_list = entry["action"] == SEARCH
        if not is_list and not (items and entry["action"] in READING):
            continue
        counted += 1
        one, at = found[entry["service"]], datetime.fromisoformat(entry["at"])
        if is_list:
            one.listed = one.listed or at
            continue
        one.last = one.last or at
        for name in items:
            one.items.setdefault(name, at)
    return GivenAway(found, complete=True)


def recipients(
    now: Centre, source: SourceContract, given: GivenAway, former: Iterable[Scene]
) -> list[Recipient]:
    """All recipients: partners first, then who may read now, then who was given something last.

    `former`: earlier versions of the contracts, which may name services that none names any more.
    """
    uses: defaultdict[str, list[SceneCard]] = defaultdict(list)
    named: dict[str, Service] = {}
    for card in now.cards:
        for service in card.scene.services:
            uses[service.id].append(card)
            named.setdefault(service.id, service)
    for scene in former:
        for service in scene.services:
            named.setdefault(service.id, service)
    everybody = [*dict.fromkeys((*named, *given.by_service))]
    rows = [_recipient(each, named, uses[each], source, given) for each in everybody]
    rows.sort(key=lambda each: each.last.timestamp() if each.last else 0.0, reverse=True)
    return sorted(rows, key=lambda each: (not each.partner, not each.may_read, not each.counts))


def _recipient(
    id_: str,
    named: Mapping[str, Service],
    uses: Sequence[SceneCard],
    source: SourceContract,
    given: GivenAway,
) -> Recipient:
    service, one = named.get(id_), given.by_service.get(id_, GivenToOne())
    titles = {name: source.items[name].title for name in one.items if name in source.items}
    held = [HeldItem(titles.get(name) or as_is(name), at) for name, at in one.items.items()]
    affected = {
        other.id: other.title
        for card in uses
        if _stoppable(card)
        for other in card.scene.services
        if other.id != id_
    }
    return Recipient(
        id=id_,
        title=service.title if service else as_is(id_),
        partner=None if service is None else service.partner,
        held=tuple(sorted(held, key=lambda each: each.last, reverse=True)),
        last=one.last,
        listed=one.listed,
        uses=tuple(uses),
        others=tuple(affected.values()),
    )


def _stoppable(card: SceneCard) -> bool:
    return not card.scene.locked and (card.standing.live or card.unasked)

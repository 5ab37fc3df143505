"""View models of the sovereignty centre, so that templates decide nothing. Pure."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from gate.contracts.odcs import Text
from gate.contracts.scene import Scene, SceneField
from ledger.events.reducer import ConsentState, SceneConsent
from portal.consent import wording


class SceneStatus(StrEnum):
    """The status of a scene. Each has a message of its own."""

    LOCKED = "locked"
    ALLOWED = "allowed"
    PARTLY = "partly"
    REFUSED = "refused"
    EXPIRED = "expired"

    @property
    def live(self) -> bool:
        return self in {SceneStatus.LOCKED, SceneStatus.ALLOWED, SceneStatus.PARTLY}


@dataclass(frozen=True, slots=True)
class Marks:
    """Scenes that a condition freezes, and scenes whose grant is superseded: known to the gate."""

    frozen: Collection[str] = frozenset()
    superseded: Collection[str] = frozenset()


NO_MARKS = Marks()


@dataclass(frozen=True, slots=True)
class SceneItemRow:
    """One item of one scene, with its own switch."""

    name: str
    title: Text
    use: Text
    system: Text
    allowed: bool
    fallback: str  # withhold, synthetic or generalise
    coarser: Text | None  # what is used instead, if that is allowed


@dataclass(frozen=True, slots=True)
class SceneCard:
    """One scene with its switch, and what happens without consent."""

    scene: Scene
    standing: SceneStatus
    until: datetime | None  # a live grant ends then
    since: datetime | None  # of the last instruction
    index: int | None  # of the last instruction: its receipt
    items: tuple[SceneItemRow, ...]
    words: str  # token of the wording shown
    frozen: bool  # a condition of the customer is met: nothing personal is read
    superseded: bool  # allowed before the contract was widened: inactive until allowed again

    @property
    def allowed_items(self) -> int:
        return sum(item.allowed for item in self.items)


@dataclass(frozen=True, slots=True)
class Centre:
    """The agreement of one customer, as the page shows it."""

    version: int  # of the agreement: how many instructions it is made of
    cards: tuple[SceneCard, ...]

    @property
    def switchable(self) -> int:
        return sum(not card.scene.locked for card in self.cards)

    @property
    def allowed(self) -> int:
        return sum(card.standing.live and not card.scene.locked for card in self.cards)


def centre(
    scenes: Mapping[str, Scene],
    systems: Mapping[str, Text],
    state: ConsentState | None,
    locale: str,
    at: datetime,
    marks: Marks = NO_MARKS,
) -> Centre:
    """The whole agreement at `at`."""
    cards = tuple(card(each, systems, state, locale, at, marks) for each in scenes.values())
    return Centre(state.seq if state else 0, cards)


def card(
    scene: Scene,
    systems: Mapping[str, Text],
    state: ConsentState | None,
    locale: str,
    at: datetime,
    marks: Marks = NO_MARKS,
) -> SceneCard:
    last = state.scenes.get(scene.id) if state else None
    granted = live_fields(scene, state, at)
    return SceneCard(
        scene=scene,
        standing=_standing(scene, granted, expired=isinstance(last, SceneConsent) and not granted),
        until=ends(scene, last) if isinstance(last, SceneConsent) and granted else None,
        since=last.at if last else None,
        index=last.index if last else None,
        items=tuple(_item(field, systems, scene, granted) for field in scene.fields.values()),
        words=wording.token(scene, locale),
        frozen=scene.id in marks.frozen,
        superseded=scene.id in marks.superseded,
    )


def live_fields(scene: Scene, state: ConsentState | None, at: datetime) -> Sequence[str]:
    """The fields under a live grant at `at`, in the contract's order; all of a locked scene."""
    if scene.locked:
        return [*scene.fields]
    last = state.scenes.get(scene.id) if state else None
    if not isinstance(last, SceneConsent) or ends(scene, last) <= at:
        return []
    return [name for name in scene.fields if name in last.fields]


def ends(scene: Scene, consent: SceneConsent) -> datetime:
    """When a grant ends: at its own end, at the latest when the contract's maximum is over."""
    longest = consent.at + scene.longest
    return min(consent.until, longest) if consent.until else longest


def _standing(scene: Scene, granted: Sequence[str], *, expired: bool) -> SceneStatus:
    if scene.locked:
        return SceneStatus.LOCKED
    if not granted:
        return SceneStatus.EXPIRED if expired else SceneStatus.REFUSED
    return SceneStatus.ALLOWED if len(granted) == len(scene.fields) else SceneStatus.PARTLY


def _item(
    field: SceneField, systems: Mapping[str, Text], scene: Scene, granted: Sequence[str]
) -> SceneItemRow:
    coarser = scene.fields[field.generalised_by] if field.generalised_by else None
    return SceneItemRow(
        name=field.item.name,
        title=field.item.title,
        use=field.use,
        system=systems[field.item.system],
        allowed=field.item.name in granted,
        fallback=field.fallback,
        coarser=coarser.item.title if coarser else None,
    )

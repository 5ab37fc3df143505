"""View models of the sovereignty centre, so that templates decide nothing. Pure."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from gate.contracts.odcs import Text
from gate.contracts.scene import LegalBasis, Scene, SceneField
from ledger.events.reducer import ConsentState, SceneConsent
from portal.consent import wording
from portal.web.i18n import Words


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
    """What the gate and the history know of scenes.

    `frozen`: those that a condition freezes, each with a message key that says why. `superseded`:
    those whose grant is. `excluded`: by scene, the items that were left out when it was allowed.
    """

    frozen: Mapping[str, str] = field(default_factory=dict)
    superseded: Collection[str] = frozenset()
    excluded: Mapping[str, Collection[str]] = field(default_factory=dict)


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
    frozen: str  # message key: why a condition lets nothing personal be read; empty: it does not
    superseded: bool  # allowed before the contract was widened: inactive until allowed again
    offers: tuple[str, ...]  # the items that pressing "Allowed" allows

    @property
    def label(self) -> str:
        """Message key: how the scene stands, in words."""
        return standing_key(self.scene, self.standing, said=self.said)

    @property
    def said(self) -> bool:
        """Whether the customer ever allowed the scene, or took it back."""
        return self.index is not None

    @property
    def unasked(self) -> bool:
        """Whether nothing is read although the customer never objected; they still can."""
        return self.scene.objectable and not self.said and not self.standing.live

    @property
    def allowed_items(self) -> int:
        return sum(item.allowed for item in self.items)

    @property
    def left_out(self) -> list[Text]:
        """The items that pressing "Allowed" does not allow, because they were left out before."""
        fields = self.scene.fields.values()
        return [each.item.title for each in fields if each.item.name not in self.offers]

    @property
    def partners(self) -> list[Text]:
        """Third parties that receive data in this scene."""
        return [each.title for each in self.scene.services if each.partner]


@dataclass(frozen=True, slots=True)
class Centre:
    """The agreement of one customer, as the page shows it."""

    version: int  # of the agreement: how many instructions it is made of
    cards: tuple[SceneCard, ...]

    @property
    def statistics(self) -> SceneCard | None:
        """The use that counts everybody who does not object, if the company has one."""
        return next((card for card in self.cards if card.scene.counts_everybody), None)

    @property
    def switchable(self) -> int:
        return sum(card.scene.needs_consent for card in self.cards)

    @property
    def allowed(self) -> int:
        return sum(card.standing.live and card.scene.needs_consent for card in self.cards)


def centre(
    scenes: Mapping[str, Scene],
    systems: Mapping[str, Text],
    state: ConsentState | None,
    spoken: Words,
    at: datetime,
    marks: Marks = NO_MARKS,
) -> Centre:
    """The whole agreement at `at`."""
    cards = tuple(card(each, systems, state, spoken, at, marks) for each in scenes.values())
    return Centre(state.seq if state else 0, cards)


def card(
    scene: Scene,
    systems: Mapping[str, Text],
    state: ConsentState | None,
    spoken: Words,
    at: datetime,
    marks: Marks = NO_MARKS,
) -> SceneCard:
    last = state.last(scene.id) if state else None
    granted = live_fields(scene, state, at)
    return SceneCard(
        scene=scene,
        standing=_standing(scene, granted, expired=isinstance(last, SceneConsent) and not granted),
        until=_until(scene, last) if granted else None,
        since=last.at if last else None,
        index=last.index if last else None,
        items=tuple(_item(field, systems, scene, granted) for field in scene.fields.values()),
        words=wording.token(scene, spoken),
        frozen=marks.frozen.get(scene.id, ""),
        superseded=scene.id in marks.superseded,
        offers=offered(scene, granted, marks.excluded.get(scene.id, ())),
    )


def live_fields(scene: Scene, state: ConsentState | None, at: datetime) -> Sequence[str]:
    """The fields that may be read at `at`, in the contract's order.

    All of a locked scene, those under a live grant, and those that legitimate interest lets be read
    of a customer who said nothing and was never erased.
    """
    if scene.locked:
        return [*scene.fields]
    last = state.last(scene.id) if state else None
    if last is None:
        return () if state and state.returned else scene.unsaid
    if not isinstance(last, SceneConsent) or ends(scene, last) <= at:
        return []
    return [name for name in scene.fields if name in last.fields]


def offered(scene: Scene, live: Collection[str], left_out: Collection[str]) -> tuple[str, ...]:
    """The items that pressing "Allowed" allows.

    All of them if some are allowed now: that is how a customer widens. Else all but those that were
    left out before.
    """
    rest = tuple(name for name in scene.fields if live or name not in left_out)
    return rest or tuple(scene.fields)


def ends(scene: Scene, consent: SceneConsent) -> datetime:
    """When a grant ends: at its own end, at the latest when the contract's maximum is over."""
    longest = consent.at + scene.longest
    return min(consent.until, longest) if consent.until else longest


def standing_key(scene: Scene, standing: SceneStatus, *, said: bool) -> str:
    """The message that says how a scene stands; an objection is called one.

    `said`: whether the customer decided about the scene. Who did not is read, or is not where
    silence does not cover it; neither is an objection.
    """
    match standing:
        case SceneStatus.LOCKED if scene.legal_basis is LegalBasis.OBLIGATION:
            return "standing.obligation"
        case SceneStatus.ALLOWED if scene.objectable:
            return "standing.unobjected"
        case SceneStatus.PARTLY if scene.objectable and said:
            return "standing.partly-objected"
        case SceneStatus.REFUSED if scene.unsaid and said:
            return "standing.objected"
        case _:
            return f"standing.{standing}"


def _until(scene: Scene, last: object) -> datetime | None:
    """The day on which a live grant ends; under legitimate interest none does by itself."""
    if not isinstance(last, SceneConsent) or (scene.objectable and last.until is None):
        return None
    return ends(scene, last)


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

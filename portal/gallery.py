"""Shows every component of the pages by itself, with made-up data: in the demonstration only.

    /components            the list
    /components/card       a scene's card in each status

They are the templates that the pages include, so a component looks the same here.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from gate.contracts.scene import Scene
from ledger.events.reducer import ConsentState, SceneConsent
from portal.auth.session import Notice
from portal.consent.centre import Centre, Marks, SceneCard, card
from portal.desk.tables import Figure
from portal.web.chart import ChartLine, chart
from portal.web.i18n import Words
from portal.web.pages import context, page, words
from portal.web.problems import NotFoundError

router = APIRouter(prefix="/components", include_in_schema=False)

Facts = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class GalleryStage:
    """The contracts, language and time from which a component's data is made up."""

    scenes: tuple[Scene, ...]  # those that can be switched
    locked: Scene
    systems: Mapping[str, Any]
    spoken: Words
    at: datetime

    def card(self, number: int, granted: int, *, days: int = 0, **marks: bool) -> SceneCard:
        """The card of a scene whose first `granted` items were granted `days` ago."""
        scene = self.scenes[number]
        fields = frozenset([*scene.fields][:granted])
        consent = SceneConsent(fields, None, self.at - timedelta(days=days), 7)
        consents = {scene.id: consent} if fields else {}
        state = ConsentState("c00000", 1, bytes(32), consents)
        frozen = {scene.id: "card.frozen"} if marks.get("frozen") else {}
        superseded = {scene.id} if marks.get("superseded") else set[str]()
        excluded = {scene.id: [*scene.fields][:1]} if marks.get("excluded") else {}
        made = Marks(frozen, superseded, excluded)
        return card(scene, self.systems, state, self.spoken, self.at, made)


def _cards(stage: GalleryStage) -> Facts:
    everything = 99
    cards = (
        stage.card(0, everything),
        stage.card(1, 1),
        stage.card(2, 0, excluded=True),
        stage.card(3, everything, days=4000),
        stage.card(4, 0, superseded=True),
        stage.card(5, everything, frozen=True),
        card(stage.locked, stage.systems, None, stage.spoken, stage.at),
    )
    return {"centre": Centre(3, cards)}


def _notices(stage: GalleryStage) -> Facts:
    shown = stage.card(0, 99)
    return {"card": shown, "notice": Notice(shown.scene.id, "notice.allowed", 7), "undo": True}


def _figures(_: GalleryStage) -> Facts:
    good = Figure("coverage", 61.5, 60, False), Figure("freshness", None, 90, False)
    return {"figures": (*good, Figure("dependence", 58.25, 50, True))}


def _chart(_: GalleryStage) -> Facts:
    lines = [
        ChartLine("mean", (0.004, 0.006, 0.011, None)),
        ChartLine("p95", (0.01, 0.017, 0.031, 0.04)),
    ]
    return {"chart": chart(["1%", "5%", "10%", "30%"], lines)}


def _nothing(_: GalleryStage) -> Facts:
    return {}


COMPONENTS: Mapping[str, Callable[[GalleryStage], Facts]] = {
    "card": _cards,
    "overview": _cards,
    "notice": _notices,
    "conflict": _nothing,
    "problem": lambda _: {"slug": "not-found"},
    "figures": _figures,
    "chart": _chart,
    "pages": lambda _: {"rows": {"number": 2, "pages": 5}},
    "controls": _nothing,
    "verdict": _nothing,
}


@router.get("")
def listed(request: Request) -> Response:
    _require_demo(request)
    return page(request, "shared/components.html", names=[*COMPONENTS], name=None)


@router.get("/{name}")
def shown(request: Request, name: str) -> Response:
    _require_demo(request)
    if (made := COMPONENTS.get(name)) is None:
        raise NotFoundError
    facts: dict[str, Any] = {"notice": None, "undo": None, "fragment": False, "conflict": False}
    facts |= {"hand": None, "elsewhere": False, "recovery": None, "signs": False}
    facts |= made(_stage(request))
    return page(request, "shared/components.html", names=[*COMPONENTS], name=name, **facts)


def _stage(request: Request) -> GalleryStage:
    here = context(request)
    scenes = [*here.product.scenes.values()]
    return GalleryStage(
        tuple(each for each in scenes if not each.locked),
        next(each for each in scenes if each.locked),
        here.product.source.systems,
        words(request),
        here.clock(),
    )


def _require_demo(request: Request) -> None:
    if not context(request).product.settings.demo:
        raise NotFoundError

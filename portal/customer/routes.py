"""Routes of the pages on which a customer decides. Decisions are in portal.consent."""

from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Form
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from gate.contracts.scene import Scene
from gate.contracts.triggers import ReportedSignal
from gate.decision.decide import Reason
from gate.reads.point import Gate
from gate.reads.request import ReadRequest
from gate.state import consent_bits
from ledger.events.envelope import TriggerSet
from ledger.events.reducer import ConsentState
from portal.auth import handoff
from portal.auth.session import Notice, Session
from portal.consent import (
    acts,
    departure,
    exclusions,
    gpc,
    terms,
    word_changes,
)
from portal.consent import conditions as triggers
from portal.consent.acts import Wish
from portal.consent.centre import Centre, Marks, SceneCard, centre
from portal.customer import key_routes, receipts, signing
from portal.signin.current_customer import KnownScene, Me
from portal.web.pages import PortalContext, context, page, partial, session, words
from portal.web.problems import INSTEAD_OF_THE_PAGE, answer, reads_pages

router = APIRouter(prefix="/customer", include_in_schema=False)

Field = Annotated[str, Form()]


@router.get("")
def show_centre(request: Request, me: Me) -> Response:
    return _centre(request, me)


@router.get("/scenes/{scene}")
def show_scene(request: Request, me: Me, scene: KnownScene) -> Response:
    return _scene(request, me, scene)


@router.post("/scenes/{scene}/undo")
def undo(
    request: Request, me: Me, scene: KnownScene, version: Field, words: Field, back: Field = ""
) -> Response:
    pressed = acts.button(scene, Wish.WITHDRAW, None, words, version, context(request).words)
    wanted = acts.wanted_back(me, pressed, context(request).clock())
    return _record(request, me, wanted, Notice(scene.id, "notice.undo-over"), back)


@router.post("/scenes/{scene}/{wish}")
def switch_scene(
    request: Request,
    me: Me,
    scene: KnownScene,
    wish: Wish,
    version: Field,
    words: Field,
    back: Field = "",
) -> Response:
    return _press(
        request, me, acts.button(scene, wish, None, words, version, context(request).words), back
    )


@router.post("/scenes/{scene}/items/{item}/{wish}")
def switch_item(
    request: Request,
    me: Me,
    scene: KnownScene,
    item: str,
    wish: Wish,
    version: Field,
    words: Field,
) -> Response:
    return _press(
        request, me, acts.button(scene, wish, item, words, version, context(request).words), "scene"
    )


@router.post("/scenes/{scene}/conditions/{place}/set")
def set_condition(
    request: Request,
    me: Me,
    scene: KnownScene,
    place: int,
    version: Field,
    words: Field,
    figure: Field = "",
) -> Response:
    return _condition(
        request,
        me,
        acts.button(scene, Wish.ALLOW, None, words, version, context(request).words),
        place,
        figure,
    )


@router.post("/scenes/{scene}/conditions/{place}/clear")
def clear_condition(
    request: Request, me: Me, scene: KnownScene, place: int, version: Field, words: Field
) -> Response:
    return _condition(
        request,
        me,
        acts.button(scene, Wish.ALLOW, None, words, version, context(request).words),
        place,
        None,
    )


@router.post("/notice/dismiss")
def dismiss(request: Request, me: Me, scene: Field = "", back: Field = "") -> Response:
    """Take the last act's notice away, and with it the undo."""
    me.notice = me.undo = None
    if partial(request):
        return Response(status_code=200)
    known = scene in context(request).product.scenes
    on_scene = known and back == "scene"
    place = (
        f"/customer/scenes/{scene}" if on_scene else f"/customer#{scene}" if known else "/customer"
    )
    return RedirectResponse(place, 303)


@router.post("/gpc")
def hear_signal(request: Request, me: Me) -> Response:
    """Record the browser's Global Privacy Control signal, which comes with a form of the page."""
    if gpc.asked(request):
        gpc.greet(request, me)
    return _centre(request, me) if partial(request) else RedirectResponse("/customer", 303)


@router.post("/handoff")
def hand_off(request: Request, me: Me) -> Response:
    """Make a code that signs this customer's phone in."""
    here = context(request)
    code = here.handoffs.open(me, here.clock())
    address = str(request.url_for("arrive"))
    picture = Markup(handoff.picture(f"{address}#{code}"))  # noqa: S704 - our own drawing
    facts: dict[str, Any] = {"code": code, "address": address, "picture": picture}
    return page(request, "customer/handoff.html", form={"again": "form"}, **facts)


async def conflict(request: Request, error: Exception) -> Response:
    """After a version conflict, show the present agreement for the customer to decide again."""
    me = session(request)
    if me is None or not reads_pages(request):
        return await answer(request, error)
    return _centre(request, me, status=409, conflict=True)


def _press(request: Request, me: Session, pressed: acts.Button, back: str) -> Response:
    here = context(request)
    product = here.product
    left_out = _excluded(request, me).get(pressed.scene.id, ())
    wanted = acts.wanted_switch(product.gate, product.ledger, me, pressed, here.clock(), left_out)
    unchanged = Notice(pressed.scene.id, "notice.unchanged", part=pressed.item or "")
    answered = _record(request, me, wanted, unchanged, back)
    if pressed.wish is Wish.ALLOW and gpc.asked(request):
        gpc.allowed(gpc.signalled(context(request).product), me, pressed.scene.id)
    return answered


def _condition(
    request: Request, me: Session, pressed: acts.Button, place: int, figure: str | None
) -> Response:
    product = context(request).product
    wanted = acts.wanted_condition(product.gate, product.ledger, me, pressed, place, figure)
    waits = place not in _reports(product.gate, pressed.scene)
    unchanged = Notice(pressed.scene.id, "notice.unchanged", part=f"condition-{place}")
    if wanted is not None:
        waiting = isinstance(wanted.act, TriggerSet) and waits
        key = "notice.condition-waits" if waiting else wanted.notice.key
        wanted = replace(wanted, notice=replace(unchanged, key=key))
    return _record(request, me, wanted, unchanged, "scene")


def _record(
    request: Request, me: Session, wanted: acts.Wanted | None, otherwise: Notice, back: str
) -> Response:
    """Record an act, or give it to the page's script to be signed first."""
    here, evidence = context(request), signing.asked(request)
    departure.require_present(me.agreement.history(here.product.ledger))
    if wanted is None:
        me.notice, me.undo = otherwise, None
    elif evidence is not None:
        departure.require_staying(here, me.subject, wanted.act)
        return signing.offer(request, me, wanted, evidence)
    else:
        with here.customer_locks.of(me.subject):
            departure.require_staying(here, me.subject, wanted.act)
            acts.record(here.product.ledger, me, wanted, here.clock())
        receipts.send_last(request, me)
    if evidence is not None:
        return Response(status_code=204)
    return _changed(request, me, otherwise.scene, back)


def _changed(request: Request, me: Session, name: str, back: str) -> Response:
    """The answer after an act: the changed fragment, or a redirect for pages without script."""
    scene = context(request).product.scenes[name]
    if not partial(request):
        on_scene = back == "scene"
        place = f"/customer/scenes/{scene.id}" if on_scene else f"/customer#{scene.id}"
        return RedirectResponse(place, 303)
    if back == "scene":
        return _scene(request, me, scene, template="customer/_scene.html")
    now = agreement_now(request, me)
    facts = _facts(request, me, scene.id)
    facts |= {"centre": now, "card": _card(now, scene), "fragment": True}
    return page(request, "customer/_answer.html", **facts)


def _centre(
    request: Request, me: Session, *, status: int = 200, conflict: bool = False
) -> Response:
    template = "customer/_centre.html" if partial(request) else "customer/centre.html"
    facts = _facts(request, me, *context(request).product.scenes)
    facts |= {"centre": agreement_now(request, me), "conflict": conflict}
    facts["signal"] = _signal_notice(request, me)
    response = page(request, template, status=status, **facts)
    if conflict and partial(request):
        response.headers.update(INSTEAD_OF_THE_PAGE)
    return response


def _scene(
    request: Request, me: Session, scene: Scene, template: str = "customer/scene.html"
) -> Response:
    now, gate = agreement_now(request, me), context(request).product.gate
    state = agreed(request, me)
    facts = _facts(request, me, scene.id) | {
        "centre": now,
        "card": _card(now, scene),
        "conflict": False,
        "conditions": triggers.conditions(scene, state, _reports(gate, scene)),
        "changes": _word_changes(request, me, scene),
    }
    return page(request, template, **facts)


def _word_changes(request: Request, me: Session, scene: Scene) -> word_changes.WordChanges | None:
    """What changed in the scene's words since the customer allowed it last."""
    here = context(request)
    given = word_changes.permission(me.agreement.history(here.product.ledger), scene.id)
    if given is None:
        return None
    digest = given[1].wording.digest
    seen = here.word_store.find([digest]).get(digest)
    return word_changes.changes(*given, seen, scene, here.words, here.contract_archive.all())


def _reports(gate: Gate, scene: Scene) -> dict[int, ReportedSignal]:
    """The last report of each signal that the scene's conditions watch."""
    with gate.lock:
        state, _ = gate.current(0)
        return {place: report for (id_, place), report in state.reports.items() if id_ == scene.id}


def _excluded(request: Request, me: Session) -> dict[str, frozenset[str]]:
    """By scene, the items that the customer left out when they last allowed it."""
    here = context(request)
    product = here.product
    history = me.agreement.history(product.ledger)
    return exclusions.excluded(history, here.word_store, product.scenes)


def _frozen(request: Request, me: Session, state: ConsentState | None) -> dict[str, str]:
    """The scenes that a condition of the customer freezes now, as the gate decides, and why."""
    here = context(request)
    asked = [
        ReadRequest(each.services[0].id, each.id, me.subject, (*each.fields,), here.clock())
        for each in here.product.scenes.values()
        if triggers.armed(each, state)
    ]
    gate = here.product.gate
    scenes, minute = here.product.scenes, consent_bits.minute(here.clock())
    return {
        each.scene: triggers.why_frozen(
            scenes[each.scene], state, _reports(gate, scenes[each.scene]), minute
        )
        for each in asked
        if gate.decide(each).reason is Reason.FROZEN
    }


def agreement_now(request: Request, me: Session) -> Centre:
    here: PortalContext = context(request)
    product = here.product
    state = agreed(request, me)
    superseded = terms.superseded(product.gate, me.subject)
    marks = Marks(_frozen(request, me, state), superseded, _excluded(request, me))
    systems, spoken = product.source.systems, words(request)
    return centre(product.scenes, systems, state, spoken, here.clock(), marks)


def _signal_notice(request: Request, me: Session) -> gpc.SignalNotice | None:
    here = context(request)
    if not gpc.asked(request):
        return None
    scenes = gpc.signalled(here.product)
    return gpc.notice(scenes, agreed(request, me), me, here.clock())


def agreed(request: Request, me: Session) -> ConsentState:
    product = context(request).product
    return terms.active(product.gate, me.subject, me.agreement.state(product.ledger))


def _card(now: Centre, scene: Scene) -> SceneCard:
    return next(card for card in now.cards if card.scene.id == scene.id)


def _facts(request: Request, me: Session, *scenes: str) -> dict[str, Any]:
    """The notice of the last act on one of these scenes, and whether it can be undone."""
    notice = me.take_notice(*scenes)
    shown: dict[str, Any] = {"notice": notice, "undo": me.undo, "fragment": False}
    return shown | key_routes.facts(request, me)

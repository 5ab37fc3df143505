"""Routes of the customer's pages. Decisions are in portal.consent."""

from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Form, Query
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
    history,
    seen_words,
    terms,
)
from portal.consent import conditions as triggers
from portal.consent.acts import Wish
from portal.consent.centre import Centre, Marks, SceneCard, centre
from portal.consent.flow import data_map, reads
from portal.customer import key_routes, receipts, signing
from portal.operations.wiring import Product
from portal.signin.current_customer import KnownScene, Me
from portal.web.pages import PortalContext, context, page, partial, session, words
from portal.web.problems import INSTEAD_OF_THE_PAGE, answer, reads_pages

router = APIRouter(prefix="/customer", include_in_schema=False)

Field = Annotated[str, Form()]
PageNumber = Annotated[int, Query(alias="page", ge=1, le=10**6)]


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


@router.post("/gpc")
def hear_signal(request: Request, me: Me) -> Response:
    """Record the browser's Global Privacy Control signal, which comes with a form of the page."""
    if gpc.asked(request):
        gpc.greet(request, me)
    return _centre(request, me) if partial(request) else RedirectResponse("/customer", 303)


@router.get("/history")
def show_history(request: Request, me: Me, number: PageNumber = 1) -> Response:
    product = context(request).product
    recorded = me.agreement.history(product.ledger)
    rows = history.page(recorded, product.scenes, number, context(request).words)
    shown = {each.index for each in rows.rows}
    seen = seen_words.of(
        (each for each in recorded if each.index in shown),
        context(request).word_store,
        product.scenes,
    )
    leaving = context(request).departures.of(me.subject)
    return page(
        request,
        "customer/history.html",
        rows=rows,
        seen=seen,
        departure=leaving,
        moved=departure.successor(recorded),
    )


@router.get("/reads")
def show_reads(request: Request, me: Me, number: PageNumber = 1) -> Response:
    product = context(request).product
    entries = product.reads_of(me.subject, (number - 1) * reads.PAGE_SIZE)
    rows = reads.page(entries, product.source, product.scenes, number)
    decided = context(request).explanations.of(me.subject) if number == 1 else []
    decisions = reads.explained(decided, product.source, product.scenes)
    opened = context(request).openings.of(me.subject) if number == 1 else []
    return page(
        request,
        "customer/reads.html",
        unlisted=not product.ledger.numbers([me.subject]),
        rows=rows,
        decisions=decisions,
        opened=opened,
        sampled=context(request).sampled.of(me.subject) if number == 1 else [],
        earlier=None if rows.more else product.unattributed_reads(),
        kept=None if rows.more else product.kept_reads(),
        missing=None if rows.more else product.missing_reads(),
        joined=_joined(product, me),
        moved=_moved(product, me),
        departure=context(request).departures.of(me.subject),
    )


@router.get("/map")
def show_map(request: Request, me: Me, item: str | None = None) -> Response:
    here = context(request)
    product = here.product
    state, at = _agreed(request, me), here.clock()
    counted = data_map.count(entry for _, entry in product.reads_of(me.subject))
    uses = data_map.uses(product.source, product.scenes, state, counted.reads, at)
    drawn = data_map.draw(product.source, product.scenes, uses, item)
    earlier = product.unattributed_reads()
    return page(
        request,
        "customer/map.html",
        flow=drawn,
        counted=counted,
        earlier=earlier,
        kept=product.kept_reads(),
        missing=product.missing_reads(),
        joined=_joined(product, me),
        moved=_moved(product, me),
        departure=here.departures.of(me.subject),
    )


def _joined(product: Product, me: Session) -> datetime | None:
    """When another number of the customer ended, under which more is recorded."""
    return history.other_number(each.event for each in product.ledger.history(me.subject))


def _moved(product: Product, me: Session) -> str | None:
    """The number that the customer has now, if the company gave up this one."""
    return departure.successor(me.agreement.history(product.ledger))


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
    answered = _record(request, me, wanted, Notice(pressed.scene.id, "notice.unchanged"), back)
    if pressed.wish is Wish.ALLOW and gpc.asked(request):
        gpc.allowed(gpc.signalled(context(request).product), me, pressed.scene.id)
    return answered


def _condition(
    request: Request, me: Session, pressed: acts.Button, place: int, figure: str | None
) -> Response:
    product = context(request).product
    wanted = acts.wanted_condition(product.gate, product.ledger, me, pressed, place, figure)
    waits = place not in _reports(product.gate, pressed.scene)
    if wanted is not None and isinstance(wanted.act, TriggerSet) and waits:
        notice = Notice(pressed.scene.id, "notice.condition-waits")
        wanted = replace(wanted, notice=notice)
    return _record(request, me, wanted, Notice(pressed.scene.id, "notice.unchanged"), "scene")


def _record(
    request: Request, me: Session, wanted: acts.Wanted | None, otherwise: Notice, back: str
) -> Response:
    """Record an act, or give it to the page's script to be signed first."""
    here, evidence = context(request), signing.asked(request)
    departure.require_present(me.agreement.history(here.product.ledger))
    if wanted is None:
        me.notice = otherwise
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
    facts = _facts(request, me) | {"centre": now, "card": _card(now, scene), "fragment": True}
    return page(request, "customer/_answer.html", **facts)


def _centre(
    request: Request, me: Session, *, status: int = 200, conflict: bool = False
) -> Response:
    template = "customer/_centre.html" if partial(request) else "customer/centre.html"
    facts = _facts(request, me) | {"centre": agreement_now(request, me), "conflict": conflict}
    facts["signal"] = _signal_notice(request, me)
    response = page(request, template, status=status, **facts)
    if conflict and partial(request):
        response.headers.update(INSTEAD_OF_THE_PAGE)
    return response


def _scene(
    request: Request, me: Session, scene: Scene, template: str = "customer/scene.html"
) -> Response:
    now, gate = agreement_now(request, me), context(request).product.gate
    state = _agreed(request, me)
    facts = _facts(request, me) | {
        "centre": now,
        "card": _card(now, scene),
        "conflict": False,
        "conditions": triggers.conditions(scene, state, _reports(gate, scene)),
    }
    return page(request, template, **facts)


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
    state = _agreed(request, me)
    superseded = terms.superseded(product.gate, me.subject)
    marks = Marks(_frozen(request, me, state), superseded, _excluded(request, me))
    systems, spoken = product.source.systems, words(request)
    return centre(product.scenes, systems, state, spoken, here.clock(), marks)


def _signal_notice(request: Request, me: Session) -> gpc.SignalNotice | None:
    here = context(request)
    if not gpc.asked(request):
        return None
    scenes = gpc.signalled(here.product)
    return gpc.notice(scenes, _agreed(request, me), me, here.clock())


def _agreed(request: Request, me: Session) -> ConsentState:
    product = context(request).product
    return terms.active(product.gate, me.subject, me.agreement.state(product.ledger))


def _card(now: Centre, scene: Scene) -> SceneCard:
    return next(card for card in now.cards if card.scene.id == scene.id)


def _facts(request: Request, me: Session) -> dict[str, Any]:
    """The notice of the last act, shown once, and the undo while it is offered."""
    notice, at = me.take_notice(), context(request).clock()
    undo = me.undo if me.undo and at < me.undo.deadline else None
    shown: dict[str, Any] = {"notice": notice, "undo": undo, "fragment": False}
    return shown | key_routes.facts(request, me)

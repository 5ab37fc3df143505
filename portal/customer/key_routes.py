"""Routes of the customer's own keys and of mandates. Decisions are in consent/keys.py."""

import logging
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Form, Path
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from ledger.events import canonical_json
from ledger.events.acts import (
    CustomerKey,
    KeyAct,
    KeyRecovered,
    KeyRemoved,
    MandateEnded,
    RecoveryCancelled,
    RecoveryRequested,
)
from ledger.events.reducer import ConsentState
from portal.auth import consent_keys
from portal.auth.passkeys import Challenge, PasskeyError
from portal.auth.session import Notice, Session
from portal.consent import acts, departure, keys, wording
from portal.consent.acts import Wanted, read_version
from portal.customer import receipts, signing
from portal.signin import routes
from portal.signin.current_customer import Me
from portal.signin.routes import JSON, Body
from portal.web.hosts import Hosts
from portal.web.pages import context, page, words
from portal.web.problems import ChangedWordsError, MalformedFormError, NotFoundError

router = APIRouter(prefix="/customer", include_in_schema=False)

log = logging.getLogger(__name__)

Field = Annotated[str, Form()]
Digest = Annotated[str, Path(pattern="^[0-9a-f]{64}$")]
KEYS, MANDATES = "/customer/keys", "/customer/mandates"
PLACE = "keys"  # where the notice of an act on keys is shown


@router.get("/keys")
def show(request: Request, me: Me) -> Response:
    here, state = context(request), _state(request, me)
    history = me.agreement.history(here.product.ledger)
    shown = facts(request, me) | {"notice": me.take_notice(PLACE)}
    active, version = keys.enrolled(state, history), state.seq if state else 0
    return page(request, "customer/keys.html", version=version, active_keys=active, **shown)


@router.post("/keys/options")
def offer(request: Request, me: Me, purpose: Field = keys.ENROL) -> Response:
    """The options for a new passkey, or the challenge that a browser key must sign.

    A device with an active key creates no second one, unless it replaces the first.
    """
    here, hosts = context(request), consent_host(request)
    known = here.credentials.of(me.subject)
    live = keys.authority(_state(request, me)).keys
    excluded = live if purpose == keys.ENROL else ()
    current = {key: each for key, each in known.items() if key in excluded}
    challenge, options = consent_keys.offer(hosts.party, me.label, current)
    return routes.begin(
        request, Challenge(challenge, me.subject), Response(options, media_type=JSON)
    )


@router.post("/keys")
def add(request: Request, me: Me, body: Body) -> Response:
    """Enrol a key that the browser created, or draft the act for another key to sign."""
    here, hosts = context(request), consent_host(request)
    asked, sent = routes.finish(request), _sent(body)
    if not isinstance(asked, Challenge) or asked.subject != me.subject:
        raise NotFoundError
    try:
        made = _made(request, me, sent, asked.value, hosts)
    except PasskeyError as error:
        log.warning("a key for consent was refused: %s", error)
        raise
    act = keys.act_for(_text(sent, "purpose"), made, _text(sent, "old"), me, here.clock())
    return _record(request, me, act, _text(sent, "words"), _text(sent, "version"), KEYS)


@router.post("/keys/{key}/remove")
def remove(request: Request, me: Me, key: Digest, words: Field, version: Field) -> Response:
    act = KeyRemoved(keys.active_key(_state(request, me), key))
    return _record(request, me, act, words, version, KEYS)


@router.post("/recovery/cancel")
def cancel_recovery(request: Request, me: Me, words: Field, version: Field) -> Response:
    return _record(request, me, RecoveryCancelled(_waiting(request, me)), words, version, KEYS)


@router.post("/recovery/complete")
def complete_recovery(request: Request, me: Me, words: Field, version: Field) -> Response:
    return _record(request, me, KeyRecovered(_waiting(request, me)), words, version, KEYS)


@router.get("/mandates")
def show_mandates(request: Request, me: Me) -> Response:
    here, state = context(request), _state(request, me)
    scenes = here.product.scenes
    shown = facts(request, me) | {
        "mandates": keys.mandates(state, scenes),
        "scenes": [each for each in scenes.values() if not each.locked],
        "notice": me.take_notice(PLACE),
        "version": state.seq if state else 0,
        "today": here.clock().date(),
    }
    return page(request, "customer/mandates.html", **shown)


@router.post("/mandates")
def give_mandate(
    request: Request,
    me: Me,
    words: Field,
    version: Field,
    key: Annotated[str, Form(max_length=4000)],
    until: Field,
    scene: Annotated[list[str], Form()] = [],  # noqa: B006 - the framework reads it, nobody writes
) -> Response:
    act = keys.mandate(_public_key(request, key), scene, until, context(request).product.scenes)
    return _record(request, me, act, words, version, MANDATES)


@router.post("/mandates/{mandate}/end")
def end_mandate(
    request: Request, me: Me, mandate: Digest, words: Field, version: Field
) -> Response:
    given_by = bytes.fromhex(mandate)
    if given_by not in keys.authority(_state(request, me)).mandates:
        raise NotFoundError(mandate)
    return _record(request, me, MandateEnded(given_by), words, version, MANDATES)


def facts(request: Request, me: Session) -> dict[str, Any]:
    """What every page of the centre shows about the customer's keys."""
    here, state, spoken = context(request), _state(request, me), words(request)
    hosts, recovery = here.hosts, keys.waiting(state)
    signs = hosts is not None and hosts.signs(request.headers)
    known = here.credentials.of(me.subject) if signs else {}
    request_to_sign = keys.signing_request(state, known, here.product.ledger.origin)
    return {
        "hosts": hosts,
        "signs": signs,
        "hand": request_to_sign if signs else None,
        "elsewhere": request_to_sign is not None and not signs,
        "recovery": recovery,
        "recovered_from": keys.ends_waiting(recovery) if recovery else None,
        "recovery_due": recovery is not None and keys.due(recovery, here.clock()),
        "departure": here.departures.of(me.subject),
        "moved": departure.successor(me.agreement.history(here.product.ledger)),
        "act_words": lambda act: wording.act_token(act, spoken),
    }


def consent_host(request: Request) -> Hosts:
    """Both hosts, if this request came to the one that signs. Raises NotFoundError."""
    hosts = context(request).hosts
    if hosts is None or not hosts.signs(request.headers):
        raise NotFoundError
    return hosts


def _record(
    request: Request, me: Session, act: KeyAct, token: str, version: str, back: str
) -> Response:
    """Record an act on keys, or give it to the page's script to be signed first."""
    here, evidence = context(request), signing.asked(request)
    departure.require_present(me.agreement.history(here.product.ledger))
    name = str(act.__struct_config__.tag)
    seen = wording.read_act_token(token, name, here.words)
    if seen is None:
        raise ChangedWordsError(name)
    wanted = Wanted(act, seen, read_version(version), Notice(PLACE, f"did.{name}"))
    if evidence is not None:
        return signing.offer(request, me, wanted, evidence)
    acts.record(here.product.ledger, me, wanted, here.clock())
    receipts.send_last(request, me)
    if isinstance(act, RecoveryRequested | KeyRecovered):
        receipts.warn(request, me, name)
    scripted = "text/html" not in request.headers.get("accept", "")
    return Response(status_code=204) if scripted else RedirectResponse(back, 303)


def _made(
    request: Request, me: Session, sent: Mapping[str, Any], challenge: bytes, hosts: Hosts
) -> CustomerKey:
    if sent.get("kind") == "browser":
        return consent_keys.made_in_browser(sent, challenge, hosts.party)
    made = sent.get("made")
    if not isinstance(made, dict):
        raise MalformedFormError("want the key that the browser created in `made`, found none")
    key, identifier = consent_keys.made_passkey(made, challenge, hosts.party)
    context(request).credentials.keep(me.subject, identifier, key.id)
    return key


def _public_key(request: Request, text: str) -> CustomerKey:
    """The key that somebody gave the customer. Raises MalformedFormError."""
    hosts = consent_host(request)
    try:
        key = msgspec.json.decode(text.strip().encode(), type=CustomerKey)
    except (msgspec.DecodeError, ValueError) as error:
        raise MalformedFormError(
            "want the text of a key, as its owner's page of keys shows it, found something else"
        ) from error
    if key.key.party != hosts.party:
        raise MalformedFormError(f"the key is for {key.rp[:80]!r}, want one for {hosts.party.id!r}")
    return key


def _waiting(request: Request, me: Session) -> bytes:
    recovery = keys.waiting(_state(request, me))
    if recovery is None:
        raise NotFoundError
    return recovery.request


def _state(request: Request, me: Session) -> ConsentState | None:
    return me.agreement.state(context(request).product.ledger)


def _sent(body: bytes) -> Mapping[str, Any]:
    try:
        answer = canonical_json.parse(body)
    except canonical_json.StrictJsonError as error:
        raise MalformedFormError(f"want strict JSON from the script: {error}") from error
    if not isinstance(answer, dict):
        raise MalformedFormError("want a JSON object from the script, found another value")
    return answer


def _text(sent: Mapping[str, Any], name: str) -> str:
    text = sent.get(name, "")
    if not isinstance(text, str):
        raise MalformedFormError(f"want text in {name!r}, found another value")
    return text

"""Routes of the developer's page and the API description; mounts the gate's application."""

import json
from collections.abc import Iterable, Sequence
from typing import Annotated

from fastapi import APIRouter, FastAPI, Form
from fastapi.openapi.utils import get_openapi
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gate.contracts.scene import Fallback, ReadShape, Scene
from gate.http import changes
from gate.http.access_tokens import AccessTokens
from gate.http.app import Authenticator, GateApp
from gate.http.dpop import Proofs
from gate.http.jwks import Jwks
from gate.http.token_issuer import KEYS, TOKEN, Issuer, IssuerApp
from gate.reads.bulk import formats
from gate.reads.point import Gate
from gate.reads.request import ReadRequest
from portal.operations.settings import Settings
from portal.operations.wiring import Product
from portal.service import agents, demokeys, description, tokens, usage, uses
from portal.service.api_keys import ApiKeys
from portal.signin import trial
from portal.web.pages import context, page
from portal.web.problems import NotFoundError

router = APIRouter(include_in_schema=False)
GATE_PATHS = (*description.OPERATIONS, changes.PATH, "/.well-known/authzen-configuration")
SHOWN_FIELDS = 2  # of the example on the page


def mount(app: FastAPI, product: Product) -> GateApp:
    """Mount the gate under its own paths, with the services' authentication, and its pages."""
    issuer = issuing(product) if product.settings.demo else None
    known = askers(product.gate)
    app.state.authenticator = authenticator(product.settings, known, issuer)
    places = product.settings.max_requests
    gate = GateApp(product.gate, app.state.authenticator, feed=product.changes, places=places)
    app.router.routes.extend(Route(path, gate) for path in GATE_PATHS)
    if issuer is not None:
        embedded = IssuerApp(issuer)
        app.router.routes.append(Route(TOKEN, embedded, methods=["POST"]))
        app.router.routes.append(Route(KEYS, embedded, methods=["GET"]))
    settings = product.settings
    agents.mount(app, here(settings), issuer.address if issuer else settings.token_issuer)
    app.router.routes.extend([*router.routes, *usage.router.routes, *uses.router.routes])
    return gate


def issuing(product: Product) -> Issuer:
    """The demonstration's token issuer. Raises NotADemonstrationError outside it."""
    settings = product.settings
    keys = demokeys.public(product.home, askers(product.gate))
    return Issuer(here(settings), keys, demonstration=settings.demo)


def authenticator(settings: Settings, known: Iterable[str], issuer: Issuer | None) -> Authenticator:
    """Accepts API keys, and tokens of the issuer in the settings; in the demonstration the fixed
    demo tokens and those of `issuer`. `known`: the services.
    """
    services = [*known]
    return tokens.Either(
        ApiKeys(settings.data_dir, services), _by_token(settings, services, issuer)
    )


def _by_token(settings: Settings, known: Sequence[str], issuer: Issuer | None) -> Authenticator:
    if settings.demo:
        demo = tokens.Tokens(tokens.demo_digests(known))
        return demo if issuer is None else tokens.Either(demo, _issued(issuer))
    if not settings.token_jwks:
        return tokens.Tokens({})  # without an issuer no service can authenticate
    return AccessTokens(
        Jwks(settings.token_jwks),
        issuer=settings.token_issuer,
        audience=settings.token_audience,
        proofs=Proofs(settings.address) if settings.address else None,
    )


def _issued(issuer: Issuer) -> AccessTokens:
    address = issuer.address
    return AccessTokens(issuer.jwks, issuer=address, audience=address, proofs=Proofs(address))


def here(settings: Settings) -> str:
    """The URL of the demonstration's gate."""
    return settings.address or f"http://localhost:{settings.port}"


def askers(gate: Gate) -> list[str]:
    """Every service that a contract names, or that may ask by the company's policy."""
    return [*dict.fromkeys([*services(gate.scenes.values()), *gate.options.may_ask_for])]


def services(scenes: Iterable[Scene]) -> list[str]:
    """Every service that a contract names, once each."""
    return [*dict.fromkeys(each.id for scene in scenes for each in scene.services)]


@router.get("/openapi.json")
def openapi(request: Request) -> Response:
    app: FastAPI = request.app
    document = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes
    )
    return JSONResponse(description.describe(document))


@router.get("/docs")
def docs(request: Request) -> Response:
    return _docs(request, _example(context(request).product), None)


@router.post("/docs")
def try_it(
    request: Request,
    service: Annotated[str, Form()],
    scene: Annotated[str, Form()],
    customer: Annotated[str, Form()],
) -> Response:
    """The demonstration's try-it form: a real read through the gate, logged like any other."""
    here = context(request)
    if not here.product.settings.demo:
        raise NotFoundError
    contract = here.product.scenes.get(scene)
    fields = (*contract.fields,) if contract else ()
    asked = ReadRequest(service, scene, customer, fields, here.clock())
    answer = formats.point(here.product.gate.read(asked))
    tried = {"service": service, "scene": scene, "customer": customer}
    told = json.dumps(answer, indent=2, ensure_ascii=False)
    return _docs(request, tried, told, form=tried)


def _example(product: Product) -> dict[str, str]:
    """A call that the company's contracts allow: of a scene whose answers show both views, if one
    does."""
    readable = [each for each in product.scenes.values() if ReadShape.POINT in each.shapes]
    both = [each for each in readable if each.fallback is Fallback.SYNTHETIC]
    scene = next(iter([*both, *readable, *product.scenes.values()]))
    customer = next(iter(trial.people(product)), "")
    return {"service": scene.services[0].id, "scene": scene.id, "customer": customer}


def _call(product: Product) -> dict[str, str]:
    """The example as a shell types it."""
    called = _example(product)
    fields = [*product.scenes[called["scene"]].fields][:SHOWN_FIELDS]
    asked = {"scene": called["scene"], "customer": called["customer"] or "…", "fields": fields}
    return {
        "address": here(product.settings),
        "token": f"demo-{called['service']}" if product.settings.demo else "$TOKEN",
        "body": json.dumps(asked, ensure_ascii=False),
    }


def _docs(
    request: Request,
    tried: dict[str, str],
    answer: str | None,
    form: dict[str, str] | None = None,
) -> Response:
    product = context(request).product
    return page(
        request,
        "service/docs.html",
        operations=description.OPERATIONS,
        problems=description.EVERY_PROBLEM,
        quotas=usage.quotas(product, tried["service"], context(request).clock()),
        answers=usage.lines(product, tried["service"]),
        scenes=product.scenes.values(),
        services=services(product.scenes.values()),
        answer=answer,
        tried=tried,
        call=_call(product),
        form=form,
    )

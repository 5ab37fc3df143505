"""Builds the web application: every page and API over one product."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

from fastapi import FastAPI
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware.gzip import GZipMiddleware
from starlette.types import Receive, Scope, Send

from gate.http.serving.latency import App
from ledger.service import VersionConflictError
from portal import gallery, home
from portal.consent import seen_words
from portal.customer import (
    departures,
    key_routes,
    leaving,
    mailed_links,
    own_data,
    passkeys,
    read_keys,
    receipts,
    recipients,
    records,
    signing,
    timeline,
)
from portal.customer import routes as customer
from portal.desk import case_routes, intake
from portal.desk import routes as desk
from portal.desk.office import Office
from portal.operations.job_results import JobResults
from portal.operations.readiness import checks
from portal.operations.readiness.probes import Probes
from portal.operations.wiring import Product
from portal.regulator import openings
from portal.regulator import routes as regulator
from portal.service import routes as service
from portal.service.routes import GATE_PATHS
from portal.signin import crossing
from portal.signin import routes as signin
from portal.web import health, problems
from portal.web.hosts import Hosts
from portal.web.pages import PortalContext
from portal.web.security import Guard

DESCRIPTION = "Ask before you read. Answers are marked field by field; every answer is journalled."


_ROUTED = (  # the first that fits answers
    home,
    health,
    signin,
    crossing,
    mailed_links,
    gallery,
    customer,
    signing,
    key_routes,
    passkeys,
    receipts,
    read_keys,
    recipients,
    own_data,
    records,
    timeline,
    leaving,
    departures,
    regulator,
    openings,
    desk,
    case_routes,
    intake,
)


class Portal(FastAPI):
    """The portal and the gate as one application.

    What services ask the gate passes none of the portal's middleware, which is for pages: sessions,
    policies for browsers, compression. Only on the consent host, which serves nothing but the
    centre, it does.
    """

    gate: App | None = None
    probes: Probes | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.probes is not None and self.probes.serves(scope):
            await self.probes(scope, receive, send)
            return
        if self.gate is not None and scope["type"] == "http" and scope["path"] in GATE_PATHS:
            hosts: Hosts | None = self.state.context.hosts
            if hosts is None or not hosts.signs(Headers(scope=scope)):
                await self.gate(scope, receive, send)
                return
        await super().__call__(scope, receive, send)


def create_app(
    product: Product,
    clock: Callable[[], datetime] | None = None,
    job_results: JobResults | None = None,
) -> Portal:
    """The portal and the gate of `product` as one application. `clock` returns the present time.

    `job_results`: results of the jobs that run meanwhile; without them `/healthz` is degraded.
    """
    app = Portal(
        title="Customer sovereignty",
        description=DESCRIPTION,
        docs_url=None,  # the framework's own page loads scripts from elsewhere
        redoc_url=None,
        openapi_url=None,  # portal.service describes the gate as well
    )
    context = PortalContext(product)
    context = replace(context, clock=clock) if clock else context
    app.state.context = context
    seen_words.keep(product, context.words)
    app.state.office = Office(product)
    results = app.state.job_results = job_results or JobResults(None)
    oldest = timedelta(minutes=product.settings.publication_minutes)
    app.probes = Probes(
        checks.of(product.gate, product.home, oldest, lambda: results.snapshot(context.clock()))
    )
    app.state.builds = leaving.builds(product, context.clock())
    for kind in (*problems.TABLE, HTTPException, Exception):
        app.add_exception_handler(kind, problems.answer)
    app.add_exception_handler(VersionConflictError, customer.conflict)
    app.add_middleware(Guard)
    app.add_middleware(GZipMiddleware, minimum_size=500, compresslevel=6)
    for each in _ROUTED:  # as they are: `include_router` would build every route once more
        app.router.routes.extend(each.router.routes)
    app.gate = service.mount(app, product)
    return app

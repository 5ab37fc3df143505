"""`GET /livez`, `/readyz`, `/readyz/pages`: for a supervisor and a load balancer.

    /livez          200 {"status":"alive","scheme":"https"}: the process answers
    /readyz         200 {"status":"ready","checks":{"clock":"ok","databases":"ok", …}}
                    503 {"status":"not ready","checks":{"source":"failed", …}}
    /readyz/pages   the same, only of what pages for customers cannot do without

Pages stay open while the source is down or nothing is published, because customers can withdraw
all the same: route their host by `/readyz/pages`, and services by `/readyz`.

`scheme` is how the request came, as far as the process knows. Behind a proxy with TLS it is `http`
if the proxy does not say otherwise (X-Forwarded-Proto): then cookies are not `Secure`.

The answers name checks only. Why one failed is in the log. They are answered before sessions and
whatever else stands around pages, and have room of their own in a busy server.
"""

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from portal.operations.readiness.checks import DATABASES, Check
from portal.operations.readiness.outcomes import CheckOutcome, CheckOutcomes

LIVE, READY, PAGES = "/livez", "/readyz", "/readyz/pages"
PATHS = (LIVE, READY, PAGES)

Scope = Mapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
App = Callable[[Any, Any, Any], Awaitable[None]]


class Probes:
    """An ASGI application of PATHS. `checks`: of portal.operations.readiness.checks."""

    def __init__(self, checks: Mapping[str, Check]) -> None:
        self._ready = CheckOutcomes(checks)
        self._pages = CheckOutcomes({DATABASES: checks[DATABASES]})

    def serves(self, scope: Scope) -> bool:
        return scope["type"] == "http" and scope["path"] in PATHS

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        if scope["method"] not in {"GET", "HEAD"}:
            await _send(send, 405, {"status": "want GET"}, (b"allow", b"GET, HEAD"))
            return
        if scope["path"] == LIVE:
            await _send(send, 200, {"status": "alive", "scheme": scope.get("scheme", "http")})
            return
        status, body = await self._answer(scope["path"])
        await _send(send, status, body)

    async def _answer(self, path: str) -> tuple[int, Mapping[str, Any]]:
        outcomes = await (self._ready if path == READY else self._pages).now()
        if all(each is CheckOutcome.OK for each in outcomes.values()):
            return 200, {"status": "ready", "checks": outcomes}
        return 503, {"status": "not ready", "checks": outcomes}


class Probed:
    """An application with its probes around it."""

    def __init__(self, app: App, probes: Probes) -> None:
        self._app, self._probes = app, probes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._probes.serves(scope):
            await self._probes(scope, receive, send)
        else:
            await self._app(scope, receive, send)


async def _send(
    send: Send, status: int, body: Mapping[str, Any], *more: tuple[bytes, bytes]
) -> None:
    data = json.dumps(body).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"cache-control", b"no-store"),
        (b"content-length", str(len(data)).encode()),
        *more,
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": data})  # the server leaves it out of a HEAD

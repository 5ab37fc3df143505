"""Serves the tools over streamable HTTP, to agents with an OAuth access token for this gate.

    POST /mcp                                          one message; the answer is JSON
    GET  /.well-known/oauth-protected-resource/mcp     who issues the tokens (RFC 9728)

The token is verified as the gate verifies it, and goes to the gate with each call of a tool. There
are no sessions: nothing that one request says counts for the next.
"""

import asyncio
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx2
from mcp.server.auth.middleware.bearer_auth import BearerAuthBackend, RequireAuthMiddleware
from mcp.server.auth.provider import AccessToken
from mcp.server.auth.routes import build_resource_metadata_url, create_protected_resource_routes
from mcp.server.lowlevel.server import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from pydantic import AnyHttpUrl
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from gate.decision.key_scope import AGENTS, KeyedService, KeyScopeError
from gate.http import connection
from gate.http.app import Authenticator
from gate.mcp import server
from gate.storage.api_keys import PREFIX

PATH = AGENTS
METADATA = f"/.well-known/oauth-protected-resource{PATH}"
MAX_BODY = 1 << 20  # bytes of one message


@dataclass(frozen=True, slots=True)
class AgentAccess:
    """Where agents come from. `issuer`: of their tokens; None if there is none to name."""

    address: str  # URL of this gate
    issuer: str | None
    authenticator: Authenticator


def application(access: AgentAccess, service_api: ASGIApp, version: str) -> Starlette:
    """The application at PATH and METADATA. `service_api`: serves the gate's HTTP API."""
    transport = httpx2.ASGITransport(_AsAgent(service_api), raise_app_exceptions=False)
    client = httpx2.AsyncClient(transport=transport, base_url=access.address)
    tools = _SingleExchange(server.build(client, _passed_on, version))
    resource, routes = AnyHttpUrl(f"{access.address.rstrip('/')}{PATH}"), list[Route]()
    metadata = None
    if access.issuer is not None:
        metadata = build_resource_metadata_url(resource)
        routes = create_protected_resource_routes(resource, [AnyHttpUrl(access.issuer)])
    protected = RequireAuthMiddleware(_SameOrigin(tools), [], metadata)
    scoped = _KeyScope(access.authenticator, protected)
    backend = BearerAuthBackend(_GateTokens(access.authenticator))
    return Starlette(
        routes=[Route(PATH, scoped, methods=["POST"]), *routes],
        middleware=[Middleware(AuthenticationMiddleware, backend=backend)],
    )


def _passed_on(context: server.Context) -> str:
    """The agent's own token."""
    sent: str = context.request.headers["authorization"] if context.request else ""
    return sent


class _GateTokens:
    """Verifies tokens as the gate does. Implements the SDK's TokenVerifier."""

    def __init__(self, authenticator: Authenticator) -> None:
        self._authenticator = authenticator

    async def verify_token(self, token: str) -> AccessToken | None:
        sent = b"Bearer " + token.encode("latin-1", "replace")
        service = self._authenticator.service({b"authorization": sent})
        return None if service is None else AccessToken(token=token, client_id=service, scopes=[])


class _KeyScope:
    """Refuses API keys that are for other endpoints."""

    def __init__(self, authenticator: Authenticator, app: ASGIApp) -> None:
        self._authenticator, self._app = authenticator, app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        if PREFIX.encode() in headers.get(b"authorization", b""):
            service = await asyncio.to_thread(self._authenticator.service, headers)
            try:
                if isinstance(service, KeyedService):
                    service.require_endpoint(PATH)
            except KeyScopeError as error:
                await _refused(str(error))(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _refused(detail: str) -> JSONResponse:
    problem = {
        "type": "urn:sovereign:problem:key-scope",
        "title": "Outside the scope of the API key",
        "status": 403,
        "detail": detail,
    }
    return JSONResponse(problem, 403, media_type="application/problem+json")


class _AsAgent:
    """Tells the service API that a tool asks, in a place that no client's request reaches."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        extensions = {**(scope.get("extensions") or {}), connection.AGENT: {}}
        await self._app({**scope, "extensions": extensions}, receive, send)


class _SameOrigin:
    """Refuses requests that a page of another site sends, as the MCP specification asks for."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        origin = headers.get("origin")
        if origin is None or urlsplit(origin).netloc == headers.get("host"):
            await self._app(scope, receive, send)
            return
        problem = {"error": "cross-site", "error_description": "send no Origin, or this host's"}
        await JSONResponse(problem, 403)(scope, receive, send)


class _SingleExchange:
    """Answers one message, in JSON, with a transport of its own."""

    def __init__(self, tools: Server[Any]) -> None:
        self._tools = tools

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        manager = StreamableHTTPSessionManager(
            self._tools, json_response=True, stateless=True, max_request_body_size=MAX_BODY
        )
        async with manager.run():
            await manager.handle_request(scope, receive, send)

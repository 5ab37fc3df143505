"""Serves the tools over streamable HTTP, to agents with an OAuth access token for this gate.

    POST /mcp                                          one message; the answer is JSON
    GET  /.well-known/oauth-protected-resource/mcp     who issues the tokens (RFC 9728)

The token is verified as the gate verifies it, and goes to the gate with each call of a tool. There
are no sessions: nothing that one request says counts for the next. While the keys of services
cannot be read, nobody is let in: 503.
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
from sqlalchemy.exc import SQLAlchemyError
from starlette.applications import Starlette
from starlette.authentication import AuthenticationError
from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from gate.decision.key_scope import AGENTS, KeyedService, KeyScopeError
from gate.http import connection
from gate.http.app import Authenticator
from gate.mcp import server
from gate.storage.api_keys import PREFIX
from ledger.storage.database import DatabaseError

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
        middleware=[Middleware(AuthenticationMiddleware, backend=backend, on_error=_nobody_known)],
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
        headers = {b"authorization": sent}
        try:
            if PREFIX.encode() in sent:  # looked up in a database
                service = await asyncio.to_thread(self._authenticator.service, headers)
            else:
                service = self._authenticator.service(headers)
        except (DatabaseError, SQLAlchemyError) as error:
            raise AuthenticationError from error
        return None if service is None else AccessToken(token=token, client_id=service, scopes=[])


def _nobody_known(_: HTTPConnection, __: AuthenticationError) -> JSONResponse:
    """The answer while the keys of services cannot be read, as the rest of the API gives it."""
    title, detail = "The keys of services cannot be read", "nothing was read: try again later"
    return _problem(503, "database-down", title, detail)


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
                title = "Outside the scope of the API key"
                await _problem(403, "key-scope", title, str(error))(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _problem(status: int, slug: str, title: str, detail: str) -> JSONResponse:
    """A problem (RFC 9457)."""
    problem = {"type": f"urn:sovereign:problem:{slug}", "title": title, "status": status}
    return JSONResponse(problem | {"detail": detail}, status, media_type="application/problem+json")


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

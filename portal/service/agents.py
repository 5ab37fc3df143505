"""Mounts the Model Context Protocol server for agents: gate.mcp.endpoint."""

import asyncio
from functools import cached_property
from importlib.metadata import version
from threading import Lock
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from fastapi import FastAPI
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

if TYPE_CHECKING:
    from gate.mcp.endpoint import AgentAccess

PATHS = {"/mcp": ["POST"], "/.well-known/oauth-protected-resource/mcp": ["GET", "OPTIONS"]}


def mount(app: FastAPI, address: str, issuer: str | None) -> None:
    """Serve agents under PATHS. `address`: URL of this gate. `issuer`: of the services' tokens."""
    agents = _Agents(app, address, issuer)
    app.router.routes.extend(Route(path, agents, methods=each) for path, each in PATHS.items())


class _Agents:
    """The application, built at its first request: its libraries take half a second to load."""

    def __init__(self, app: FastAPI, address: str, issuer: str | None) -> None:
        self._app, self._address, self._issuer = app, address, issuer
        self._lock = Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        application = await asyncio.to_thread(self._loaded)
        await application(scope, receive, send)

    def _loaded(self) -> ASGIApp:
        with self._lock:
            return self._application

    @cached_property
    def _application(self) -> ASGIApp:
        from gate.mcp import endpoint

        return endpoint.application(self._access, self._app, version("customer-sovereignty"))

    @property
    def _access(self) -> "AgentAccess":
        from gate.mcp.endpoint import AgentAccess

        named = urlsplit(self._issuer or "").scheme in {"http", "https"}
        issuer = self._issuer if named else None
        return AgentAccess(self._address, issuer, self._app.state.authenticator)

"""Security headers of every answer, and the refusal of cross-site writes.

Browsers state the origin of each request (Fetch Metadata). A write is accepted only from our own
pages: `Sec-Fetch-Site: same-origin`, or, from an older browser, an `Origin` with this host. Paths
of services are exempt: they use a bearer token and no cookie. The only cross-host write brings a
customer to the consent host: portal.web.hosts.
"""

from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from portal.auth.session import Session, Sessions
from portal.web.hosts import Hosts, served_on_consent_host
from portal.web.pages import context, unsaved_sessions
from portal.web.problems import BEARER_PATHS, CrossSiteError, NotFoundError, answer

SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
YEAR_S = 365 * 24 * 3600


class Guard:
    """Middleware: refuses cross-site writes, and adds the headers of every answer.

    It saves the sessions that a request changed before its answer leaves.

    It passes messages on and sends none of its own after them: an answer that breaks off inside the
    application breaks off for the client too. Starlette's `BaseHTTPMiddleware` would end it
    properly, and a cut table would look complete (G28).
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                if unsaved := unsaved_sessions(scope):
                    await run_in_threadpool(_save, unsaved)
                # Crash here: the session is saved, and nobody was answered.
                _add_headers(MutableHeaders(scope=message), request)
            await send(message)

        scope.setdefault("state", {})  # which the application shares with us
        refusal = await _refusal(request)
        await (refusal or self._app)(scope, receive, with_headers)


async def _refusal(request: Request) -> Response | None:
    """The answer to a request that must not reach the application; None if it may."""
    hosts = context(request).hosts
    if (
        crosses_sites(request)
        and _is_served(request)
        and not (hosts and hosts.comes_over(request.url.path, request.headers))
    ):
        return await answer(request, CrossSiteError())
    if hosts and hosts.signs(request.headers) and not served_on_consent_host(request.url.path):
        return await _elsewhere(request, hosts)
    return None


def _save(unsaved: Iterable[tuple[Sessions, Session]]) -> None:
    for sessions, session in unsaved:
        sessions.save(session)


def _add_headers(headers: MutableHeaders, request: Request) -> None:
    headers.setdefault("Cache-Control", "no-store")
    for name, value in HEADERS.items():
        headers.setdefault(name, value)
    if request.url.scheme == "https":
        headers["Strict-Transport-Security"] = f"max-age={2 * YEAR_S}; includeSubDomains"


async def _elsewhere(request: Request, hosts: Hosts) -> Response:
    """Redirect to the login host: the consent host serves only the centre."""
    if request.method not in SAFE_METHODS:
        return await answer(request, NotFoundError())
    query = f"?{request.url.query}" if request.url.query else ""
    return RedirectResponse(f"{hosts.login}{request.url.path}{query}", 303)


def crosses_sites(request: Request) -> bool:
    """Whether this is a write that does not come from one of our own pages."""
    if request.method in SAFE_METHODS or request.url.path.startswith(BEARER_PATHS):
        return False
    if (site := request.headers.get("sec-fetch-site")) is not None:
        return site != "same-origin"
    return urlsplit(request.headers.get("origin", "")).netloc != request.headers.get("host")


def _is_served(request: Request) -> bool:
    """Whether anything answers this method at this path; else the answer says what is wrong."""
    routes = request.app.router.routes
    return any(each.matches(request.scope)[0] is Match.FULL for each in routes)


def own_path(path: str) -> str:
    """`path` if it is a local path, else "/", so that no redirect leaves this site."""
    parts = urlsplit(path)
    local = path.startswith("/") and not path.startswith("//") and not parts.netloc
    return path if local and path.isprintable() and "\\" not in path else "/"

"""What every answer of the portal carries, and which requests never reach a route.

A browser says of each request where it comes from (Fetch Metadata). A request that writes is let
through only from our own pages: `Sec-Fetch-Site: same-origin`, or, from a browser too old to say,
an `Origin` that names this host. Services carry a bearer token and no cookie: their paths are
exempt. The one write that crosses hosts brings a customer to the consent host: see
portal.web.hosts.
"""

from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from portal.web.hosts import Hosts, served_on_consent_host
from portal.web.pages import faces
from portal.web.problems import CrossSiteError, NotFoundError, answer

SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}
BEARER_PATHS = ("/v1/", "/access/", "/token")
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
Next = Callable[[Request], Awaitable[Response]]


async def guard(request: Request, call_next: Next) -> Response:
    """ASGI middleware: refuse cross-site writes, then add the headers every answer carries."""
    hosts = faces(request).hosts
    if crosses_sites(request) and not (
        hosts and hosts.comes_over(request.url.path, request.headers)
    ):
        response = await answer(request, CrossSiteError())
    elif hosts and hosts.signs(request.headers) and not served_on_consent_host(request.url.path):
        response = await _elsewhere(request, hosts)
    else:
        response = await call_next(request)
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers.setdefault("Cache-Control", "no-store")
    if request.url.scheme == "https":
        response.headers["Strict-Transport-Security"] = f"max-age={2 * YEAR_S}; includeSubDomains"
    return response


async def _elsewhere(request: Request, hosts: Hosts) -> Response:
    """The consent host serves nothing but the centre; whatever else is asked for is next door."""
    if request.method not in SAFE_METHODS:
        return await answer(request, NotFoundError())
    query = f"?{request.url.query}" if request.url.query else ""
    return RedirectResponse(f"{hosts.login}{request.url.path}{query}", 303)


def crosses_sites(request: Request) -> bool:
    """Whether this is a write that one of our own pages did not ask for."""
    if request.method in SAFE_METHODS or request.url.path.startswith(BEARER_PATHS):
        return False
    if (site := request.headers.get("sec-fetch-site")) is not None:
        return site != "same-origin"
    return urlsplit(request.headers.get("origin", "")).netloc != request.headers.get("host")


def own_path(path: str) -> str:
    """`path` if it leads to a page of ours, else the first page: no redirect leaves this site."""
    parts = urlsplit(path)
    local = path.startswith("/") and not path.startswith("//") and not parts.netloc
    return path if local and path.isprintable() and "\\" not in path else "/"

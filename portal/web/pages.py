"""Renders pages: the context shared by all routes, the templates, and the reader's language."""

import gzip
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, PrefixLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse

from ledger.clock import now
from portal.auth.consent_keys import ConsentKeyStore
from portal.auth.handoff import Handoffs
from portal.auth.oidc import Client, Provider
from portal.auth.one_time import OneTimeStore
from portal.auth.passkeys import Passkeys
from portal.auth.session import COOKIE, Session, Sessions
from portal.operations import mail
from portal.operations.mail import CustomerMail
from portal.operations.replay_service import Replays
from portal.operations.wiring import Product, secret
from portal.web import i18n
from portal.web.hosts import Hosts
from portal.web.i18n import Words
from steward.oversight.authority_access import AuthorityAccesses
from steward.oversight.explanations import Explanations, StoredReadLogs

PORTAL = Path(__file__).parents[1]
HERE = PORTAL / "web"
STATIC = HERE / "static"
TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
AUDIENCES = ("customer", "desk", "regulator", "service")
LANGUAGE_COOKIE = "sovereign-language"
CROSS_WITHIN = timedelta(minutes=1)
BEGUN_FOR = timedelta(minutes=10)  # at the provider, or until a passkey answers


@dataclass(frozen=True, slots=True)
class StaticFile:
    """A static file, read and compressed once."""

    media_type: str
    digest: str
    raw: bytes
    squeezed: bytes  # gzip


@dataclass(frozen=True)
class PortalContext:
    """Everything that routes use. One per application."""

    product: Product
    sessions: Sessions
    handoffs: Handoffs
    clock: Callable[[], datetime] = now
    crossings: OneTimeStore[Any] = field(
        default_factory=lambda: OneTimeStore(CROSS_WITHIN)
    )  # see portal.signin.crossing
    begun: OneTimeStore[Any] = field(
        default_factory=lambda: OneTimeStore(BEGUN_FOR)
    )  # see portal.signin.routes

    @cached_property
    def provider(self) -> Provider | None:
        """The OpenID Connect provider, if the settings name one."""
        known = self.product.settings
        if not known.oidc_issuer:
            return None
        secret = known.oidc_client_secret.get_secret_value()
        client = Client(known.oidc_issuer, known.oidc_client_id, secret)
        return Provider(client, lambda: self.clock().timestamp())

    @cached_property
    def passkeys(self) -> Passkeys:
        return Passkeys(self.product.home / "passkeys.sqlite")

    @cached_property
    def hosts(self) -> Hosts | None:
        """The consent host and the login host, if the settings name both."""
        known = self.product.settings
        return Hosts(known.consent_origin, known.login_origin) if known.consent_origin else None

    @cached_property
    def post(self) -> CustomerMail | None:
        """Sends letters to customers, if the setting `mail` is set."""
        way = mail.sender(self.product.settings.mail)
        return CustomerMail(way) if way else None

    @cached_property
    def link_key(self) -> bytes:
        """The key that seals secrets in codes on printed receipts: portal.customer.paper."""
        return secret(self.product.home / "keys" / "receipt-link.key")

    @cached_property
    def credentials(self) -> ConsentKeyStore:
        return ConsentKeyStore(self.product.home / "passkeys.sqlite")

    @cached_property
    def explanations(self) -> Explanations:
        product = self.product
        return Explanations(product.register(), StoredReadLogs(product.home), product.ledger)

    @cached_property
    def replays(self) -> Replays:
        return Replays(self.product.home)

    @cached_property
    def openings(self) -> AuthorityAccesses:
        return AuthorityAccesses(self.product.register())

    @cached_property
    def words(self) -> Mapping[str, Words]:
        return i18n.load()

    @cached_property
    def templates(self) -> Environment:
        folders = {each: FileSystemLoader(PORTAL / each / "templates") for each in AUDIENCES}
        shared = {"shared": FileSystemLoader(HERE / "templates")}
        environment = Environment(
            loader=PrefixLoader(shared | folders),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        environment.globals |= {"asset": self.asset, "languages": i18n.LANGUAGES}
        return environment

    @cached_property
    def static(self) -> Mapping[str, StaticFile]:
        return {path.name: static_file(path) for path in STATIC.iterdir() if path.suffix in TYPES}

    def asset(self, name: str) -> str:
        """The URL of a static file, which contains its digest so that it can be cached forever."""
        return f"/static/{name}?v={self.static[name].digest}"


def static_file(path: Path) -> StaticFile:
    raw = path.read_bytes()
    digest = sha256(raw).hexdigest()[:12]
    return StaticFile(TYPES[path.suffix], digest, raw, gzip.compress(raw, 9, mtime=0))


def context(request: Request) -> PortalContext:
    """The application's context."""
    context: PortalContext = request.app.state.context
    return context


def words(request: Request) -> Words:
    """The catalogue of the reader's language: the chosen one, the browser's, or English."""
    accepted = request.headers.get("accept-language", "")
    return context(request).words[i18n.negotiate(request.cookies.get(LANGUAGE_COOKIE), accepted)]


def session(request: Request) -> Session | None:
    here = context(request)
    return here.sessions.find(request.cookies.get(COOKIE), here.clock())


def page(request: Request, template: str, *, status: int = 200, **facts: Any) -> HTMLResponse:
    """Render `template` for this reader."""
    spoken = words(request)
    shared = {
        "words": spoken,
        "say": spoken.say,
        "of": spoken.of,
        "session": session(request),
        "path": request.url.path,
        "demo": context(request).product.settings.demo,
    }
    body = context(request).templates.get_template(template).render(shared | facts)
    return HTMLResponse(
        body, status, headers={"Vary": "Accept-Language, Cookie, HX-Request, Sec-GPC"}
    )


def partial(request: Request) -> bool:
    """Whether the page's script (htmx) requests a fragment."""
    return request.headers.get("hx-request") == "true"

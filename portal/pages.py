"""How a page is made: the faces' shared context, the templates, and the reader's words in them."""

import gzip
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, PrefixLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse

from portal import i18n, mail
from portal.credential import Credentials
from portal.customer.handoff import Handoffs
from portal.hosts import Hosts
from portal.i18n import Words
from portal.mail import Post
from portal.oidc import Client, Provider
from portal.once import Once
from portal.passkey import Passkeys
from portal.product import Product, secret
from portal.regulator.period import Replays
from portal.session import COOKIE, Session, Sessions
from steward.explain import Explanations, KeptReadLogs
from steward.opening import Openings

HERE = Path(__file__).parent
STATIC = HERE / "static"
TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
AUDIENCES = ("customer", "desk", "regulator", "service")
LANGUAGE_COOKIE = "sovereign-language"
CROSS_WITHIN = timedelta(minutes=1)
BEGUN_FOR = timedelta(minutes=10)  # at the provider, or until a passkey answers


@dataclass(frozen=True, slots=True)
class StaticFile:
    """A file that pages load, read and compressed once."""

    media_type: str
    digest: str
    raw: bytes
    squeezed: bytes  # gzip


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


@dataclass(frozen=True)
class Faces:
    """Everything a route may use. One per application."""

    product: Product
    sessions: Sessions
    handoffs: Handoffs
    clock: Callable[[], datetime] = _now
    crossings: Once[Any] = field(default_factory=lambda: Once(CROSS_WITHIN))  # see portal.crossing
    begun: Once[Any] = field(default_factory=lambda: Once(BEGUN_FOR))  # see portal.signin

    @cached_property
    def provider(self) -> Provider | None:
        """Where people sign in outside the demonstration, if the settings name it."""
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
        """Where consent is signed and where people sign in, if the settings name both."""
        known = self.product.settings
        return Hosts(known.consent_origin, known.login_origin) if known.consent_origin else None

    @cached_property
    def post(self) -> Post | None:
        """Letters to customers, if the settings name a way out."""
        way = mail.sender(self.product.settings.mail)
        return Post(way) if way else None

    @cached_property
    def link_key(self) -> bytes:
        """Seals the secrets in the codes on printed receipts: see portal.customer.paper."""
        return secret(self.product.home / "keys" / "receipt-link.key")

    @cached_property
    def credentials(self) -> Credentials:
        return Credentials(self.product.home / "passkeys.sqlite")

    @cached_property
    def explanations(self) -> Explanations:
        product = self.product
        return Explanations(product.register(), KeptReadLogs(product.home), product.ledger)

    @cached_property
    def replays(self) -> Replays:
        return Replays(self.product.home)

    @cached_property
    def openings(self) -> Openings:
        return Openings(self.product.register())

    @cached_property
    def words(self) -> Mapping[str, Words]:
        return i18n.load()

    @cached_property
    def templates(self) -> Environment:
        folders = {each: FileSystemLoader(HERE / each / "templates") for each in AUDIENCES}
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
        """The address of a file in `static`, which changes with its bytes: cached for ever."""
        return f"/static/{name}?v={self.static[name].digest}"


def static_file(path: Path) -> StaticFile:
    raw = path.read_bytes()
    digest = sha256(raw).hexdigest()[:12]
    return StaticFile(TYPES[path.suffix], digest, raw, gzip.compress(raw, 9, mtime=0))


def faces(request: Request) -> Faces:
    found: Faces = request.app.state.faces
    return found


def words(request: Request) -> Words:
    """The reader's language: chosen before, else the browser's, else English."""
    accepted = request.headers.get("accept-language", "")
    return faces(request).words[i18n.negotiate(request.cookies.get(LANGUAGE_COOKIE), accepted)]


def session(request: Request) -> Session | None:
    here = faces(request)
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
        "demo": faces(request).product.settings.demo,
    }
    body = faces(request).templates.get_template(template).render(shared | facts)
    return HTMLResponse(
        body, status, headers={"Vary": "Accept-Language, Cookie, HX-Request, Sec-GPC"}
    )


def partial(request: Request) -> bool:
    """Whether the page's own script asked, for a fragment."""
    return request.headers.get("hx-request") == "true"

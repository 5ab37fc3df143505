"""Renders pages: the context shared by all routes, the templates, and the reader's language."""

import gzip
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
from jinja2 import Environment, FileSystemLoader, PrefixLoader, StrictUndefined
from pydantic import SecretStr
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.types import Scope

from gate.contracts.brand import LOGO_TYPES, ink_on
from ledger.clock import now
from portal.auth.consent_keys import ConsentKeyStore
from portal.auth.customer_locks import CustomerLocks
from portal.auth.departure_codes import DepartureCodes
from portal.auth.handoff import Handoffs
from portal.auth.mailed_links import MailedLinks
from portal.auth.oidc import Client, Pending, Provider
from portal.auth.one_time import OneTimeStore
from portal.auth.passkeys import Challenge, Passkeys
from portal.auth.returning_keys import ReturningKeys
from portal.auth.session import COOKIE, Identity, Session, Sessions
from portal.operations import mail
from portal.operations.mail import CustomerMail
from portal.operations.wiring import Product, secret
from portal.storage.departures import Departures
from portal.storage.sessions import SessionTable
from portal.storage.words import WordStore
from portal.web import i18n
from portal.web.hosts import Hosts
from portal.web.i18n import Words
from portal.web.replay_service import Replays
from steward.contracts.archive import ReadContracts
from steward.contracts.published import PublishedContracts
from steward.oversight.authority_access import AuthorityAccesses
from steward.oversight.explanations import Explanations, StoredReadLogs
from steward.oversight.sampled_entries import SampledEntries

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


Begun = Pending | Challenge  # what a browser begins, and must finish itself


class Crossing(msgspec.Struct, frozen=True):
    """Somebody on the way to the other host. `session`: the one they leave, by its digest."""

    who: Identity
    session: bytes
    to: str


@dataclass(frozen=True)
class PortalContext:
    """Everything that routes use. One per application."""

    product: Product
    clock: Callable[[], datetime] = now

    @cached_property
    def session_table(self) -> SessionTable:
        return SessionTable(self.product.home)

    @cached_property
    def sessions(self) -> Sessions:
        """The sessions of customers; the desk has its own."""
        return Sessions(self.session_table, length=self.product.settings.session)

    @cached_property
    def handoffs(self) -> Handoffs:
        return Handoffs(self.session_table, self.sessions)

    @cached_property
    def crossings(self) -> OneTimeStore[Crossing]:
        """See portal.signin.crossing."""
        return OneTimeStore(self.session_table, "crossing", Crossing, CROSS_WITHIN)

    @cached_property
    def begun(self) -> OneTimeStore[Begun]:
        """See portal.signin.routes."""
        return OneTimeStore(self.session_table, "begun", Begun, BEGUN_FOR)

    @cached_property
    def provider(self) -> Provider | None:
        """The customers' OpenID Connect provider, if the settings name one."""
        known = self.product.settings
        return self._provider(known.oidc_issuer, known.oidc_client_id, known.oidc_client_secret)

    @cached_property
    def desk_provider(self) -> Provider | None:
        """The stewards' provider: their own if the settings name one, else the customers'."""
        known = self.product.settings
        if not known.desk_oidc_issuer:
            return self.provider
        secret = known.desk_oidc_client_secret
        return self._provider(known.desk_oidc_issuer, known.desk_oidc_client_id, secret)

    def _provider(self, issuer: str, client: str, secret: SecretStr) -> Provider | None:
        if not issuer:
            return None
        registered = Client(issuer, client, secret.get_secret_value())
        return Provider(registered, lambda: self.clock().timestamp())

    @cached_property
    def customer_locks(self) -> CustomerLocks:
        return CustomerLocks()

    @cached_property
    def passkeys(self) -> Passkeys:
        return Passkeys(self.product.home)

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
        return ConsentKeyStore(self.product.home)

    @cached_property
    def departures(self) -> Departures:
        return Departures(self.product.home)

    @cached_property
    def departure_codes(self) -> DepartureCodes:
        return DepartureCodes(self.session_table)

    @cached_property
    def mailed_links(self) -> MailedLinks:
        return MailedLinks(self.session_table)

    @cached_property
    def returning_keys(self) -> ReturningKeys:
        return ReturningKeys(self.product.home, self.product.ledger)

    @cached_property
    def published(self) -> PublishedContracts:
        return PublishedContracts(self.product.ledger)

    @cached_property
    def contract_archive(self) -> ReadContracts:
        return ReadContracts(self.product.home)

    @cached_property
    def word_store(self) -> WordStore:
        return WordStore(self.product.home)

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
    def sampled(self) -> SampledEntries:
        return SampledEntries(self.product.register())

    @cached_property
    def words(self) -> Mapping[str, Words]:
        return i18n.load(self.product.company)

    @cached_property
    def templates(self) -> Environment:
        folders = {each: FileSystemLoader(PORTAL / each / "templates") for each in AUDIENCES}
        shared = {"shared": FileSystemLoader(HERE / "templates")}
        environment = Environment(
            loader=PrefixLoader(shared | folders),
            autoescape=True,
            auto_reload=False,  # messages are read once, so templates are, too
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        environment.globals["asset"] = self.asset
        return environment

    @cached_property
    def brand_style(self) -> StaticFile:
        """The company's colours as a style sheet; empty if it has none."""
        brand, rules = self.product.company.brand, list[str]()
        if brand.colour:
            rules.append(_coloured(brand.colour))
        if brand.dark_colour:
            rules.append(f"@media (prefers-color-scheme: dark) {{{_coloured(brand.dark_colour)}}}")
        elif brand.colour:  # or else it would hold on dark pages, too
            rules[0] = f"@media (prefers-color-scheme: light) {{{rules[0]}}}"
        return made_file("\n".join(rules).encode(), TYPES[".css"])

    @cached_property
    def brand_logo(self) -> StaticFile | None:
        """The company's logo, as it was when the portal started."""
        if (path := self.product.company.brand.logo) is None:
            return None
        return made_file(path.read_bytes(), LOGO_TYPES[path.suffix])

    @cached_property
    def static(self) -> Mapping[str, StaticFile]:
        return {path.name: static_file(path) for path in STATIC.iterdir() if path.suffix in TYPES}

    def asset(self, name: str) -> str:
        """The URL of a static file, which contains its digest so that it can be cached forever."""
        return f"/static/{name}?v={self.static[name].digest}"


def static_file(path: Path) -> StaticFile:
    return made_file(path.read_bytes(), TYPES[path.suffix])


def made_file(raw: bytes, media_type: str) -> StaticFile:
    digest = sha256(raw).hexdigest()[:12]
    return StaticFile(media_type, digest, raw, gzip.compress(raw, 9, mtime=0))


def _coloured(colour: str) -> str:
    return f":root {{ --brand: {colour}; --brand-ink: {ink_on(colour)}; }}"


def context(request: Request) -> PortalContext:
    """The application's context."""
    context: PortalContext = request.app.state.context
    return context


def words(request: Request) -> Words:
    """The catalogue of the reader's language: the chosen one, the browser's, or the company's."""
    accepted, known = ", ".join(request.headers.getlist("accept-language")), context(request).words
    return known[i18n.negotiate(request.cookies.get(LANGUAGE_COOKIE), accepted, [*known])]


def session(request: Request) -> Session | None:
    """The customer's session."""
    return find_session(request, context(request).sessions, request.cookies.get(COOKIE))


def find_session(request: Request, sessions: Sessions, token: str | None) -> Session | None:
    """The live session of a token: read once in a request, and saved before its answer leaves."""
    if not token:
        return None
    found = _sessions(request.scope)
    key = id(sessions), token
    if key not in found:
        found[key] = sessions, None  # for the page about it, if looking fails
        found[key] = sessions, sessions.find(token, context(request).clock())
    return found[key][1]


def forget_sessions(request: Request) -> None:
    """Forget the sessions of a request, because they were ended in it."""
    _sessions(request.scope).clear()


def unsaved_sessions(scope: Scope) -> list[tuple[Sessions, Session]]:
    """The sessions of a request that it changed or whose use is to be noted."""
    pairs = _sessions(scope).values()
    return [(within, each) for within, each in pairs if each and within.is_unsaved(each)]


def _sessions(scope: Scope) -> dict[tuple[int, str], tuple[Sessions, Session | None]]:
    found: dict[tuple[int, str], tuple[Sessions, Session | None]]
    found = scope.setdefault("state", {}).setdefault("sessions", {})
    return found


def page(
    request: Request,
    template: str,
    *,
    status: int = 200,
    form: Mapping[str, str] | None = None,
    **facts: Any,
) -> HTMLResponse:
    """Render `template` for this reader.

    `form`: what led here by POST, if looking again changes nothing (portal.home, REPEATED), so that
    the choice of another language comes back to the same answer.
    """
    spoken, here = words(request), context(request)
    shared = {
        "words": spoken,
        "languages": here.words,
        "say": spoken.say,
        "of": spoken.of,
        "session": session(request),
        "path": request.url.path,
        "address": _address(request, form),
        "form": form or {},
        "demo": here.product.settings.demo,
        "brand": here.product.company.brand,
        "brand_style": here.brand_style,
        "brand_logo": here.brand_logo,
    }
    body = here.templates.get_template(template).render(shared | facts)
    return HTMLResponse(
        body, status, headers={"Vary": "Accept-Language, Cookie, HX-Request, Sec-GPC"}
    )


def _address(request: Request, form: Mapping[str, str] | None) -> str:
    """Where the choice of another language leads: to this page, or to the one that led here."""
    url = request.url
    if request.method in {"GET", "HEAD"} or form:
        return url.path + (f"?{url.query}" if url.query else "")
    came = urlsplit(request.headers.get("referer", ""))
    ours = came.netloc == url.netloc
    return (came.path + (f"?{came.query}" if came.query else "") if ours else "") or "/"


def partial(request: Request) -> bool:
    """Whether the page's script (htmx) requests a fragment."""
    return request.headers.get("hx-request") == "true"

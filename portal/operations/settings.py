"""The product's settings. A flag overrides the environment (`SOVEREIGN_…`), which overrides
`sovereign.toml` in the working directory, which overrides `company.toml` of the company's folder.

`sovereign settings` prints the reference, docs/configuration.md.
"""

from collections.abc import Mapping
from datetime import timedelta
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Self
from urllib.parse import SplitResult, urlsplit

from pydantic import (
    BaseModel,
    Field,
    PlainSerializer,
    PlainValidator,
    SecretStr,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from gate.decision.quota import Quota
from ledger.verify.read_log_rules import MIN_DAYS
from portal.configuration import listener, privacy_limits
from portal.configuration.privacy_limits import PrivacyLimits
from portal.configuration.session_length import SessionLength
from portal.configuration.sources import FILE, PREFIX, StrictEnvironment, StrictFile
from synthetic.privacy.budget import PrivacyLoss

PORTS = {"http": 80, "https": 443}
LOCATION = r"^([A-Z]{2}(-[A-Z0-9]{1,3})?|EEA|EEA30|EEA31|EU27|EU28)?$"
# Members of a quota under their names of earlier versions, and as they are called now.
RENAMED_LIMITS = {
    "points_told": "points_alert",
    "share_told": "share_alert",
    "table_share_told": "table_share_alert",
}
UNIT, FLAG = "unit", "flag"  # of a setting, for the reference


SMALLEST, LARGEST = Fraction(1, 10**9), 10**3  # that any privacy loss has a use for
_WANTED = 'want a number from 1e-9 to 1000, such as 0.5 or "1/8"'


def _exact(number: Any) -> Fraction:
    """A number within SMALLEST and LARGEST: 0.5, "1/8", 1e-6."""
    text = str(number) if type(number) is not bool else ""
    try:
        read = Fraction(text if len(text) <= len(str(SMALLEST)) + 10 else "")
    except (ValueError, ZeroDivisionError) as error:
        raise ValueError(_WANTED) from error
    if not SMALLEST <= read <= LARGEST:
        raise ValueError(_WANTED)
    return read


Exact = Annotated[Fraction, PlainValidator(_exact), PlainSerializer(str)]


class Partner(BaseModel, frozen=True, extra="forbid"):
    """A company that receives data from the controller."""

    id: str
    name: str
    address: str
    email: str


def _setting(
    default: Any, description: str, example: str, unit: str = "", flag: str = "", **bounds: Any
) -> Any:
    """`example`: as it stands in sovereign.toml. `flag`: of `sovereign serve`."""
    more: dict[str, Any] = {UNIT: unit, FLAG: flag}
    return Field(
        default, description=description, examples=[example], json_schema_extra=more, **bounds
    )


class Settings(BaseSettings):
    """All settings, each with its default."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, toml_file=FILE, extra="forbid", frozen=True
    )

    data_dir: Path = _setting(
        Path("sovereign-data"),
        "folder with the ledger, the keys and the data; of every command that has --data-dir",
        '"/srv/sovereign"',
        flag="--data-dir",
    )
    company: str = _setting(
        "",
        "folder that defines the company: company.toml, sources, scenes, policy; the data"
        " directory remembers it",
        '"/etc/sovereign/company"',
        flag="--company",
    )
    origin: str = _setting(
        "",
        "name of the consent log; the company's if empty; never change it",
        '"bank.example/consent"',
    )
    host: str = _setting(
        "127.0.0.1",
        "address the portal and a gate of its own listen on",
        '"0.0.0.0"',
        flag="--host",
    )
    port: int = _setting(8000, "port the portal listens on", "443", flag="--port", ge=1, le=65535)
    gate_port: int = _setting(
        8100,
        "port that `sovereign gate serve` listens on; there its flag is --port",
        "8443",
        ge=1,
        le=65535,
    )
    max_connections: int = _setting(
        2000,
        "connections that are open at once, or as many as the process may open files, less 128;"
        " beyond, those that wait longest for a request are closed",
        "500",
        ge=16,
        le=100_000,
    )
    max_requests: int = _setting(
        128,
        "decisions and reads of one customer that are answered at once, and as many tables, and"
        " as many pages; more are told to come again (503)",
        "256",
        ge=1,
        le=10_000,
    )
    head_seconds: int = _setting(
        10, "a request whose head takes longer to arrive is closed", "5", "seconds", ge=1, le=120
    )
    idle_seconds: int = _setting(
        30, "a connection without a request is closed after", "75", "seconds", ge=1, le=3600
    )
    metrics_listen: str = _setting(
        "",
        "where `/metrics` is served in Prometheus' text format, apart from everything else: a port,"
        " reached from this host alone, or address:port; nowhere if empty. It names services,"
        " scenes and jobs, and no customer",
        '"9464"',
    )
    publication_minutes: int = _setting(
        60,
        "`/readyz` says that a process is not ready once the public logs were last written so long"
        " ago",
        "15",
        "minutes",
        ge=2,
        le=10_080,
    )
    demo: bool = _setting(
        False, "offer the labelled demo login and demo tokens", "true", flag="--trial"
    )

    database: str = _setting(
        "",
        "where all tables are, except those of the vault: postgresql://…; SQLite files"
        " in the data directory if empty. The data directory remembers it",
        '"postgresql://sovereign@db/bank"',
        repr=False,  # it may hold a password
    )
    vault_database: str = _setting(
        "",
        "where the vault's tables are, so that it has a backup of its own: postgresql://…"
        " of another database; a SQLite file in keys/ if empty. The data directory remembers it",
        '"postgresql://sovereign@db/vault"',
        repr=False,
    )
    source: str = _setting(
        "",
        "where personal rows are: postgresql://…, or a DuckDB, SQLite, CSV or Parquet file; what"
        " company.toml says if empty, else customers.duckdb in the data directory",
        '"postgresql://reader@db/customers"',
        repr=False,  # it may hold a password
    )

    quota: Mapping[str, Quota] = _setting(
        {},
        "what services may read: by service/scene, or default for all others;"
        " points_per_minute, rows_per_day, and thresholds that raise an alert: points_alert an"
        " hour, share_alert of all customers in one answer with ids, table_share_alert in one"
        " without",
        "{ default = { points_per_minute = 600 } }",
    )

    release_epsilon: Exact = _setting(
        PrivacyLimits().epsilon,
        "privacy loss of one synthetic release, at release_delta",
        "0.5",
        "epsilon",
    )
    release_delta: Exact = _setting(
        PrivacyLimits().delta,
        "chance with which release_epsilon may be exceeded; 1e-6 or less",
        "1e-7",
        "probability",
    )
    scene_rho_a_year: Exact = _setting(
        PrivacyLimits().scene.rho,
        "privacy loss of one scene's releases in a calendar year; each release states it",
        '"1/16"',
        "zCDP rho",
    )
    customer_rho_a_year: Exact = _setting(
        PrivacyLimits().year.rho,
        "privacy loss of one customer in a calendar year, over all scenes; whom a release would"
        " take beyond it is left out of it",
        '"1/8"',
        "zCDP rho",
    )
    customer_rho: Exact = _setting(
        PrivacyLimits().total.rho,
        "the same over all years; at most what is epsilon 10 at delta 1e-6",
        '"1/2"',
        "zCDP rho",
    )
    refit_days: int = _setting(
        92, "a scene's release is not made again before it is so old", "30", "days", ge=7, le=3650
    )
    refit_changes: int = _setting(
        50,
        "nor before so many customers gave instructions on the scene since; also what a first"
        " release waits for",
        "200",
        "customers",
        ge=50,
    )
    session_idle_minutes: int = _setting(
        30, "a session ends after so long without use", "10", "minutes", ge=1, le=120
    )
    session_hours: int = _setting(
        12, "a session ends after so long in any case", "8", "hours", ge=1, le=24
    )

    consent_origin: str = _setting(
        "",
        "where customers sign consent with their own keys: a host on which nobody signs in; no"
        " such keys if empty",
        '"https://consent.bank.example"',
    )
    login_origin: str = _setting(
        "",
        "where customers sign in; needed along with consent_origin, and on another host",
        '"https://privacy.bank.example"',
    )

    mail: str = _setting(
        "",
        "how copies of receipts reach customers: smtp://host:port, smtps://host:port or"
        " folder:path; none are sent if empty",
        '"smtps://mail.bank.example:465"',
        repr=False,  # it may hold a password
    )
    mail_from: str = _setting(
        "privacy@portal.invalid", "sender of letters to customers", '"privacy@bank.example"'
    )

    mail_sign_in: bool = _setting(
        False,
        "customers may sign in with a link by mail; whoever reads their mail can, too",
        "true",
    )

    controller_name: str = _setting(
        "",
        "legal name of the company that is responsible, for consent records; these are made only"
        " once this and the next five are set, here or in company.toml, or in the demonstration",
        '"Bank plc"',
    )
    controller_id: str = _setting("", "an IRI that names the company", '"https://bank.example"')
    controller_address: str = _setting(
        "", "the company's postal address, in one line", '"1 High Street, Dublin"'
    )
    controller_email: str = _setting(
        "", "where the company answers about personal data", '"privacy@bank.example"'
    )
    jurisdiction: str = _setting(
        "", "whose law applies: an ISO 3166 code such as IE, or EU, EEA", '"IE"', pattern=LOCATION
    )
    storage_location: str = _setting(
        "", "where personal data lies, in the same codes", '"EU"', pattern=LOCATION
    )
    partners: Mapping[str, Partner] = _setting(
        {},
        "companies that receive data, by service: id, name, address, email; one that is"
        " not named is reached care of the controller",
        '{ printer = { id = "https://printer.example", name = "Printer Ltd",'
        ' address = "2 Low Street", email = "privacy@printer.example" } }',
    )

    read_log_days: float = _setting(
        31,
        "a running process closes its read log and begins the next after so long",
        "7",
        "days",
        gt=0,
        le=366,
    )
    read_log_entries: int = _setting(
        10_000_000,
        "and after so many entries, if that is earlier",
        "1000000",
        "entries",
        ge=1,
    )
    reads_kept_days: int = _setting(
        0,
        "entries of read logs are removed so long after their log was closed, and not before the"
        " same time has passed since this was declared in the consent log: 30 or more; kept for"
        " ever if 0",
        "1095",
        "days",
        le=36_500,
    )

    timestamp_authority: str = _setting(
        "",
        "RFC 3161 authority that stamps each published checkpoint of the consent log; none if"
        " empty",
        '"https://tsa.example/tsr"',
    )
    timestamp_roots: str = _setting(
        "",
        "PEM file of the root certificates of that authority; needed with timestamp_authority",
        '"/etc/sovereign/tsa-roots.pem"',
    )

    job_every_s: Mapping[str, Annotated[float, Field(ge=0.5, le=86_400)]] = _setting(
        {},
        "time between the runs of a job, by its name in `sovereign jobs`",
        "{ publication = 30 }",
        "seconds",
    )

    shadow_every: int = _setting(
        1000,
        "one answer in so many is decided again by the full Cedar policy",
        "100",
        "answers",
        ge=1,
    )

    oidc_issuer: str = _setting(
        "", "OpenID Connect provider people sign in at", '"https://login.example"'
    )
    oidc_client_id: str = _setting("", "this portal's client id at the provider", '"portal"')
    oidc_client_secret: SecretStr = _setting(
        SecretStr(""),
        "the portal's secret at the provider; better in the environment than in a file",
        '"…"',
    )
    oidc_customer_claim: str = _setting(
        "sub", "claim that holds the customer's number", '"customer_number"'
    )
    oidc_roles_claim: str = _setting(
        "roles", "claim that holds a steward's role, as a text, or roles, as a list", '"groups"'
    )
    desk_oidc_issuer: str = _setting(
        "",
        "provider that stewards sign in at, where it is another than the customers'",
        '"https://staff.example"',
    )
    desk_oidc_client_id: str = _setting(
        "", "this portal's client id at the stewards' provider", '"desk"'
    )
    desk_oidc_client_secret: SecretStr = _setting(
        SecretStr(""),
        "the portal's secret at the stewards' provider; better in the environment than in a file",
        '"…"',
    )

    token_jwks: str = _setting(
        "",
        "public keys of the issuer of services' access tokens: a JWKS file or URL",
        '"https://login.example/jwks.json"',
    )
    token_issuer: str = _setting("", "issuer of services' access tokens", '"https://login.example"')
    token_audience: str = _setting(
        "", "this gate's name as audience of services' access tokens", '"https://gate.example"'
    )
    address: str = _setting(
        "",
        "URL of this gate for services; without it tokens bound to a key (DPoP) are refused",
        '"https://gate.example"',
    )

    @property
    def session(self) -> SessionLength:
        """How long people stay signed in."""
        idle = timedelta(minutes=self.session_idle_minutes)
        return SessionLength(idle, timedelta(hours=self.session_hours))

    @property
    def privacy(self) -> PrivacyLimits:
        """What releases may cost."""
        return PrivacyLimits(
            self.release_epsilon,
            self.release_delta,
            PrivacyLoss(self.scene_rho_a_year),
            PrivacyLoss(self.customer_rho_a_year),
            PrivacyLoss(self.customer_rho),
        )

    def at_home(self) -> Self:
        """Defaults for a demonstration on one machine: a second host name for customers' keys, and
        letters in a folder.
        """
        if self.consent_origin or self.login_origin:
            return self
        names = {
            "login_origin": f"http://localhost:{self.port}",
            "consent_origin": f"http://consent.localhost:{self.port}",
            "mail": self.mail or f"folder:{self.data_dir / 'letters'}",
        }
        return self.model_copy(update=names)

    @field_validator("quota", mode="before")
    @classmethod
    def _renamed_limits(cls, quotas: Any) -> Any:
        """Refuse a limit under its earlier name. Other forms are refused by the field's type."""
        for place, limits in quotas.items() if isinstance(quotas, Mapping) else ():
            for name in limits if isinstance(limits, Mapping) else ():
                if name in RENAMED_LIMITS:
                    raise ValueError(f"{place}.{name} is now called {RENAMED_LIMITS[name]}")
        return quotas

    @field_validator("metrics_listen")
    @classmethod
    def _listened(cls, where: str) -> str:
        if where:
            listener.address(where)
        return where

    @field_validator("reads_kept_days")
    @classmethod
    def _kept_long_enough(cls, days: int) -> int:
        if days < MIN_DAYS and days != 0:
            raise ValueError(f"reads_kept_days is {days}, want {MIN_DAYS} or more, or 0")
        return days

    @model_validator(mode="after")
    def _bounded_losses(self) -> Self:
        privacy_limits.require_bounded(self.privacy)
        return self

    @model_validator(mode="after")
    def _two_hosts(self) -> Self:
        """Check both origins: a sign-in page must not be able to ask for a consent signature."""
        consent, login = urlsplit(self.consent_origin), urlsplit(self.login_origin)
        if not (self.consent_origin or self.login_origin):
            return self
        for name, where in (("consent_origin", consent), ("login_origin", login)):
            if where.scheme not in {"http", "https"} or where.geturl() != _origin(where):
                raise ValueError(f"{name} is {where.geturl()!r}, want https://host without a path")
        if f".{login.hostname}".endswith(f".{consent.hostname}"):
            raise ValueError(
                f"login_origin is {login.geturl()!r}, want a host that is neither that of"
                f" {consent.geturl()!r} nor under it: its pages could use the keys for consent"
            )
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the framework's signature
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the framework's signature
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the same
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, StrictEnvironment(settings_cls), StrictFile(settings_cls)


def _origin(where: SplitResult) -> str:
    """The origin as browsers write it: lower case, without the scheme's default port."""
    port = "" if where.port in {None, PORTS.get(where.scheme)} else f":{where.port}"
    return f"{where.scheme}://{where.hostname}{port}"

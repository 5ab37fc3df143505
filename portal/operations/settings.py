"""The product's settings, from the environment (`SOVEREIGN_…`) and one TOML file."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self
from urllib.parse import SplitResult, urlsplit

from pydantic import BaseModel, Field, SecretStr, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from gate.decision.quota import Quota

PORTS = {"http": 80, "https": 443}
LOCATION = r"^([A-Z]{2}(-[A-Z0-9]{1,3})?|EEA|EEA30|EEA31|EU27|EU28)?$"
# Members of a quota under their names of earlier versions, and as they are called now.
RENAMED_LIMITS = {
    "points_told": "points_alert",
    "share_told": "share_alert",
    "table_share_told": "table_share_alert",
}


class SettingError(ValueError):
    """A setting names something that does not exist or cannot be used. The message says which."""


class Partner(BaseModel, frozen=True, extra="forbid"):
    """A company that receives data from the controller."""

    id: str
    name: str
    address: str
    email: str


class Settings(BaseSettings):
    """All settings. The environment overrides `sovereign.toml` in the working directory."""

    model_config = SettingsConfigDict(
        env_prefix="SOVEREIGN_", toml_file="sovereign.toml", extra="forbid", frozen=True
    )

    data_dir: Path = Field(
        Path("sovereign-data"), description="folder with the ledger, the keys and the data"
    )
    origin: str = Field(
        "demo.sovereign.example/consent", description="name of the consent log; never change it"
    )
    host: str = Field("127.0.0.1", description="address the portal listens on")
    port: int = Field(8000, ge=1, le=65535, description="port the portal listens on")
    demo: bool = Field(default=False, description="offer the labelled demo login and demo tokens")

    source: str = Field(
        "",
        description="where personal rows are: postgresql://… or a DuckDB file;"
        " customers.duckdb in the data directory if empty",
        repr=False,  # it may hold a password
    )

    quota: Mapping[str, Quota] = Field(
        {},
        description="what services may read: by service/scene, or default for all others;"
        " points_per_minute, rows_per_day, and thresholds that raise an alert: points_alert an"
        " hour, share_alert of all customers in one answer with ids, table_share_alert in one"
        " without",
    )

    consent_origin: str = Field(
        "",
        description="where customers sign consent with their own keys, e.g."
        " https://consent.bank.example: a host on which nobody signs in; no such keys if empty",
    )
    login_origin: str = Field(
        "",
        description="where customers sign in, e.g. https://privacy.bank.example; needed along with"
        " consent_origin, and on another host",
    )

    mail: str = Field(
        "",
        description="how copies of receipts reach customers: smtp://host:port, smtps://host:port or"
        " folder:path; none are sent if empty",
        repr=False,  # it may hold a password
    )
    mail_from: str = Field("privacy@portal.invalid", description="sender of letters to customers")

    controller_name: str = Field(
        "",
        description="legal name of the company that is responsible, for consent records; these"
        " are made only once this and the next five are set, or in the demonstration",
    )
    controller_id: str = Field(
        "", description="an IRI that names the company, e.g. https://bank.example"
    )
    controller_address: str = Field("", description="the company's postal address, in one line")
    controller_email: str = Field("", description="where the company answers about personal data")
    jurisdiction: str = Field(
        "",
        pattern=LOCATION,
        description="whose law applies: an ISO 3166 code such as IE, or EU, EEA",
    )
    storage_location: str = Field(
        "", pattern=LOCATION, description="where personal data lies, in the same codes"
    )
    partners: Mapping[str, Partner] = Field(
        {},
        description="companies that receive data, by service: id, name, address, email; one that is"
        " not named is reached care of the controller",
    )

    job_every_s: Mapping[str, Annotated[float, Field(ge=0.5, le=86_400)]] = Field(
        {}, description="seconds between the runs of a job, by its name in `sovereign jobs`"
    )

    shadow_every: int = Field(
        1000, ge=1, description="one answer in so many is decided again by the full Cedar policy"
    )

    oidc_issuer: str = Field("", description="OpenID Connect provider people sign in at")
    oidc_client_id: str = Field("", description="this portal's client id at the provider")
    oidc_client_secret: SecretStr = Field(
        SecretStr(""), description="the portal's secret at the provider"
    )
    oidc_customer_claim: str = Field("sub", description="claim that holds the customer's number")
    oidc_roles_claim: str = Field("roles", description="claim that holds a steward's roles")

    token_jwks: str = Field(
        "", description="public keys of the issuer of services' access tokens: a JWKS file or URL"
    )
    token_issuer: str = Field("", description="issuer of services' access tokens")
    token_audience: str = Field(
        "", description="this gate's name as audience of services' access tokens"
    )
    address: str = Field(
        "",
        description="URL of this gate for services, e.g. https://gate.example; without it tokens"
        " bound to a key (DPoP) are refused",
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
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the framework's signature
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the same
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)


def _origin(where: SplitResult) -> str:
    """The origin as browsers write it: lower case, without the scheme's default port."""
    port = "" if where.port in {None, PORTS.get(where.scheme)} else f":{where.port}"
    return f"{where.scheme}://{where.hostname}{port}"

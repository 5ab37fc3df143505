"""Signs people in at the company's OpenID Connect provider: authorization code, PKCE, nonce.

    /login/provider  ->  the provider  ->  /login/callback?code=…&state=…  ->  signed in

The provider's endpoints are discovered (OpenID Connect Discovery 1.0) when somebody first signs in.
Every failure is a LoginError, whose message is for the operator.
"""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from threading import Lock
from typing import Any

import msgspec
from authlib.common.errors import AuthlibBaseError
from authlib.integrations.httpx_client import OAuth2Client
from httpx2 import HTTPError
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

ALGORITHMS = ["RS256", "ES256", "EdDSA"]
LEEWAY_S = 60  # of clocks that differ
TIMEOUT_S = 10
CACHED_S = 3600  # how long the provider's description is cached
DISCOVERY = "/.well-known/openid-configuration"


class LoginError(Exception):
    """A sign-in failed. The message is for the operator and is not shown to the person."""


@dataclass(frozen=True, slots=True)
class Client:
    """The portal's registration at the provider."""

    issuer: str
    id: str
    secret: str


class Pending(msgspec.Struct, frozen=True, tag="login"):
    """A login under way. `state` binds it to a browser; the rest never leaves the server."""

    state: str
    nonce: str
    verifier: str
    redirect_uri: str


@dataclass(frozen=True, slots=True)
class _Described:
    """The provider's endpoints and keys, read at `read_at` (seconds since 1970)."""

    endpoints: Mapping[str, Any]
    keys: KeySet
    read_at: float


class Provider:
    """An OpenID Connect provider. Thread-safe. Reads its description when first needed."""

    def __init__(self, client: Client, clock: Callable[[], float]) -> None:
        """`clock`: seconds since 1970."""
        self._client = client
        self._clock = clock
        self._lock = Lock()
        self._known: _Described | None = None

    def begin(self, redirect_uri: str) -> tuple[str, Pending]:
        """The URL to send the browser to, and the pending login to store. Raises LoginError."""
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        pending = Pending(state, nonce, verifier, redirect_uri)
        with self._session(redirect_uri) as session:
            address, _ = session.create_authorization_url(
                self._description().endpoints["authorization_endpoint"],
                state=pending.state,
                nonce=pending.nonce,
                code_verifier=pending.verifier,
            )
        return str(address), pending

    def finish(self, pending: Pending, code: str) -> Mapping[str, Any]:
        """The claims of the person who came back with `code`. Raises LoginError."""
        try:
            with self._session(pending.redirect_uri) as session:
                token = session.fetch_token(
                    self._description().endpoints["token_endpoint"],
                    code=code,
                    code_verifier=pending.verifier,
                    grant_type="authorization_code",
                )
            return self._claims(str(token["id_token"]), pending.nonce)
        except (AuthlibBaseError, HTTPError, JoseError, ValueError, KeyError, TypeError) as error:
            raise LoginError(f"the provider's answer is not accepted: {error!r}") from error

    def _claims(self, token: str, nonce: str) -> Mapping[str, Any]:
        """The verified claims of an ID token: OpenID Connect Core 1.0, section 3.1.3.7."""
        claims = self._decoded(token).claims
        audience = claims["aud"] if isinstance(claims["aud"], list) else [claims["aud"]]
        now = self._clock()
        _require(claims["iss"] == self._client.issuer, "its issuer is another")
        _require(self._client.id in audience, "its audience is another client")
        _require(
            len(audience) == 1 or claims.get("azp") == self._client.id,
            "its authorized party is another client",
        )
        _require(type(claims["exp"]) is int and now < claims["exp"] + LEEWAY_S, "it has expired")
        _require(
            type(claims["iat"]) is int and claims["iat"] - LEEWAY_S <= now,
            "it was issued in the future",
        )
        _require(
            secrets.compare_digest(str(claims["nonce"]), nonce), "its nonce is of another login"
        )
        return dict(claims)

    def _decoded(self, token: str) -> jwt.Token:
        """Decode and verify a token. Raises JoseError. Keys are fetched again once: they rotate."""
        try:
            return jwt.decode(token, self._description().keys, algorithms=ALGORITHMS)
        except (JoseError, ValueError):
            return jwt.decode(token, self._description(fresh=True).keys, algorithms=ALGORITHMS)

    def _description(self, *, fresh: bool = False) -> _Described:
        """The provider's description, from the cache or fetched. Raises LoginError."""
        with self._lock:
            known, now = self._known, self._clock()
            if known is None or fresh or now - known.read_at > CACHED_S:
                known = self._known = self._read(now)
            return known

    def _read(self, now: float) -> _Described:
        issuer = self._client.issuer
        try:
            with self._session(issuer) as session:
                endpoints = _json(session, issuer.rstrip("/") + DISCOVERY)
                if endpoints["issuer"] != issuer:
                    raise LoginError(
                        f"want issuer {issuer} in its description, found {endpoints['issuer']!r}"
                    )
                return _Described(
                    endpoints, KeySet.import_key_set(_json(session, endpoints["jwks_uri"])), now
                )
        except (HTTPError, JoseError, ValueError, KeyError, TypeError) as error:
            raise LoginError(f"the description of {issuer} cannot be read: {error!r}") from error

    def _session(self, redirect_uri: str) -> OAuth2Client:
        return OAuth2Client(
            self._client.id,
            self._client.secret,
            redirect_uri=redirect_uri,
            scope="openid profile",
            code_challenge_method="S256",
            timeout=TIMEOUT_S,
        )


def _json(session: OAuth2Client, address: str) -> Any:
    answer = session.request("GET", address, withhold_token=True)
    answer.raise_for_status()
    return answer.json()


def _require(condition: bool, otherwise: str) -> None:
    if not condition:
        raise LoginError(f"the ID token is refused: {otherwise}")

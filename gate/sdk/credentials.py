"""Credentials of a service: gets access tokens from an issuer, optionally bound to its key.

    credentials = ClientCredentials("https://login.example/token", "analytics", private_jwk)
    gate = Client("https://gate.example", credentials)  # of sovereign_client

The service signs a short assertion with its private key (RFC 7523) and exchanges it for an access
token, which it uses until shortly before it expires. With `bound`, every request also carries a
DPoP proof of the key (RFC 9449), without which the token is useless.
"""

import json
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from secrets import token_urlsafe
from threading import Lock
from typing import Any
from urllib.error import URLError
from urllib.parse import urlencode, urlsplit
from urllib.request import Request, urlopen

from joserfc import jwt
from joserfc.jwk import ECKey

from ledger.clock import posix
from sovereign_client.errors import TokenError

ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ASSERTION_S, EARLY_S, TIMEOUT_S = 60, 30, 10.0
MAX_BYTES = 64 << 10


class TokenRefusedError(TokenError):
    """The issuer refused a token or could not be reached. The message quotes its answer."""


@dataclass(frozen=True, slots=True)
class _Token:
    text: str
    scheme: str
    until: float


class ClientCredentials:
    """Gets and caches the access tokens of one service. Thread-safe."""

    def __init__(
        self,
        issuer: str,
        client: str,
        key: Mapping[str, Any],
        *,
        bound: bool = False,
        clock: Callable[[], float] = posix,
    ) -> None:
        """`issuer`: URL of its token endpoint. `key`: the service's private JWK (P-256)."""
        if urlsplit(issuer).scheme not in {"http", "https"}:
            raise ValueError(f"{issuer!r} is not an http or https URL; give the token endpoint")
        self._issuer, self._client, self._clock = issuer, client, clock
        self._key, self._bound = ECKey.import_key(dict(key)), bound
        self._token: _Token | None = None
        self._lock = Lock()

    def headers(self, method: str, address: str) -> Mapping[str, str]:
        """The headers that authenticate a request. Raises TokenRefusedError."""
        token = self._current()
        authentication = {"Authorization": f"{token.scheme} {token.text}"}
        return authentication | (
            {"DPoP": self._proof(method, address, token.text)} if self._bound else {}
        )

    def _current(self) -> _Token:
        with self._lock:
            if self._token is None or self._token.until <= self._clock():
                self._token = self._fetched()
            return self._token

    def _fetched(self) -> _Token:
        form = {
            "grant_type": "client_credentials",
            "client_assertion_type": ASSERTION,
            "client_assertion": self._assertion(),
        }
        headers = {"DPoP": self._proof("POST", self._issuer, None)} if self._bound else {}
        request = Request(self._issuer, urlencode(form).encode(), headers)  # noqa: S310 - the scheme was checked
        try:
            with urlopen(request, timeout=TIMEOUT_S) as response:  # noqa: S310 - the same
                answer = json.loads(response.read(MAX_BYTES))
            until = self._clock() + int(answer["expires_in"]) - EARLY_S
            return _Token(str(answer["access_token"]), str(answer["token_type"]), until)
        except (URLError, OSError, ValueError, KeyError, TypeError) as error:
            raise TokenRefusedError(f"{self._issuer}: no token: {error}") from error

    def _assertion(self) -> str:
        now = int(self._clock())
        claims = {
            "iss": self._client,
            "sub": self._client,
            "aud": self._issuer,
            "iat": now,
            "exp": now + ASSERTION_S,
            "jti": token_urlsafe(16),
        }
        return jwt.encode({"alg": "ES256"}, claims, self._key)

    def _proof(self, method: str, address: str, token: str | None) -> str:
        header = {"alg": "ES256", "typ": "dpop+jwt", "jwk": self._key.as_dict(private=False)}
        claims: dict[str, Any] = {
            "htm": method,
            "htu": address,
            "iat": int(self._clock()),
            "jti": token_urlsafe(16),
        }
        if token is not None:
            digest = sha256(token.encode()).digest()
            claims["ath"] = urlsafe_b64encode(digest).rstrip(b"=").decode()
        return jwt.encode(header, claims, self._key)

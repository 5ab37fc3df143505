"""Access tokens of an OAuth issuer by the client-credentials grant (RFC 6749, section 4.4).

    token = ClientCredentials("https://login.example/token", "analytics", secret="…")
    gate = Client("https://gate.example", token)

A token is kept and used until shortly before its end. A client is authenticated by a secret (HTTP
Basic), or by assertions that it signs (RFC 7523): `assertion` is called for a new one each time.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from typing import Any, TypedDict, Unpack
from urllib.parse import quote_plus, urlsplit

import httpx

from sovereign_client.answers import decoded
from sovereign_client.errors import TokenError, UnknownAnswerError

ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
TIMEOUT_S = 10.0
EARLY_S = 30.0  # before its end a token is renewed; at most half its life
OK = 200


@dataclass(frozen=True, slots=True)
class _Token:
    text: str
    renew_at: float  # by time.monotonic


class Authentication(TypedDict, total=False):
    """How a client is authenticated: by a secret or by assertions, one of them.

    `scope`: what the token is wanted for, if the issuer asks. `clock`: seconds, monotonic.
    """

    secret: str
    assertion: Callable[[], str]
    scope: str
    clock: Callable[[], float]


class _Grant:
    """What both kinds share: the request to the issuer, and its answer."""

    def __init__(self, issuer: str, client: str, **how: Unpack[Authentication]) -> None:
        """`issuer`: URL of its token endpoint. Raises ValueError."""
        if urlsplit(issuer).scheme not in {"http", "https"}:
            raise ValueError(f"{issuer!r} is not an http or https URL; give the token endpoint")
        secret, assertion = how.get("secret"), how.get("assertion")
        if (secret is None) == (assertion is None):
            raise ValueError("want either a secret or an assertion, to authenticate with")
        self._issuer, self._client, self._scope = issuer, client, how.get("scope")
        self._secret, self._assertion = secret, assertion
        self._clock = how.get("clock", time.monotonic)
        self._token: _Token | None = None

    def _current(self) -> str | None:
        token = self._token
        return token.text if token is not None and self._clock() < token.renew_at else None

    def _request(self) -> dict[str, Any]:
        form = {"grant_type": "client_credentials"}
        form |= {} if self._scope is None else {"scope": self._scope}
        if self._secret is not None:  # encoded first: RFC 6749, section 2.3.1
            return {"data": form, "auth": (quote_plus(self._client), quote_plus(self._secret))}
        if self._assertion is not None:
            form["client_assertion_type"] = ASSERTION
            form["client_assertion"] = self._assertion()
        return {"data": form}

    def _granted(self, response: httpx.Response) -> str:
        """Keep the token of an answer. Raises TokenError."""
        if response.status_code != OK:
            raise TokenError(f"{self._issuer}: status {response.status_code}: no token")
        try:
            answer = decoded(response.content, dict[str, Any])
            text, kind = str(answer["access_token"]), str(answer["token_type"])
            lives_s = float(answer["expires_in"])
        except (UnknownAnswerError, KeyError, TypeError, ValueError) as error:
            wanted = "want access_token, token_type and expires_in"
            raise TokenError(f"{self._issuer}: {wanted} in its answer") from error
        if kind.lower() != "bearer":
            raise TokenError(f"{self._issuer}: want a Bearer token, found {kind!r}")
        self._token = _Token(text, self._clock() + lives_s - min(EARLY_S, lives_s / 2))
        return text


class ClientCredentials(_Grant):
    """Gets and keeps the access tokens of one service, for `Client`. Thread-safe."""

    def __init__(self, issuer: str, client: str, **how: Unpack[Authentication]) -> None:
        super().__init__(issuer, client, **how)
        self._lock = Lock()

    def __call__(self) -> str:
        """The current token. Raises TokenError."""
        with self._lock:
            if (current := self._current()) is not None:
                return current
            try:
                return self._granted(httpx.post(self._issuer, timeout=TIMEOUT_S, **self._request()))
            except httpx.HTTPError as error:
                raise TokenError(f"{self._issuer}: no answer: {error}") from error


class AsyncClientCredentials(_Grant):
    """The same for `AsyncClient`. For tasks of one event loop."""

    def __init__(self, issuer: str, client: str, **how: Unpack[Authentication]) -> None:
        super().__init__(issuer, client, **how)
        self._lock = asyncio.Lock()

    async def __call__(self) -> str:
        """The current token. Raises TokenError."""
        async with self._lock:
            if (current := self._current()) is not None:
                return current
            try:
                async with httpx.AsyncClient(timeout=TIMEOUT_S) as http:
                    return self._granted(await http.post(self._issuer, **self._request()))
            except httpx.HTTPError as error:
                raise TokenError(f"{self._issuer}: no answer: {error}") from error

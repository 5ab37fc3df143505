"""Who is asking: services by OAuth 2.0 JWT access tokens (RFC 9068), verified against a JWKS.

    {"typ": "at+jwt", "alg": "ES256", "kid": "2026-11"}
    {"iss": "https://login.example", "aud": "https://gate.example", "sub": "analytics",
     "client_id": "analytics", "exp": 1767272400, "iat": 1767268800, "jti": "…"}

The service is the `client_id`. Only asymmetric signatures are accepted, so that no key that
verifies could also have signed. Whatever is missing, expired, meant for somebody else or signed by
an unknown key is nobody: the gate answers 401.
"""

import re
import time
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

ALGORITHMS = ["ES256", "EdDSA", "RS256"]
TYPES = {"at+jwt", "application/at+jwt"}
MOST_TOKEN_BYTES = 8192
LEEWAY_S = 30  # of clocks that differ
REMEMBERED = 1024  # tokens whose signature was checked
_SCHEME = b"bearer "
_TOKEN = re.compile(rb"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_TEXTS = ("iss", "sub", "client_id", "jti")


class AccessTokens:
    """An `Authenticator` of the gate (see gate.http). Thread-safe."""

    def __init__(
        self,
        jwks: Mapping[str, Any],
        *,
        issuer: str,
        audience: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`jwks`: the issuer's public keys (RFC 7517). Raises JoseError if they are none."""
        self._keys = KeySet.import_key_set(dict(jwks))  # type: ignore[arg-type] # a parsed JSON object
        self._issuer, self._audience, self._clock = issuer, audience, clock
        self._signed = lru_cache(REMEMBERED)(self._checked)

    def service(self, headers: Mapping[bytes, bytes]) -> str | None:
        """The service that sent this request, or None."""
        sent = headers.get(b"authorization", b"")
        token = sent[len(_SCHEME) :].strip()
        if sent[: len(_SCHEME)].lower() != _SCHEME or len(token) > MOST_TOKEN_BYTES:
            return None
        try:
            claims = self._signed(token)
        except (JoseError, ValueError, KeyError, TypeError):
            return None
        return claims["client_id"] if self._timely(claims) else None

    def _checked(self, token: bytes) -> dict[str, Any]:
        """The claims of a token that this issuer signed for us, whatever the time. Raises."""
        if not _TOKEN.fullmatch(token):
            raise ValueError("not a compact JWS")
        found = jwt.decode(token, self._keys, algorithms=ALGORITHMS)
        claims = dict(found.claims)
        audience = claims["aud"] if isinstance(claims["aud"], list) else [claims["aud"]]
        typed = str(found.header.get("typ", "")).lower() in TYPES
        texts = all(isinstance(claims[name], str) and claims[name] for name in _TEXTS)
        times = all(type(claims[name]) is int for name in ("exp", "iat"))
        ours = claims["iss"] == self._issuer and self._audience in audience
        if not (typed and texts and times and ours):
            raise ValueError("not an access token for this gate")
        return claims

    def _timely(self, claims: Mapping[str, Any]) -> bool:
        now = self._clock()
        return bool(claims["iat"] - LEEWAY_S <= now < claims["exp"] + LEEWAY_S)

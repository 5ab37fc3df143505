"""Authenticates services by OAuth 2.0 JWT access tokens (RFC 9068), verified against a JWKS.

    {"typ": "at+jwt", "alg": "ES256", "kid": "2026-11"}
    {"iss": "https://login.example", "aud": "https://gate.example", "sub": "analytics",
     "client_id": "analytics", "exp": 1767272400, "iat": 1767268800, "jti": "…"}

The service is the `client_id`. A token bound to a key (`"cnf": {"jkt": …}`) is accepted only with a
DPoP proof of that key: see gate.http.dpop. Only asymmetric algorithms are accepted, so a
verification key cannot sign. A missing or expired token, one for another audience, or one signed by
an unknown key authenticates nobody: the gate answers 401.
"""

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from joserfc import jwt
from joserfc.errors import InvalidKeyIdError, JoseError
from joserfc.jwk import KeySet

from gate.http.dpop import Proofs
from gate.http.jwks import Jwks
from ledger.clock import posix

ALGORITHMS = ["ES256", "EdDSA", "RS256"]
TYPES = {"at+jwt", "application/at+jwt"}
MAX_TOKEN_BYTES = 8192
LEEWAY_S = 30  # accepted clock difference
REMEMBERED = 1024  # cached tokens with a verified signature
_BEARER, _BOUND = b"bearer", b"dpop"
_TOKEN = re.compile(rb"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_TEXTS = ("iss", "sub", "client_id", "jti")


class AccessTokens:
    """An `Authenticator` (see gate.http.app) that verifies access tokens. Thread-safe."""

    def __init__(
        self,
        jwks: Jwks | Mapping[str, Any],
        *,
        issuer: str,
        audience: str,
        proofs: Proofs | None = None,
        clock: Callable[[], float] = posix,
    ) -> None:
        """`jwks`: the issuer's public keys (RFC 7517). Without `proofs`, refuses key-bound tokens.

        Raises JoseError if the keys cannot be read.
        """
        self._jwks = jwks if isinstance(jwks, Jwks) else None
        self._given = KeySet.import_key_set(dict(jwks)) if not isinstance(jwks, Jwks) else None  # type: ignore[arg-type] # a parsed JSON object
        self._issuer, self._audience, self._clock = issuer, audience, clock
        self._proofs = proofs
        self._signed = lru_cache(REMEMBERED)(self._checked)

    def service(self, headers: Mapping[bytes, bytes]) -> str | None:
        """The authenticated service, or None."""
        scheme, _, token = headers.get(b"authorization", b"").partition(b" ")
        token = token.strip()
        if scheme.lower() not in {_BEARER, _BOUND} or len(token) > MAX_TOKEN_BYTES:
            return None
        try:
            self._keys()
            claims = self._signed(token, self._jwks.version if self._jwks else 0)
            key_proven = self._holds(claims, scheme.lower(), headers, token)
        except InvalidKeyIdError:
            if self._jwks is not None:
                self._jwks.refresh()  # the issuer may have a new key; the client has to retry
            return None
        except (JoseError, ValueError, KeyError, TypeError):
            return None
        return claims["client_id"] if key_proven and self._timely(claims) else None

    def _keys(self) -> KeySet:
        """The issuer's keys. Raises ValueError when they are too old."""
        keys = self._given if self._jwks is None else self._jwks.keys()
        if keys is None:
            raise ValueError("the issuer's keys are too old")
        return keys

    def _holds(
        self, claims: Mapping[str, Any], scheme: bytes, headers: Mapping[bytes, bytes], token: bytes
    ) -> bool:
        """Whether the token is unbound, or comes with a proof of the key it is bound to."""
        if "cnf" not in claims:
            return scheme == _BEARER
        if scheme != _BOUND or self._proofs is None:
            return False
        bound = claims["cnf"]["jkt"]
        proven = self._proofs.key(headers, token, claims["client_id"])
        return isinstance(bound, str) and proven == bound

    def _checked(self, token: bytes, _version: int) -> dict[str, Any]:
        """The claims of a token with a valid signature and audience, expired or not.

        Cached per version of the keys, so a withdrawn key invalidates its tokens. Raises JoseError
        or ValueError.
        """
        if not _TOKEN.fullmatch(token):
            raise ValueError("not a compact JWS")
        token_ = jwt.decode(token, self._keys(), algorithms=ALGORITHMS)
        claims = dict(token_.claims)
        audience = claims["aud"] if isinstance(claims["aud"], list) else [claims["aud"]]
        typed = str(token_.header.get("typ", "")).lower() in TYPES
        texts = all(isinstance(claims[name], str) and claims[name] for name in _TEXTS)
        times = all(type(claims[name]) is int for name in ("exp", "iat"))
        ours = claims["iss"] == self._issuer and self._audience in audience
        if not (typed and texts and times and ours):
            raise ValueError("not an access token for this gate")
        return claims

    def _timely(self, claims: Mapping[str, Any]) -> bool:
        now = self._clock()
        return bool(claims["iat"] - LEEWAY_S <= now < claims["exp"] + LEEWAY_S)

"""DEMONSTRATION ONLY: an issuer of access tokens inside the gate, so that everything can be tried.

A service proves who it is by a signed assertion (RFC 7523, `private_key_jwt`) and gets a token of
RFC 9068, five minutes long; with a DPoP proof the token is bound to the proof's key (RFC 9449).

    POST /token  grant_type=client_credentials&client_assertion=eyJ…
                 &client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer
    -> {"access_token": "eyJ…", "token_type": "Bearer", "expires_in": 300, "demonstration": true}

Its key lives as long as the process, and it knows nobody but the demonstration's services. It
refuses to start outside the demonstration: there the company's own issuer does this.
"""

import json
from collections.abc import Awaitable, Callable, Mapping
from secrets import token_urlsafe
from typing import Any
from urllib.parse import parse_qs

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, KeySet

from gate.http import request_body
from gate.http.access_tokens import ALGORITHMS, LEEWAY_S, MAX_TOKEN_BYTES
from gate.http.dpop import Proofs, SeenProofs, with_target
from ledger.clock import posix

LIFETIME_S = 300  # of a token; and the most that an assertion may still live
ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
MAX_FIELDS = 16
TOKEN, KEYS = "/token", "/jwks.json"


class NotADemonstrationError(Exception):
    """The embedded issuer was asked for outside the demonstration."""


class OAuthError(Exception):
    """A token request that ends in an error of RFC 6749, 5.2."""

    def __init__(self, code: str, description: str) -> None:
        super().__init__(description)
        self.code = code

    @property
    def status(self) -> int:
        return 401 if self.code == "invalid_client" else 400


class Issuer:
    """Issues tokens to the services whose public keys it is given. Thread-safe."""

    def __init__(
        self,
        address: str,
        clients: Mapping[str, Mapping[str, Any]],
        *,
        demonstration: bool,
        clock: Callable[[], float] = posix,
    ) -> None:
        """`address`: its own and its gate's, e.g. http://localhost:8000; `clients`: a public JWK
        for each service. Raises NotADemonstrationError."""
        if not demonstration:
            raise NotADemonstrationError(
                "the embedded issuer is for the demonstration only; name the company's own issuer"
                " in the settings: token_jwks, token_issuer, token_audience"
            )
        self.address = address.rstrip("/")
        self._clients = {name: ECKey.import_key(dict(key)) for name, key in clients.items()}
        self._clock = clock
        self._key = ECKey.generate_key("P-256", {"kid": token_urlsafe(8)})
        self._once = SeenProofs()
        self._proofs = Proofs(self.address, clock)

    @property
    def jwks(self) -> dict[str, Any]:
        """The public key that its tokens are verified with."""
        return dict(KeySet([self._key]).as_dict(private=False))

    def token(self, form: Mapping[str, str], headers: Mapping[bytes, bytes]) -> dict[str, Any]:
        """The token response. Raises OAuthError."""
        if form.get("grant_type") != "client_credentials":
            raise OAuthError("unsupported_grant_type", "want grant_type=client_credentials")
        client = self._client(form)
        bound = self._bound(headers)
        now = int(self._clock())
        claims: dict[str, Any] = {
            "iss": self.address,
            "aud": self.address,
            "sub": client,
            "client_id": client,
            "iat": now,
            "exp": now + LIFETIME_S,
            "jti": token_urlsafe(16),
        }
        claims |= {"cnf": {"jkt": bound}} if bound else {}
        header = {"alg": "ES256", "typ": "at+jwt", "kid": self._key.kid}
        return {
            "access_token": jwt.encode(header, claims, self._key),
            "token_type": "DPoP" if bound else "Bearer",
            "expires_in": LIFETIME_S,
            "demonstration": True,
        }

    def _client(self, form: Mapping[str, str]) -> str:
        """Who asks, by the assertion. Says no more than that it does not hold."""
        if form.get("client_assertion_type") != ASSERTION:
            raise OAuthError("invalid_client", f"want client_assertion_type={ASSERTION}")
        try:
            client = self._asserted(form["client_assertion"])
        except (JoseError, ValueError, KeyError, TypeError) as error:
            raise OAuthError("invalid_client", "the client assertion does not hold") from error
        if form.get("client_id", client) != client:
            raise OAuthError("invalid_client", "client_id is another than the assertion's")
        return client

    def _asserted(self, assertion: str) -> str:
        if len(assertion) > MAX_TOKEN_BYTES:
            raise ValueError("too long")
        claims = jwt.decode(assertion, self._key_of, algorithms=ALGORITHMS).claims
        client, now = claims["sub"], self._clock()
        audience = claims["aud"] if isinstance(claims["aud"], list) else [claims["aud"]]
        ours = {self.address, f"{self.address}{TOKEN}"}.intersection(audience)
        until = claims["exp"]
        timely = type(until) is int and now - LEEWAY_S < until <= now + LIFETIME_S + LEEWAY_S
        named = isinstance(claims["jti"], str) and claims["jti"] != ""
        if not (claims["iss"] == client and ours and timely and named):
            raise ValueError("not an assertion for this issuer")
        if not self._once.first(f"{client} {claims['jti']}", until + LEEWAY_S, now):
            raise ValueError("used before")
        return str(client)

    def _key_of(self, unverified: Any) -> ECKey:
        """The key of the client that the assertion says it is of."""
        return self._clients[json.loads(unverified.payload)["sub"]]

    def _bound(self, headers: Mapping[bytes, bytes]) -> str | None:
        if b"dpop" not in headers:
            return None
        if (key := self._proofs.key(headers, None)) is None:
            raise OAuthError("invalid_dpop_proof", "the DPoP proof does not hold")
        return key


class IssuerApp:
    """The issuer as an ASGI application: `POST /token`, `GET /jwks.json`."""

    def __init__(self, issuer: Issuer) -> None:
        self._issuer = issuer
        self._bodies = request_body.Bodies()

    async def __call__(
        self,
        scope: Mapping[str, Any],
        receive: request_body.Receive,
        send: Callable[[Mapping[str, Any]], Awaitable[None]],
    ) -> None:
        status, answer = 200, self._issuer.jwks
        if scope["path"] != KEYS:
            try:
                form = _form(await self._bodies.whole(receive))
                answer = self._issuer.token(form, _headers(scope))
            except OAuthError as error:
                status = error.status
                answer = {"error": error.code, "error_description": str(error)}
            except (request_body.BodyTooLargeError, request_body.BodyTooSlowError) as error:
                status = 400
                answer = {"error": "invalid_request", "error_description": str(error)}
        headers = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": json.dumps(answer).encode()})


def _headers(scope: Mapping[str, Any]) -> Mapping[bytes, bytes]:
    headers = dict(scope["headers"])
    return with_target(scope, headers) if b"dpop" in headers else headers


def _form(sent: bytes) -> dict[str, str]:
    """One value a field. Raises OAuthError."""
    try:
        found = parse_qs(sent.decode("ascii"), strict_parsing=True, max_num_fields=MAX_FIELDS)
    except ValueError as error:
        raise OAuthError("invalid_request", f"not a form: {error}") from error
    if any(len(values) > 1 for values in found.values()):
        raise OAuthError("invalid_request", "a field stands twice")
    return {name: values[0] for name, values in found.items()}

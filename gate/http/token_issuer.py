"""DEMONSTRATION ONLY: an issuer of access tokens inside the gate, to try the product.

A service authenticates by a signed assertion (RFC 7523, `private_key_jwt`) and gets an RFC 9068
token that is valid for five minutes. With a DPoP proof the token is bound to its key (RFC 9449).

    POST /token  grant_type=client_credentials&client_assertion=eyJ…
                 &client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer
    -> {"access_token": "eyJ…", "token_type": "Bearer", "expires_in": 300, "demonstration": true}

Its signing key exists as long as the process. It knows the demonstration's services only, and
refuses to start outside the demonstration, where the company's own issuer is used.
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

LIFETIME_S = 300  # of a token; also the longest remaining lifetime of an assertion
ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
MAX_FIELDS = 16
TOKEN, KEYS = "/token", "/jwks.json"


class NotADemonstrationError(Exception):
    """The embedded issuer was started outside the demonstration."""


class OAuthError(Exception):
    """An error response to a token request (RFC 6749, section 5.2)."""

    def __init__(self, code: str, description: str) -> None:
        super().__init__(description)
        self.code = code

    @property
    def status(self) -> int:
        return 401 if self.code == "invalid_client" else 400


class Issuer:
    """Issues tokens to services whose public keys it knows. Thread-safe."""

    def __init__(
        self,
        address: str,
        clients: Mapping[str, Mapping[str, Any]],
        *,
        demonstration: bool,
        clock: Callable[[], float] = posix,
    ) -> None:
        """`address`: of the issuer and its gate, e.g. http://localhost:8000. `clients`: service ->
        public JWK. Raises NotADemonstrationError."""
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
        """The public key that verifies its tokens, as a JWKS."""
        return dict(KeySet([self._key]).as_dict(private=False))

    def token(self, form: Mapping[str, str], headers: Mapping[bytes, bytes]) -> dict[str, Any]:
        """Answer a token request. Raises OAuthError."""
        if form.get("grant_type") != "client_credentials":
            raise OAuthError("unsupported_grant_type", "want grant_type=client_credentials")
        client = self._client(form)
        bound = self._bound(headers, client)
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
        """The client that the assertion authenticates. Raises OAuthError without details."""
        if form.get("client_assertion_type") != ASSERTION:
            raise OAuthError("invalid_client", f"want client_assertion_type={ASSERTION}")
        try:
            client = self._asserted(form["client_assertion"])
        except (JoseError, ValueError, KeyError, TypeError) as error:
            raise OAuthError("invalid_client", "the client assertion is not valid") from error
        if form.get("client_id", client) != client:
            raise OAuthError("invalid_client", "client_id differs from the assertion's subject")
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
        if not self._once.first(str(client), claims["jti"], until + LEEWAY_S, now):
            raise ValueError("used before")
        return str(client)

    def _key_of(self, unverified: Any) -> ECKey:
        """The key of the client that the assertion names."""
        return self._clients[json.loads(unverified.payload)["sub"]]

    def _bound(self, headers: Mapping[bytes, bytes], client: str) -> str | None:
        if b"dpop" not in headers:
            return None
        if (key := self._proofs.key(headers, None, client)) is None:
            raise OAuthError("invalid_dpop_proof", "the DPoP proof is not valid")
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
    """Parse a form with one value per field. Raises OAuthError."""
    try:
        fields = parse_qs(sent.decode("ascii"), strict_parsing=True, max_num_fields=MAX_FIELDS)
    except ValueError as error:
        raise OAuthError("invalid_request", f"not a form: {error}") from error
    if any(len(values) > 1 for values in fields.values()):
        raise OAuthError("invalid_request", "a field occurs twice")
    return {name: values[0] for name, values in fields.items()}

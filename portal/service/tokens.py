"""Authenticates services by bearer token (RFC 6750). Only digests of tokens are stored.

In the demonstration every service of a contract has the token `demo-<id of the service>`. Outside
it these tokens do not exist.
"""

from collections.abc import Iterable, Mapping
from hashlib import sha256
from hmac import compare_digest

from gate.http.app import Authenticator

DEMO_PREFIX = "demo-"
SCHEME = b"bearer "


class Tokens:
    """The `Authenticator` of the gate: finds a service by the digest of its token."""

    def __init__(self, digests: Mapping[str, str]) -> None:
        """`digests`: hex SHA-256 of each service's token, by service id."""
        self._digests = dict(digests)

    def service(self, headers: Mapping[bytes, bytes]) -> str | None:
        """The service that sent this request, or None. Compares in constant time."""
        sent = headers.get(b"authorization", b"")
        if sent[: len(SCHEME)].lower() != SCHEME:
            return None
        digest = sha256(sent[len(SCHEME) :].strip()).hexdigest()
        matches = [each for each, known in self._digests.items() if compare_digest(known, digest)]
        return matches[0] if matches else None


class Either:
    """Accepts a service that either of two authenticators accepts."""

    def __init__(self, first: Authenticator, second: Authenticator) -> None:
        self._first, self._second = first, second

    def service(self, headers: Mapping[bytes, bytes]) -> str | None:
        return self._first.service(headers) or self._second.service(headers)


def demo_digests(services: Iterable[str]) -> dict[str, str]:
    return {each: sha256(f"{DEMO_PREFIX}{each}".encode()).hexdigest() for each in services}

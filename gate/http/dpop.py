"""Verifies DPoP proofs (RFC 9449), so that a stolen token is useless without its private key.

    DPoP: {"typ": "dpop+jwt", "alg": "ES256", "jwk": {…public…}} .
          {"htm": "POST", "htu": "https://gate.example/v1/read", "iat": 1767268800,
           "jti": "9f2c…", "ath": "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo"}

A proof is for one method, one address and one token, is at most a minute old, and is accepted once.
The address is the one that the gate is configured with, never the request's.
"""

import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections import OrderedDict
from collections.abc import Callable, Mapping
from hashlib import sha256
from threading import Lock
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey

from ledger.clock import posix

ALGORITHMS = ["ES256", "EdDSA"]
MAX_PROOF_BYTES = 4096
MAX_ID = 128  # characters in a proof's id
AGE_S = 60
MAX_REMEMBERED = 100_000  # recent proofs of one service; beyond this number it gets no new one
METHOD, PATH = b":method", b":path"  # names that no HTTP header can have
_COMPACT = re.compile(rb"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_PUBLIC = {"EC": {"kty", "crv", "x", "y"}, "OKP": {"kty", "crv", "x"}}
_ALSO = {"kid", "use", "alg", "key_ops"}


class SeenProofs:
    """Remembers proof ids until they expire. Thread-safe.

    Each owner has a memory of its own: whoever fills it is refused, and nobody else.
    """

    def __init__(self, most: int = MAX_REMEMBERED) -> None:
        """`most`: ids of one owner."""
        self._until: dict[str, OrderedDict[str, float]] = {}
        self._most, self._lock = most, Lock()

    def first(self, owner: str, name: str, until: float, now: float) -> bool:
        """Whether `name` is new; remembers it until `until`. `owner`: who is known to have sent it,
        so that made-up names do not fill the memory.
        """
        with self._lock:
            known = self._until.setdefault(owner, OrderedDict())
            while known and next(iter(known.values())) <= now:
                known.popitem(last=False)
            if name in known or len(known) >= self._most:
                return False
            known[name] = until
            return True


class Proofs:
    """Verifies proofs for one server. Thread-safe."""

    def __init__(self, address: str, clock: Callable[[], float] = posix) -> None:
        """`address`: how clients address this server, e.g. https://gate.example."""
        self._address, self._clock = address.rstrip("/"), clock
        self._once = SeenProofs()

    def key(self, headers: Mapping[bytes, bytes], token: bytes | None, service: str) -> str | None:
        """The thumbprint (RFC 7638) of the key whose possession the request proves, or None.

        `headers`: as `with_target` returns them. `token`: the access token the proof must name.
        `service`: that the token, or an assertion, was found to be of.
        """
        try:
            return self._checked(headers, token, service)
        except (JoseError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return None

    def _checked(
        self, headers: Mapping[bytes, bytes], token: bytes | None, service: str
    ) -> str | None:
        proof = headers[b"dpop"]
        if len(proof) > MAX_PROOF_BYTES or not _COMPACT.fullmatch(proof):
            return None
        header, claims, key = _opened(proof)
        method, path = headers[METHOD].decode(), headers[PATH].decode()
        now = self._clock()
        meant = claims["htm"] == method and claims["htu"] == self._address + path
        fresh = type(claims["iat"]) is int and abs(now - claims["iat"]) <= AGE_S
        bound = claims.get("ath") == (None if token is None else _hash(token))
        name = claims["jti"]
        named = isinstance(name, str) and 0 < len(name) <= MAX_ID
        if not (header["typ"] == "dpop+jwt" and meant and fresh and bound and named):
            return None
        thumbprint: str = key.thumbprint()
        until = claims["iat"] + 2 * AGE_S  # the proof has expired by then
        is_new = self._once.first(service, f"{thumbprint} {name}", until, now)
        return thumbprint if is_new else None


def with_target(scope: Mapping[str, Any], headers: Mapping[bytes, bytes]) -> Mapping[bytes, bytes]:
    """The headers plus the request's method and path; drops repeated proofs (RFC 9449, 4.3)."""
    proofs = [value for name, value in scope["headers"] if name == b"dpop"]
    known = {METHOD: scope["method"].encode(), PATH: scope["path"].encode()}
    return {**headers, **known, b"dpop": proofs[0] if len(proofs) == 1 else b""}


def _opened(proof: bytes) -> tuple[Mapping[str, Any], Mapping[str, Any], ECKey | OKPKey]:
    """Header, claims and key of a proof with a valid signature. Raises JoseError or ValueError."""
    first = proof.split(b".")[0]
    jwk = json.loads(urlsafe_b64decode(first + b"=" * (-len(first) % 4)))["jwk"]
    public = _PUBLIC[jwk["kty"]]
    if not public <= jwk.keys() <= public | _ALSO:
        raise ValueError("not a public key")
    key = ECKey.import_key(jwk) if jwk["kty"] == "EC" else OKPKey.import_key(jwk)
    decoded = jwt.decode(proof, key, algorithms=ALGORITHMS)
    return decoded.header, decoded.claims, key


def _hash(token: bytes) -> str:
    return urlsafe_b64encode(sha256(token).digest()).rstrip(b"=").decode()

"""The public keys of a token issuer (RFC 7517), from a file or a URL, refreshed in the background.

Keys from a URL are fetched again every five minutes, and sooner when a token names an unknown key,
but at most twice a minute. Requests never wait for a fetch. If fetching fails, the last keys remain
valid for a day; after that no token is accepted.
"""

import ipaddress
import json
import time
from collections.abc import Callable, Mapping, Sequence
from http.client import HTTPException
from pathlib import Path
from threading import Lock, Thread
from typing import Any
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from joserfc.errors import JoseError
from joserfc.jwk import KeySet

REFRESH_S, AGAIN_S, OLDEST_S = 300.0, 30.0, 86_400.0
TIMEOUT_S = 5.0
MAX_BYTES, MAX_KEYS = 64 << 10, 32
_KINDS = {"EC", "OKP", "RSA"}
_PRIVATE = {"d", "k", "p", "q", "dp", "dq", "qi", "oth"}


class JwksError(ValueError):
    """The keys cannot be read or used. The message names the file or URL."""


class Jwks:
    """The keys of one issuer. Thread-safe. `place`: a file or an https URL (http for localhost)."""

    def __init__(self, place: str, clock: Callable[[], float] = time.monotonic) -> None:
        """Load the keys. Raises JwksError."""
        self.version = 0  # increases when the keys change
        self._place, self._clock = place, clock
        self._remote = place.startswith(("http:", "https:"))
        self._raw = self._read()
        self._keys = parse(self._raw, place)
        self._read_at = self._tried_at = clock()
        self._lock = Lock()

    def keys(self) -> KeySet | None:
        """The valid keys; None once they are too old."""
        age = self._clock() - self._read_at
        if self._remote and age > REFRESH_S:
            self.refresh()
        return None if self._remote and age > OLDEST_S else self._keys

    def refresh(self) -> None:
        """Fetch the keys in the background, unless that was tried within the last 30 s."""
        with self._lock:
            if not self._remote or self._clock() - self._tried_at < AGAIN_S:
                return
            self._tried_at = self._clock()
        Thread(target=self._renew, name="jwks", daemon=True).start()

    def _renew(self) -> None:
        try:
            raw = self._read()
            keys = parse(raw, self._place)
        except JwksError:
            return  # the last keys remain valid
        with self._lock:
            self._read_at = self._clock()
            if raw != self._raw:
                self._raw, self._keys = raw, keys
                self.version += 1

    def _read(self) -> bytes:
        try:
            if self._remote:
                return _fetched(self._place)
            with Path(self._place).open("rb") as file:
                return file.read(MAX_BYTES + 1)
        except (OSError, HTTPException, ValueError) as error:
            raise JwksError(f"{self._place}: no keys: {error}; name a JWKS file or URL") from error


def parse(raw: bytes, place: str) -> KeySet:
    """Parse a JWKS of 1 to MAX_KEYS public asymmetric keys. Raises JwksError."""
    try:
        jwks: Mapping[str, Any] = json.loads(raw)
        _public(raw, jwks["keys"])
        return KeySet.import_key_set(dict(jwks))  # type: ignore[arg-type] # a parsed JSON object
    except (JoseError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise JwksError(f"{place}: not a JWKS: {error}; see RFC 7517") from error


def _public(raw: bytes, keys: Sequence[Mapping[str, Any]]) -> None:
    private = any(each["kty"] not in _KINDS or _PRIVATE & each.keys() for each in keys)
    if private or len(raw) > MAX_BYTES or not 0 < len(keys) <= MAX_KEYS:
        raise ValueError(f"want 1 to {MAX_KEYS} public keys in at most {MAX_BYTES} bytes")


class _NoRedirect(HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


def _fetched(address: str) -> bytes:
    parts = urlsplit(address)
    if parts.scheme != "https" and not _here(parts.hostname or ""):
        raise ValueError("want an https address")
    opener = build_opener(_NoRedirect)
    request = Request(address, headers={"Accept": "application/json"})  # noqa: S310 - the scheme was checked
    with opener.open(request, timeout=TIMEOUT_S) as response:
        body: bytes = response.read(MAX_BYTES + 1)
        return body


def _here(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False

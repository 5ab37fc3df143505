"""Authenticates services by API keys: see gate.storage.api_keys."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path

from gate.decision.key_scope import KeyedService
from gate.storage.api_keys import PREFIX, ApiKeyStore
from gate.storage.deliveries import Logged
from ledger import clock
from portal.service.tokens import SCHEME


class ApiKeys:
    """The `Authenticator` of API keys. `known`: services that the company has."""

    def __init__(
        self, home: Path, known: Sequence[str], now: Callable[[], datetime] = clock.now
    ) -> None:
        self._home, self._known, self._now = home, frozenset(known), now

    def service(self, headers: Mapping[bytes, bytes]) -> str | None:
        """The service whose live key this request has, or None. Raises DatabaseError."""
        sent = headers.get(b"authorization", b"")
        text = sent[len(SCHEME) :].strip()
        if sent[: len(SCHEME)].lower() != SCHEME or not text.startswith(PREFIX.encode()):
            return None
        store = ApiKeyStore(self._home)
        key = store.of(text.decode("latin-1"), self._now())
        if key is None or key.service not in self._known:
            return None
        used, is_live = partial(self._used, store, key.id), partial(self._is_live, store, key.id)
        return KeyedService.of(key.service, key.scenes, key.endpoints, used, is_live)

    def _is_live(self, store: ApiKeyStore, key: str) -> bool:
        return store.is_live(key, self._now())

    def _used(self, store: ApiKeyStore, key: str, logged: Sequence[Logged]) -> None:
        if logged:
            store.used(key, logged, self._now())

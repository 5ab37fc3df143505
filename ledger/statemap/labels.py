"""The labels of the map, made with the log's own key. Verification: ledger.statemap.map_proof."""

from collections.abc import Callable
from functools import lru_cache

from ledger.statemap import map_proof
from ledger.statemap.verifiable_map import Label
from ledger.statemap.vrf_key import VrfKey
from ledger.tlog.policy import MapKey

MAX_CACHED = 100_000  # labels; a label costs about half a millisecond


class Labels:
    """Computes and proves labels. Thread-safe. `origin`: of the state log.

    `since`: number of the state log's first entry that names the key; see specs/statemap.md, S25.
    """

    def __init__(self, key: VrfKey, origin: str, since: int = 0) -> None:
        self._key = key
        self.trusted = MapKey(origin, key.public, since)
        self.of: Callable[[str], Label] = lru_cache(MAX_CACHED)(self._label)

    @property
    def public(self) -> bytes:
        return self._key.public

    def prove(self, subject: str) -> bytes:
        """The proof that `of(subject)` is the label of this customer."""
        return self._key.prove(map_proof.label_input(subject))

    def _label(self, subject: str) -> Label:
        return map_proof.label(self._key.output(map_proof.label_input(subject)))

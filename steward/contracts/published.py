"""The versions of scene contracts in the consent log, each read once."""

from threading import Lock

from ledger.events.envelope import ScenePublished
from ledger.service import Ledger


class PublishedContracts:
    """Follows the public acts of one ledger. Thread-safe."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._lock = Lock()
        self._known: list[tuple[int, ScenePublished]] = []
        self._next = 0  # the entry to look at next

    def all(self) -> list[tuple[int, ScenePublished]]:
        """Each publication with the index of its entry, oldest first."""
        with self._lock:
            for each in self._ledger.announced(self._next):
                self._next = each.index + 1
                if isinstance(each.event, ScenePublished):
                    self._known.append((each.index, each.event))
            return [*self._known]

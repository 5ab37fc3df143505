"""Reads of many customers by earlier versions, which nobody can attribute to a customer.

Their sets number customers by position among those who were not erased at that moment, so after an
erasure a bit means another customer. Pages say that there were such reads, and when.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from threading import Lock

import msgspec

from gate.readlog import batch_entry
from gate.storage import membership
from gate.storage.read_log import ReadLogDatabase
from ledger.tlog import tiles

_ANSWERED = b'"answered":"'
_NAMED = b',"cohort":"'


@dataclass(frozen=True, slots=True)
class EarlierReads:
    """How many reads of many customers cannot be attributed, and when the first and last were."""

    count: int
    first: datetime
    last: datetime


class EarlierSets:
    """Looks for such reads once in each read log: no program of this version adds any."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[tuple[datetime, bool], ...]] = {}
        self._lock = Lock()

    def of(self, logs: Iterable[ReadLogDatabase]) -> EarlierReads | None:
        times = self._times(logs, lost=False)
        return EarlierReads(len(times), min(times), max(times)) if times else None

    def lost(self, logs: Iterable[ReadLogDatabase]) -> list[datetime]:
        """The times of reads that name a set, of which the index says nothing any more."""
        return self._times(logs, lost=True)

    def _times(self, logs: Iterable[ReadLogDatabase], *, lost: bool) -> list[datetime]:
        with self._lock:
            return [at for log in logs for at, is_lost in self._of(log) if is_lost is lost]

    def _of(self, log: ReadLogDatabase) -> tuple[tuple[datetime, bool], ...]:
        if (known := self._known.get(log.instance)) is None:
            known = self._known[log.instance] = (*_unattributed(log),)
        return known


def _unattributed(log: ReadLogDatabase) -> Iterator[tuple[datetime, bool]]:
    """Their times, and whether the entry names whom it was about: the index lost it then."""
    with log.reader() as stored:
        if (at := stored.checkpoint()) is None:
            return
        attributed = {entry for entry, _ in stored.answered(at.size)}
        for entry in stored.entries_of(membership.NOBODY, at.size):
            if entry in attributed:
                continue
            text = tiles.unbundle(stored.bundle(entry // tiles.WIDTH))[entry % tiles.WIDTH]
            if not text.startswith(batch_entry.BEGINS) and _NAMED in text:
                yield datetime.fromisoformat(msgspec.json.decode(text)["at"]), _ANSWERED in text

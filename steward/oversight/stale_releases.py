"""Which releases are due to be fitted anew: those of whose population somebody was erased since.

A release stays as it was published, and keeps its promise for everybody in it, who was erased or
not. But nobody who was erased belongs into the next one, so the company should not wait. The count
is a public fact: it follows from the log alone, and names nobody.
"""

from collections.abc import Iterator
from typing import Protocol

from ledger.events.envelope import SubjectErased
from ledger.reader import RecordedEvent


class AnnouncementLog(Protocol):
    def announced(self, since: int = 0) -> Iterator[RecordedEvent]: ...


def erased_since(ledger: AnnouncementLog, size: int) -> int:
    """How many customers were erased after the first `size` entries: at most so many of them were
    in the population of a release that was fitted then."""
    return sum(isinstance(each.event, SubjectErased) for each in ledger.announced(size))

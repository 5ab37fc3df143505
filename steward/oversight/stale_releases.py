"""Finds releases that should be refitted because customers were erased since.

A release stays as published, and its privacy guarantee continues to cover everyone it was fitted
on. Since the next release will not include erased customers, the company should refit soon. The
count is public: it follows from the log alone and names nobody.
"""

from collections.abc import Iterator
from typing import Protocol

from ledger.events.envelope import SubjectErased
from ledger.reader import RecordedEvent


class AnnouncementLog(Protocol):
    def announced(self, since: int = 0) -> Iterator[RecordedEvent]: ...


def erased_since(ledger: AnnouncementLog, size: int) -> int:
    """The number of customers erased after the first `size` entries.

    An upper bound on erased customers in a release that was fitted at that size.
    """
    return sum(isinstance(each.event, SubjectErased) for each in ledger.announced(size))

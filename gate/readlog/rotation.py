"""Closes the read log of a running gate after a declared time or size, and begins the next.

The next log is announced before it is used. Answers under way may still write to the one before for
some seconds; then it is ended, and the ledger's writer publishes and closes it like the log of a
process that ended (gate.readlog.anchors).
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from gate.readlog.new_log import NewReadLog
from gate.readlog.writer import Journal, JournalTagger

GRACE = timedelta(seconds=5)  # between the choice of a journal and its entry lie milliseconds


class Rotated(Protocol):
    """A gate whose read log can be exchanged."""

    @property
    def journal(self) -> Journal: ...
    def continue_in(self, journal: Journal) -> None: ...


@dataclass(frozen=True, slots=True)
class RotationLimits:
    """After how long, or how many entries, a read log is closed."""

    every: timedelta
    entries: int


@dataclass(slots=True)
class ReadLogRotation:
    """Exchanges the read log of one gate. Not thread-safe.

    `announced` begins a read log, and returns it once the consent log has announced it. Until then
    it returns None, and the present log is used further.
    """

    gate: Rotated
    tagger: JournalTagger
    announced: Callable[[], NewReadLog | None]
    limits: RotationLimits
    since: datetime  # when the present log began
    _ending: list[tuple[datetime, Journal]] = field(default_factory=list)

    def look(self, at: datetime) -> bool:
        """Begin another log if it is time; returns whether one was begun."""
        self._end(at)
        size = self.gate.journal.log.size
        if not size or (size < self.limits.entries and at < self.since + self.limits.every):
            return False
        if (new := self.announced()) is None:
            return False
        old = self.gate.journal
        # If we crash here, the next start closes both logs; the new one has no entry.
        self.gate.continue_in(Journal(new.log, self.tagger, new.reads, before=old))
        self.since = at
        self._ending.append((at + GRACE, old))
        return True

    @property
    def due(self) -> datetime | None:
        """When the log before is ended, if there is one."""
        return self._ending[0][0] if self._ending else None

    def _end(self, at: datetime) -> None:
        while self._ending and at >= self._ending[0][0]:
            self._ending.pop(0)[1].end()

"""Counts decisions by service and reason, for metrics. Names no customer."""

from collections.abc import Mapping, Sequence
from threading import Lock

from gate.readlog.entry import DecisionGroup, PolicyGroup, WrittenDecision
from gate.readlog.writer import Asked, EntryLine, Many, ReadLogEntry, Several

Key = tuple[str, str]  # service, reason
UNKNOWN = "unknown-entry"  # of a kind of entry that is not counted yet


class DecisionCounts:
    """A subscriber of a journal, which calls it with what is about to be logged. Thread-safe."""

    def __init__(self) -> None:
        self._guard = Lock()
        self._counts: dict[Key, int] = {}

    def see(self, _leaves: Sequence[bytes], asked: Sequence[Asked]) -> None:
        counts = self._counts
        with self._guard:
            for each in asked:
                if isinstance(each, Several):
                    self._add_many(each.line)
                elif isinstance(line := each[0], WrittenDecision):  # of most; without a call
                    key = (text := line.wording).service, text.reason
                    counts[key] = counts.get(key, 0) + 1
                else:
                    self._add_line(line)

    def counts(self) -> Mapping[Key, int]:
        """Decisions since the process began."""
        with self._guard:
            return dict(self._counts)

    def _add_line(self, line: EntryLine) -> None:
        if isinstance(line, ReadLogEntry):
            self._add(line.service, line.reason)
        else:  # counting must not end a read
            self._add("", UNKNOWN)

    def _add_many(self, line: Many) -> None:
        if isinstance(line, DecisionGroup):
            for ruling in line.rulings:
                self._add(line.service, ruling.wording.reason)
        elif isinstance(line, PolicyGroup):
            for decision in line.decisions:
                self._add(line.service, decision.reason)
        else:
            self._add("", UNKNOWN)

    def _add(self, service: str, reason: str) -> None:
        key = service, reason
        self._counts[key] = self._counts.get(key, 0) + 1

"""Follows what the consent log says of read logs, each time from where it left off."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from threading import RLock
from typing import Protocol

import msgspec

from gate.storage import instance_lock, read_log
from gate.storage.instance_lock import WriterState
from ledger.events.envelope import PublicEvent
from ledger.reader import RecordedEvent
from ledger.verify.read_log_rules import ReadLogFacts, ReadLogRules


class AnnouncedActs(Protocol):
    """The public acts of a consent log, of its writer or of a follower."""

    def announced(self, since: int = 0) -> Iterable[RecordedEvent]: ...


class AnchoringLedger(AnnouncedActs, Protocol):
    """The consent log, for its writer."""

    def announce(self, events: Sequence[PublicEvent]) -> Sequence[RecordedEvent]: ...


@dataclass(frozen=True, slots=True)
class KeptReads:
    """For how many days reads are kept (0: for ever), and up to which time they were removed."""

    days: int
    removed_until: datetime | None  # when the last removed log was closed; None: nothing was


@dataclass(slots=True)
class ReadLogActs:
    """Thread-safe. An act that breaks the rules is left out: audits and `fsck` name it."""

    ledger: AnnouncedActs
    _rules: ReadLogRules = field(default_factory=ReadLogRules)
    _seen: int = 0  # entries of the consent log
    _looking: RLock = field(default_factory=RLock)

    def rules(self) -> ReadLogRules:
        """With all acts so far. Another call may extend them."""
        with self._looking:
            for each in self.ledger.announced(self._seen):
                self._seen = each.index + 1
                try:
                    self._rules.require(msgspec.to_builtins(each.event))
                except ValueError:
                    continue
            return self._rules

    def open(self) -> dict[str, ReadLogFacts]:
        """The logs that were announced and not closed yet, by origin."""
        with self._looking:
            logs = self.rules().logs.items()
            return {origin: log for origin, log in logs if log.key is not None and not log.closed}

    def announced(self) -> list[tuple[str, ReadLogFacts]]:
        """What the consent log says of every read log so far, with its origin."""
        with self._looking:
            return [*self.rules().logs.items()]

    def kept(self) -> KeptReads:
        with self._looking:
            rules = self.rules()
            until = max((closed for _, closed in rules.removed()), default=None)
            return KeptReads(rules.days, until)

    def without_end(self, home: Path) -> Iterator[tuple[str, ReadLogFacts]]:
        """The logs of `home` that were not closed and that no process here writes, by instance."""
        for origin, log in sorted(self.open().items()):
            folder = home / "reads" / (instance := instance_of(origin))
            is_here = (home / "keys" / f"{instance}.vkey").exists()
            if is_here and instance_lock.writer_state(folder) is not WriterState.RUNNING:
                yield instance, log

    def missing(self, home: Path) -> dict[str, ReadLogFacts]:
        """The logs that must be in `home` and have no database there, by instance.

        A database is made before its log is announced, so a log that has just begun is here.
        Raises DatabaseError.
        """
        wanted = self._expected()
        absent = wanted.keys() - {*read_log.instances(home)}
        # A log may have been removed, as declared, between the two looks.
        return {name: log for name, log in sorted(self._expected().items()) if name in absent}

    def _expected(self) -> dict[str, ReadLogFacts]:
        with self._looking:
            return {instance_of(origin): log for origin, log in self.rules().expected()}


def missing_text(log: ReadLogFacts) -> str:
    """How a report says that a log's database is gone."""
    return (
        f"it is missing: it was opened at {log.opened:%Y-%m-%dT%H:%MZ}, {log.size} of its entries"
        " are anchored, and later ones may have been lost with it; restore it from a backup"
    )


def instance_of(origin: str) -> str:
    """The name of a read log's folder."""
    return origin.rsplit("/", 1)[-1]

"""Records read logs in the consent log: their size and root as they grow, and their end.

A log that a killed process left is published to its last entry, anchored, and closed: nothing may
follow. So what was read in a process's last minute is public, too. A log whose writer may still run
is left open.
"""

from base64 import b64encode
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from sqlalchemy.exc import DatabaseError as ServerError

from gate.readlog import ended_log
from gate.readlog.acts import AnchoringLedger, ReadLogActs, instance_of
from gate.storage import instance_lock
from gate.storage.instance_lock import WriterState
from gate.storage.read_log import ReadLogDatabases
from ledger.errors import CorruptLogError
from ledger.events.envelope import ReadLogAnchored, ReadLogClosed
from ledger.storage.database import DatabaseError
from ledger.tlog.checkpoint import Checkpoint
from ledger.tlog.signed_note import NoteError
from ledger.verify.read_log_rules import ReadLogFacts


class UnendedLogError(Exception):
    """A read log whose writer ended cannot be published to its end. Says which, and why."""


@dataclass(slots=True)
class Anchors:
    """Anchors and closes read logs. Not thread-safe. Opens those that are not closed only."""

    home: Path
    ledger: AnchoringLedger
    _acts: ReadLogActs = field(init=False)
    _logs: ReadLogDatabases = field(init=False)

    def __post_init__(self) -> None:
        self._logs = ReadLogDatabases(self.home)
        self._acts = ReadLogActs(self.ledger)

    def anchor(self, at: datetime) -> int:
        """Record size and root of every read log that grew; returns how many."""
        known = self._acts.rules().logs
        grown = [
            ReadLogAnchored(head.origin, head.size, b64encode(head.root).decode(), at)
            for head in self._heads()
            if head.origin not in known or head.size > known[head.origin].size
        ]
        self.ledger.announce(grown)
        return len(grown)

    def close(self, at: datetime) -> int:
        """Publish and close every log whose writer has ended; returns how many.

        Raises UnendedLogError, after trying all, if one failed.
        """
        failed, closed = [], 0
        for origin, log in self._ended():
            try:
                act = self._end(origin, log, at)
            except (CorruptLogError, NoteError, OSError, DatabaseError, ServerError) as error:
                failed.append(f"{instance_of(origin)}: {error}")
                continue
            self.ledger.announce([act])
            closed += 1
        if failed:
            raise UnendedLogError(f"{len(failed)} read logs have no end; the first: {failed[0]}")
        return closed

    def _end(self, origin: str, log: ReadLogFacts, at: datetime) -> ReadLogClosed:
        if instance_of(origin) not in self._logs.instances():
            raise CorruptLogError("its database is missing; restore it")
        return ended_log.publish(self.home, origin, log.key or "", log.size, at)

    def _ended(self) -> list[tuple[str, ReadLogFacts]]:
        """The open logs whose writer has ended, or whose files are gone with its lock."""
        folder, gone = self.home / "reads", self._acts.missing(self.home)
        return [
            (origin, log)
            for origin, log in self._acts.open().items()
            if instance_of(origin) in gone
            or instance_lock.writer_state(folder / instance_of(origin)) is WriterState.ENDED
        ]

    def _heads(self) -> Iterator[Checkpoint]:
        """The newest checkpoint of every read log that has an entry and is not closed."""
        closed = {instance_of(name) for name, log in self._acts.rules().logs.items() if log.closed}
        for each in sorted({*self._logs.instances()} - closed):
            with suppress(ServerError):  # its gate is creating it: the next run sees it
                with self._logs.get(each).reader() as reader:
                    head = reader.checkpoint()
                if head is not None:
                    yield head

"""Keeps the public logs up to date while the product is served.

Once a minute, if anything is new, two jobs (portal.jobs) run: one anchors the size and root of
every read log that grew in the consent log, the other writes the tile directories, the state log's
first. A gate in a process of its own writes its read log's directory itself; the portal anchors it.
"""

from base64 import b64encode
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from threading import Event, Thread

from sqlalchemy.exc import DatabaseError

from gate.readlog.writer import LOG
from ledger.events.envelope import ReadLogAnchored
from ledger.service import Ledger
from ledger.storage.sqlite import SqlStore
from ledger.tlog import checkpoint, signed_note
from ledger.tlog.writer import Log

EVERY = timedelta(minutes=1)


@dataclass(slots=True)
class Publisher:
    """Writes the tile directories. Not thread-safe. `published`: sizes at the last write."""

    home: Path
    ledger: Ledger
    reads: Log
    published: tuple[int, int] = (0, 0)  # entries of the consent log and of the read log

    def publish_news(self) -> bool:
        """Publish if anything is new; returns whether it was. Raises what `publish` raises."""
        if self.published == (self.ledger.size, self.reads.size):
            return False
        self.publish()
        return True

    def publish(self) -> None:
        """Write the tile directories of all three logs. Raises RolledBackError, QuorumError."""
        now = self.ledger.size, self.reads.size
        self.ledger.states.export(self.home / "log" / "state")
        # If we crash here, the published consent log is behind until the next run.
        self.ledger.export(self.home / "log" / "consent")
        self.reads.export(folder(self.home, self.reads))
        self.published = now


@dataclass(slots=True)
class Anchors:
    """Anchors read logs in the consent log. Not thread-safe. `anchored`: last size by origin."""

    home: Path
    ledger: Ledger
    anchored: dict[str, int] | None = None

    def anchor(self, at: datetime) -> int:
        """Record size and root of every read log that grew; returns how many."""
        if self.anchored is None:
            events = (entry.event for entry in self.ledger.announced())
            self.anchored = {e.origin: e.size for e in events if isinstance(e, ReadLogAnchored)}
        grown = [
            ReadLogAnchored(head.origin, head.size, b64encode(head.root).decode(), at)
            for head in _heads(self.home)
            if head.size > self.anchored.get(head.origin, 0)
        ]
        self.ledger.announce(grown)
        self.anchored |= {each.origin: each.size for each in grown}
        return len(grown)


@contextmanager
def exporting(log: Log, into: Path, every_s: float = EVERY.total_seconds()) -> Iterator[None]:
    """Write a log's tile directory every `every_s` seconds, and when the context ends."""
    done = Event()

    def rounds() -> None:
        while not done.wait(every_s):
            with suppress(OSError):  # e.g. a full disk: the next round tries again
                log.export(into)

    thread = Thread(target=rounds, name="export", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        log.export(into)


def folder(home: Path, log: Log) -> Path:
    """The tile directory of a read log."""
    return home / "log" / log.origin.rsplit("/", 1)[-1]


def _heads(home: Path) -> Iterator[checkpoint.Checkpoint]:
    """The newest checkpoint of every read log that has an entry."""
    for path in sorted(home.glob(f"reads/*/{LOG}")):
        try:
            with closing(SqlStore(path)) as store:
                head = store.head()
        except DatabaseError:
            continue  # its gate is creating it: the next run sees it
        if head is not None:
            yield checkpoint.parse(signed_note.parse(head.note).text)

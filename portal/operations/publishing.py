"""The public logs, kept up to date while the product is served.

Once a minute, if anything is new: the size and root of every read log that grew are anchored in the
consent log, and the tile directories are written, the state log's first. The two are jobs of their
own (portal.jobs). A gate that is served alone writes its own read log's directory, and the portal
anchors it.
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
    """Not thread-safe. `published`: what was new when it was last written."""

    home: Path
    ledger: Ledger
    reads: Log
    published: tuple[int, int] = (0, 0)  # entries of the consent log and of the read log

    def publish_news(self) -> bool:
        """Publish if anything is new; whether it was. Raises what `publish` raises."""
        if self.published == (self.ledger.size, self.reads.size):
            return False
        self.publish()
        return True

    def publish(self) -> None:
        """Write the tile directories of all three logs. Raises RolledBackError, QuorumError."""
        now = self.ledger.size, self.reads.size
        self.ledger.states.export(self.home / "log" / "state")
        # Crash here: the consent log that is shown is behind; next time it is not.
        self.ledger.export(self.home / "log" / "consent")
        self.reads.export(folder(self.home, self.reads))
        self.published = now


@dataclass(slots=True)
class Anchors:
    """Not thread-safe. `anchored`: size by origin, as the consent log last said it."""

    home: Path
    ledger: Ledger
    anchored: dict[str, int] | None = None

    def anchor(self, at: datetime) -> int:
        """Write size and root of every read log that grew into the consent log; how many."""
        if self.anchored is None:
            said = (entry.event for entry in self.ledger.announced())
            self.anchored = {e.origin: e.size for e in said if isinstance(e, ReadLogAnchored)}
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
    """Write a log's tile directory once in a while, and when the context ends."""
    done = Event()

    def rounds() -> None:
        while not done.wait(every_s):
            with suppress(OSError):  # a full disk: next time
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
    """Where a read log's tile directory lies."""
    return home / "log" / log.origin.rsplit("/", 1)[-1]


def _heads(home: Path) -> Iterator[checkpoint.Checkpoint]:
    """The newest checkpoint of every read log that has an entry."""
    for path in sorted(home.glob(f"reads/*/{LOG}")):
        try:
            with closing(SqlStore(path)) as store:
                head = store.head()
        except DatabaseError:
            continue  # its gate is just making it: next time
        if head is not None:
            yield checkpoint.parse(signed_note.parse(head.note).text)

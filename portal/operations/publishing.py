"""Keeps the public logs up to date while the product is served.

Once a minute, if anything is new, two jobs (portal.jobs) run: one anchors the size and root of
every read log that grew in the consent log, and publishes and closes those whose process has ended
(gate.readlog.anchors); the other writes the tile directories, the state log's first. A gate in a
process of its own writes its read log's directory itself; the portal anchors it.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from threading import Event, Thread

from ledger.service import Ledger
from ledger.tlog import atomic_file
from ledger.tlog.writer import Log

EVERY = timedelta(minutes=1)


@dataclass(slots=True)
class Publisher:
    """Writes the tile directories. Not thread-safe. `published`: sizes at the last write."""

    home: Path
    ledger: Ledger
    reads: Callable[[], Log]  # the read log that this process writes now
    published: tuple[int, str, int] = (0, "", 0)  # entries of the consent log; read log, entries

    def publish_news(self) -> bool:
        """Publish if anything is new; returns whether it was. Raises what `publish` raises."""
        if self.published == self._now():
            return False
        self.publish()
        return True

    def publish(self) -> None:
        """Write the tile directories of all three logs. Raises RolledBackError, QuorumError."""
        now, reads = self._now(), self.reads()
        self.ledger.states.export(self.home / "log" / "state")
        # If we crash here, the published consent log is behind until the next run.
        self.ledger.export(self.home / "log" / "consent")
        reads.export(folder(self.home, reads))
        publish_keys(self.home)
        self.published = now

    def _now(self) -> tuple[int, str, int]:
        reads = self.reads()
        return self.ledger.size, reads.origin, reads.size


def publish_keys(home: Path) -> None:
    """Copy policies and verifier keys to `public`, away from the private keys."""
    public = home / "public"
    files = [home / f"{log}.policy" for log in ("consent", "state")]
    for path in (*files, *sorted((home / "keys").glob("*.vkey"))):
        data, copy = path.read_bytes(), public / path.name
        if not copy.exists() or copy.read_bytes() != data:
            atomic_file.write(copy, data)


@contextmanager
def exporting(
    log: Callable[[], Log], into: Callable[[Log], Path], every_s: float = EVERY.total_seconds()
) -> Iterator[None]:
    """Write the tile directory of `log()` every `every_s` seconds, and when the context ends."""
    done = Event()

    def export() -> None:
        now = log()
        now.export(into(now))

    def rounds() -> None:
        while not done.wait(every_s):
            with suppress(OSError):  # e.g. a full disk: the next round tries again
                export()

    thread = Thread(target=rounds, name="export", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        export()


@contextmanager
def exported_at_end(home: Path, reads: Callable[[], Log]) -> Iterator[None]:
    """Write the read log's tile directory when the context ends.

    The next start closes it. Until then, it is public as far as it goes.
    """
    try:
        yield
    finally:
        if (log := reads()).size:
            with suppress(OSError):  # e.g. a full disk: it must not keep the product from ending
                log.export(folder(home, log))


def folder(home: Path, log: Log) -> Path:
    """The tile directory of a read log."""
    return home / "log" / log.origin.rsplit("/", 1)[-1]

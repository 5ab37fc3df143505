"""The published logs, as they lie on disk: one tile directory each, its checkpoint on top."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ledger import checkpoint
from ledger.checkpoint import MalformedCheckpointError


@dataclass(frozen=True, slots=True)
class PublishedLog:
    name: str  # of its folder
    origin: str
    size: int
    note: str  # the signed checkpoint, as anybody can check it


def published(folder: Path) -> list[PublishedLog]:
    """The logs that have a checkpoint, the consent log first."""
    found = [log for path in folder.glob("*/checkpoint") for log in _read(path)]
    return sorted(found, key=lambda log: (log.name != "consent", log.name))


def keys(folder: Path) -> list[str]:
    """Every verifier key, one string each. Private keys end in something else and stay unread."""
    files = sorted(folder.glob("*.vkey"))
    return [line for path in files for line in path.read_text("ascii").splitlines() if line]


def _read(path: Path) -> Iterator[PublishedLog]:
    note = path.read_text("utf-8")
    try:
        head = checkpoint.parse(note.partition("\n\n")[0] + "\n")
    except MalformedCheckpointError:
        return  # half a directory is not published
    yield PublishedLog(path.parent.name, head.origin, head.size, note)

"""Reads the published logs on disk: one tile directory with a checkpoint each."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ledger.tlog import checkpoint
from ledger.tlog.checkpoint import MalformedCheckpointError


@dataclass(frozen=True, slots=True)
class PublishedLog:
    """A published log and its newest checkpoint."""

    name: str  # of its folder
    origin: str
    size: int
    note: str  # the signed checkpoint, as anybody can check it


def published(folder: Path) -> list[PublishedLog]:
    """The logs that have a checkpoint, the consent log first."""
    logs = [log for path in folder.glob("*/checkpoint") for log in _read(path)]
    return sorted(logs, key=lambda log: (log.name != "consent", log.name))


def keys(folder: Path) -> dict[str, list[str]]:
    """Each log's verifier keys, by the log's name. Files with private keys are not read."""
    files = sorted(folder.glob("*.vkey"), key=lambda path: (path.stem != "consent", path.stem))
    return {path.stem: path.read_text("ascii").splitlines() for path in files}


def _read(path: Path) -> Iterator[PublishedLog]:
    note = path.read_text("utf-8")
    try:
        head = checkpoint.parse(note.partition("\n\n")[0] + "\n")
    except MalformedCheckpointError:
        return  # an incomplete directory is not published
    yield PublishedLog(path.parent.name, head.origin, head.size, note)

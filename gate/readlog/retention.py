"""Removes the entries of read logs that the company no longer keeps, as it declared.

The declaration and each removal are public acts in the consent log, by the rules of
ledger.verify.read_log_rules. Of a removed log there remain what its opening, anchors and closing
say (key, sizes, roots, times), its verifier key, and its last signed checkpoint: with these anybody
who has a copy can verify it. Nothing of it is personal. Everything else goes: entries, tiles,
lists, sets, and the private index.

What is gone although it was not removed in this way is missing from every customer's page, which
says so.
"""

import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from gate.readlog.acts import AnchoringLedger, ReadLogActs, instance_of
from gate.storage.read_log import ReadLogDatabases
from ledger.events.envelope import ReadLogRemoved, ReadsKept

CHECKPOINT = "checkpoint"


@dataclass(slots=True)
class Retention:
    """Declares the time, and removes what is older. Not thread-safe."""

    home: Path
    ledger: AnchoringLedger
    logs: ReadLogDatabases
    days: int  # 0: for ever
    _acts: ReadLogActs = field(init=False)

    def __post_init__(self) -> None:
        self._acts = ReadLogActs(self.ledger)

    def look(self, at: datetime) -> int:
        """Declare the time if it changed, and remove what is no longer kept; returns how many."""
        if self._acts.rules().days != self.days:
            self.ledger.announce([ReadsKept(self.days, at)])
        rules = self._acts.rules()
        over = [
            origin
            for origin, log in rules.logs.items()
            if not log.removed and rules.removable(origin, at) is None
        ]
        self.ledger.announce([ReadLogRemoved(origin, at) for origin in over])
        # If we crash here, the next look removes what was announced.
        self._remove()
        return len(over)

    def _remove(self) -> None:
        here = {*self.logs.instances()}
        for origin, _ in self._acts.rules().removed():
            if (instance := instance_of(origin)) in here:
                _keep_checkpoint_alone(self.home / "log" / instance)
                self.logs.remove(instance)


def _keep_checkpoint_alone(folder: Path) -> None:
    """Remove the tiles and entries of a published log."""
    for path in folder.glob("*"):
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != CHECKPOINT:
            path.unlink()


@dataclass(frozen=True, slots=True)
class MissingReads:
    """How many recorded reads are gone, and when the last of them was anchored or closed."""

    count: int
    last: datetime


def missing(
    acts: ReadLogActs, stored: ReadLogDatabases, lost: Iterable[datetime]
) -> MissingReads | None:
    """None if nothing is. Costs two queries for each read log that is kept.

    `lost`: the times of reads of which the index does not say any more whom they were about.
    """
    found = [*_missing(acts, stored), *((1, at) for at in lost)]
    return MissingReads(sum(n for n, _ in found), max(at for _, at in found)) if found else None


def _missing(acts: ReadLogActs, stored: ReadLogDatabases) -> Iterator[tuple[int, datetime]]:
    here = {*stored.instances()}
    for origin, log in acts.announced():
        instance = instance_of(origin)
        if log.removed:
            continue
        gone = log.size - (_entries(stored, instance) if instance in here else 0)
        if gone > 0:
            yield gone, log.closed or log.last


def _entries(stored: ReadLogDatabases, instance: str) -> int:
    """How many entries a read log has that its index knows, too."""
    with stored.get(instance).reader() as reader:
        at = reader.checkpoint()
        return min(at.size, reader.indexed()) if at else 0

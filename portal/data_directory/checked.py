"""How far the logs of a data directory were checked without a finding: where a check goes on.

    home/state/checked.json   {"fsck":{…},"replay":{"reads-1a2b3c4d":{"root":"…","size":512}}}

A position names the root that the log had at that size, and counts only while the log still has
it. Losing the file costs time and nothing else: everything is checked again.
"""

from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Self

import msgspec
from sqlalchemy.exc import DBAPIError

from gate.storage.read_log import ReadLogDatabase
from ledger.events.envelope import ReadLogAnchored, ReadLogClosed
from ledger.integrity import published
from ledger.reader import RecordedEvent
from ledger.storage.database import DatabaseError
from ledger.tlog import atomic_file
from ledger.tlog.checkpoint import Checkpoint
from ledger.tlog.tiles import MalformedTileError

FILE = Path("state") / "checked.json"


class CheckedPosition(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The first `size` entries were checked; `root`: over them, in base64."""

    size: int
    root: str

    @property
    def checkpoint(self) -> Checkpoint:
        """As a checkpoint of no origin. Raises ValueError."""
        return Checkpoint("", self.size, b64decode(self.root, validate=True))

    @classmethod
    def at(cls, head: Checkpoint) -> Self:
        return cls(head.size, b64encode(head.root).decode())


class CheckedPositions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """By the name of the log. `replay`: of read logs only."""

    fsck: dict[str, CheckedPosition] = {}
    replay: dict[str, CheckedPosition] = {}


def load(home: Path) -> CheckedPositions:
    """What was checked; nothing, if the file is missing or damaged."""
    try:
        return msgspec.json.decode((home / FILE).read_bytes(), type=CheckedPositions)
    except (OSError, msgspec.MsgspecError):
        return CheckedPositions()


def save(home: Path, positions: CheckedPositions) -> None:
    atomic_file.write(home / FILE, msgspec.json.encode(positions), atomic_file.OWNER_ONLY)


def contradiction(home: Path, instance: str, position: CheckedPosition) -> str | None:
    """What is wrong if a read log no longer has the entries up to `position`.

    None if its database cannot be read: a replay says so.
    """
    try:
        with closing(ReadLogDatabase(home, instance)) as log:
            return _contradicted(log, position)
    except (DatabaseError, DBAPIError):
        return None


def _contradicted(log: ReadLogDatabase, position: CheckedPosition) -> str | None:
    head = log.store.head()
    if head is None or head.size < position.size:
        size = head.size if head else 0
        return f"it was cut: it has {size} entries, want {position.size} or more"
    try:
        root = b64encode(published.root_at(log.store, position.size)).decode()
    except MalformedTileError as error:
        return f"its tiles cannot be read: {error}"
    return None if root == position.root else f"its first {position.size} entries were replaced"


def anchored(home: Path, announced: Iterable[RecordedEvent]) -> Mapping[str, CheckedPosition]:
    """The newest anchor of each read log whose key is in this data directory."""
    newest: dict[str, CheckedPosition] = {}
    for each in announced:
        if isinstance(each.event, ReadLogAnchored | ReadLogClosed) and each.event.size:
            name = each.event.origin.rsplit("/", 1)[-1]
            newest[name] = CheckedPosition(each.event.size, each.event.root)
    return {name: at for name, at in newest.items() if (home / "keys" / f"{name}.vkey").exists()}


def broken(
    home: Path, names: Iterable[str], wanted: Iterable[Mapping[str, CheckedPosition]]
) -> Iterator[tuple[str, str]]:
    """Each read log that is missing or was cut, and how. `names`: those that are here."""
    here, told = {*names}, set[str]()
    for positions in wanted:
        for name, position in sorted(positions.items()):
            missing = f"it is missing, and had {position.size} entries"
            what = contradiction(home, name, position) if name in here else missing
            if what is not None and name not in told:
                told.add(name)
                yield name, what

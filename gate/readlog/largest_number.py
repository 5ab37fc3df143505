"""The largest number that a stored set of customers can have, for a start.

    home/state/sets.json   {"logs":["reads-1a2b3c4d"],"number":4512}

Sets of a log whose writer has ended never change, so a start looks at those of new logs only. The
file is about read logs alone; without it, and in a restored directory, all are looked at again.
"""

from pathlib import Path

import msgspec

from gate.readlog import customer_sets
from gate.storage import instance_lock
from gate.storage.instance_lock import WriterState
from ledger.tlog import atomic_file

FILE = Path("state") / "sets.json"


class SeenSets(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """No set of these logs has a member above `number`."""

    logs: frozenset[str] = frozenset()
    number: int = 0


def of(home: Path) -> int:
    """No set of any read log in the data directory `home` has a member above it."""
    seen, here = _seen(home), {path.name for path in home.glob("reads/*")}
    if not seen.logs <= here:
        seen = SeenSets()  # some were removed: the file would grow
    number, ended = seen.number, set(seen.logs)
    for name in sorted(here - seen.logs):
        folder = home / "reads" / name
        state = instance_lock.writer_state(folder)  # before the look: a writer may just end
        largest = customer_sets.largest_in(folder)
        if state is WriterState.ENDED:
            ended.add(name)
            seen = SeenSets(frozenset(ended), max(seen.number, largest))
        number = max(number, largest)
    if ended and seen != _seen(home):
        atomic_file.write(home / FILE, msgspec.json.encode(seen, order="sorted"))
    return number


def _seen(home: Path) -> SeenSets:
    try:
        return msgspec.json.decode((home / FILE).read_bytes(), type=SeenSets)
    except (OSError, msgspec.MsgspecError):
        return SeenSets()

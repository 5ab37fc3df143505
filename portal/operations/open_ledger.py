"""Opens the ledger of a data directory for a command that writes to it.

Gates in other processes follow an epoch in shared memory (gate.state.ledger_position), so every
writer publishes it: otherwise a gate would not see, for example, an erasure. Only one process may
write at a time. For reading, `Ledger.reopen` is enough, and publishes no epoch.
"""

from pathlib import Path

from gate.state.ledger_position import Epoch
from ledger.service import Ledger

EPOCH = Path("state") / "epoch"


def reopen(home: Path) -> Ledger:
    """The ledger under `home`. Raises CorruptLogError if there is none."""
    return Ledger.reopen(home, moved=lambda size: Epoch(home / EPOCH).publish(size))


def begin(home: Path, origin: str) -> Ledger:
    """The ledger under `home`, or a new one. Raises as `Ledger.open` does."""
    return Ledger.open(home, origin=origin, moved=Epoch(home / EPOCH).publish)

"""The ledger of a data directory, opened by a command that writes into it.

Gates beside it follow an epoch in shared memory (gate.state.ledger_position), so whoever writes
publishes it: a command that records an erasure and tells nobody would leave a gate answering as
before. Nothing else may write meanwhile; to read, `Ledger.reopen` is enough, and moves no epoch.
"""

from pathlib import Path

from gate.state.ledger_position import Epoch
from ledger.service import Ledger

EPOCH = Path("state") / "epoch"


def reopen(home: Path) -> Ledger:
    """Raises CorruptLogError if there is no ledger under `home`."""
    return Ledger.reopen(home, on_commit=lambda size: Epoch(home / EPOCH).publish(size))


def begin(home: Path, origin: str) -> Ledger:
    """The ledger under `home`, or a fresh one. Raises as `Ledger.open` does."""
    return Ledger.open(home, origin=origin, on_commit=Epoch(home / EPOCH).publish)

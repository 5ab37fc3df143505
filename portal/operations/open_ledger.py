"""The ledger of a data directory, opened to write into it. One process at a time does.

Gates in other processes follow an epoch in shared memory (gate.state.ledger_position), so whoever
writes publishes it: a command that records an erasure and publishes nothing would leave a gate
answering as before. To read only, `Ledger.reopen` is enough; it takes no lock and moves no epoch.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path

from gate.state.ledger_position import Epoch, published_size
from ledger.errors import CorruptLogError
from ledger.integrity import start
from ledger.service import Ledger
from ledger.storage.writer_lock import WriterLock
from ledger.witness.client import QuorumError
from portal.operations import control

EPOCH = Path("state") / "epoch"
WAIT_S = 10.0  # for a command that writes just now
_SERVED: ContextVar[Ledger | None] = ContextVar("served", default=None)


@contextmanager
def served(ledger: Ledger) -> Iterator[None]:
    """Let commands that this thread runs write through `ledger`, which the process serves."""
    token = _SERVED.set(ledger)
    try:
        yield
    finally:
        _SERVED.reset(token)


def begin(home: Path, origin: str) -> Ledger:
    """The ledger under `home`, or a fresh one; the process is its writer until it ends.

    Raises WriterBusyError, and as `Ledger.open` does.
    """
    lock = WriterLock(home)
    lock.acquire()
    try:
        return _open(home, origin)
    except BaseException:
        lock.release()
        raise


@contextmanager
def writing(home: Path, origin: str | None = None) -> Iterator[Ledger]:
    """The ledger under `home` for one command; with `origin` a fresh one if there is none.

    Raises WriterBusyError if another process goes on writing, CorruptLogError if there is no ledger
    and no origin, and as `Ledger.open` does.
    """
    if (ledger := _SERVED.get()) is not None:
        yield ledger
        return
    if origin is None:
        Ledger.require(home)
    lock = WriterLock(home)
    lock.acquire(0.0 if control.reachable(home) else WAIT_S)
    try:
        ledger = _open(home, None if Ledger.exists(home) else origin)
        try:
            yield ledger
        finally:
            ledger.close()
    finally:
        lock.release()


def _open(home: Path, origin: str | None) -> Ledger:
    """Raises RolledBackError, and as `Ledger.open` does."""
    _require_acknowledged(home)
    if origin is None:
        ledger = Ledger.reopen(home, on_commit=lambda size: Epoch(home / EPOCH).publish(size))
    else:
        ledger = Ledger.open(home, origin=origin, on_commit=Epoch(home / EPOCH).publish)
    try:
        with suppress(QuorumError):  # witnesses that do not answer are asked before a signature
            ledger.require_unforked()
    except BaseException:
        ledger.close()
        raise
    return ledger


def _require_acknowledged(home: Path) -> None:
    """Raise CorruptLogError if receipts were given for entries that the database does not have."""
    acknowledged, size = published_size(home / EPOCH), start.stored_size(home)
    if (home / start.DATABASE).exists() and acknowledged > size:
        raise CorruptLogError(
            f"{home / start.DATABASE} has {size} entries, but receipts were given for "
            f"{acknowledged} ({EPOCH}): restore it together with its -wal file, or from a backup "
            f"made at or after entry {acknowledged}. Without one, `sovereign restore` an older "
            "backup into a new folder; what was recorded since is lost"
        )

"""The ledger of a data directory, opened to write into it. One process at a time does.

Gates in other processes follow an epoch in shared memory (gate.state.ledger_position), so whoever
writes publishes it: a command that records an erasure and publishes nothing would leave a gate
answering as before. To read only, `Ledger.reopen` is enough; it takes no lock and moves no epoch.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from gate.state.ledger_position import Epoch
from ledger.service import Ledger
from ledger.storage.writer_lock import WriterLock
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
    if origin is None:
        return Ledger.reopen(home, on_commit=lambda size: Epoch(home / EPOCH).publish(size))
    return Ledger.open(home, origin=origin, on_commit=Epoch(home / EPOCH).publish)

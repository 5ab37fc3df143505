"""The ledger of a data directory, opened to write into it. One process at a time does.

Gates in other processes follow an epoch in shared memory (gate.state.ledger_position), so whoever
writes publishes it: a command that records an erasure and publishes nothing would leave a gate
answering as before. To read only, `Ledger.reopen` is enough; it takes no lock or lease, and moves
no epoch.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from contextvars import ContextVar
from pathlib import Path

from gate.state.ledger_position import Epoch, published_size
from ledger import clock
from ledger.errors import CorruptLogError
from ledger.integrity import start
from ledger.service import Ledger
from ledger.storage import database
from ledger.storage.sqlite import LEDGER
from ledger.storage.writer_lock import WriterLock
from ledger.witness.client import QuorumError
from portal.operations import control, job_results

EPOCH = Path("state") / "epoch"
WAIT_S = 10.0  # for a command that writes just now
NOWHERE_ELSE = nullcontext()  # where the data directory remembers its tables to be
_SERVED: ContextVar[Ledger | None] = ContextVar("served", default=None)


@contextmanager
def served(ledger: Ledger) -> Iterator[None]:
    """Let commands that this thread runs write through `ledger`, which the process serves."""
    token = _SERVED.set(ledger)
    try:
        yield
    finally:
        _SERVED.reset(token)


def begin(home: Path, origin: str, placed: AbstractContextManager[None] = NOWHERE_ELSE) -> Ledger:
    """The ledger under `home`, or a fresh one; the process is its writer until it ends.

    It is opened in the context `placed`: see portal.operations.databases. A command that writes
    just now is waited for. Raises WriterBusyError, and as `placed` and `Ledger.open` do.
    """
    lock = WriterLock(home)
    lock.acquire(0.0 if control.reachable(home) else WAIT_S)
    try:
        with placed:
            return _with_owners(_open(home, origin))
    except BaseException:
        lock.release()
        raise


@contextmanager
def writing(
    home: Path,
    origin: str | None = None,
    placed: AbstractContextManager[None] = NOWHERE_ELSE,
) -> Iterator[Ledger]:
    """The ledger under `home` for one command; with `origin` a fresh one if there is none.

    It is opened in the context `placed`: see portal.operations.databases. Raises WriterBusyError if
    another process goes on writing, CorruptLogError if there is no ledger and no origin or if the
    key store is older than the log, and as `placed` and `Ledger.open` do.
    """
    with mending(home, origin, placed) as ledger:
        if _SERVED.get() is None:
            ledger.require_owners()
        yield ledger


@contextmanager
def mending(
    home: Path,
    origin: str | None = None,
    placed: AbstractContextManager[None] = NOWHERE_ELSE,
) -> Iterator[Ledger]:
    """As `writing`, for a command that mends the key store's index of owners."""
    if (ledger := _SERVED.get()) is not None:
        yield ledger
        return
    if origin is None:
        Ledger.require(home)
    lock = WriterLock(home)
    lock.acquire(0.0 if control.reachable(home) else WAIT_S)
    try:
        with placed:
            ledger = _open(home, None if Ledger.exists(home) else origin)
        try:
            yield ledger
        finally:
            ledger.close()
    finally:
        lock.release()


def _open(home: Path, origin: str | None) -> Ledger:
    """Raises RolledBackError, VaultError, and as `Ledger.open` does."""
    clock.begin(home, job_results.last_used(home))
    _require_acknowledged(home)
    if origin is None:
        origin = Ledger.origin_in(home)
    ledger = Ledger.open(home, origin=origin, on_commit=Epoch(home / EPOCH).publish)
    try:
        ledger.tombstones()  # raises if they do not read: an import could bring somebody back
        with suppress(QuorumError):  # witnesses that do not answer are asked before a signature
            ledger.require_unforked()
    except BaseException:
        ledger.close()
        raise
    return ledger


def _with_owners(ledger: Ledger) -> Ledger:
    """The ledger, if its key store knows the customers of the newest entries."""
    try:
        ledger.require_owners()
    except BaseException:
        ledger.close()
        raise
    return ledger


def _require_acknowledged(home: Path) -> None:
    """Raise CorruptLogError if receipts were given for entries that the database does not have."""
    opened = database.of(home)
    acknowledged, size = published_size(home / EPOCH), start.stored_size(home)
    if opened.exists(LEDGER) and acknowledged > size:
        raise CorruptLogError(
            f"{opened.place(LEDGER)} has {size} entries, but receipts were given for "
            f"{acknowledged} ({EPOCH}): restore it together with its -wal file, or from a backup "
            f"made at or after entry {acknowledged}. Without one, `sovereign restore` an older "
            "backup into a new folder; what was recorded since is lost"
        )

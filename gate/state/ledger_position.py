"""Has the ledger moved? One number, read at every decision.

On one host it is in shared memory: `Epoch`. A host that shares no memory with the writer asks the
database: `RemoteEpoch`, one read for everybody who waits.

The writer commits, then publishes the new size here, then hands out the receipt. Whoever decides
after a receipt was handed out therefore reads at least its size, and replays the tail if behind.
The number lives in a file that all processes of a host map; on start the writer sets it to what
the ledger holds, which repairs a crash between commit and publication (nobody had a receipt).
"""

import mmap
import os
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from time import monotonic

import msgspec

PATIENCE_S = 5.0  # how long a question waits for those before it
REST_S = 1.0  # for how long nobody is asked after a read that failed
_SIZE = 8  # read and written in one aligned access


class ConsentPoint(msgspec.Struct, frozen=True):
    """The state of the consent log a decision rests on."""

    size: int
    root: str  # base64


class EpochUnavailableError(Exception):
    """The epoch cannot be read, so nobody knows whether the state is current: deny."""


class Epoch:
    """The size of the ledger as its writer last published it."""

    def __init__(self, path: Path) -> None:
        """Map the file, making it if need be. Raises EpochUnavailableError."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                if os.fstat(descriptor).st_size < _SIZE:
                    os.ftruncate(descriptor, _SIZE)
                self._memory = mmap.mmap(descriptor, _SIZE)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise EpochUnavailableError(f"{path}: {error}; see to the data directory") from error
        self._number = memoryview(self._memory).cast("Q")

    def size(self) -> int:
        return self._number[0]

    def publish(self, size: int) -> None:
        """Called by the one writer, after its commit and before its receipt."""
        self._number[0] = size


class RemoteEpoch:
    """The size of a ledger on another host, as `read` finds it. Thread-safe.

    One read serves everybody who waits at the moment it begins, and nobody who asks later: what
    was committed before a question is always in its answer. `read` takes a bounded time, such as
    `ledger.storage.postgres.PostgresHead.size`; it is never called by two threads at once. After
    one that failed nobody waits for the next one in vain: for `rest_s` the answer is no at once.
    """

    def __init__(
        self, read: Callable[[], int], patience_s: float = PATIENCE_S, rest_s: float = REST_S
    ) -> None:
        self._read, self._patience_s, self._rest_s = read, patience_s, rest_s
        self._rests_until = 0.0
        self._reading = Lock()
        self._coming = _Round()

    def size(self) -> int:
        """Raises EpochUnavailableError, to everybody whom the read that failed would serve."""
        mine = self._coming
        if monotonic() < self._rests_until:
            raise EpochUnavailableError(
                f"the consent database was out of reach less than {self._rest_s} s ago; see to it"
            )
        if not self._reading.acquire(timeout=self._patience_s):
            raise EpochUnavailableError(
                f"no answer within {self._patience_s} s from the consent database; see to it"
            )
        try:
            if not mine.over:
                self._serve(mine)
        finally:
            self._reading.release()
        if mine.size is None:
            raise EpochUnavailableError(
                "the consent database does not say how far the ledger has come; see to it"
            ) from mine.failed
        return mine.size

    def _serve(self, asked: "_Round") -> None:
        self._coming = _Round()  # before the read begins: who asks from now on waits for the next
        try:
            asked.size = self._read()
        except Exception as error:  # noqa: BLE001 - whatever it is, the state may be stale
            asked.failed = error
            self._rests_until = monotonic() + self._rest_s
        asked.over = True


class _Round:
    """One read and those it serves."""

    __slots__ = ("failed", "over", "size")

    def __init__(self) -> None:
        self.over = False
        self.size: int | None = None
        self.failed: Exception | None = None

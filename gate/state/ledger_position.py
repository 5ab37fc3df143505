"""The current size of the ledger, which the gate reads at every decision.

On the writer's host it is in shared memory: `Epoch`. Other hosts query the database: `RemoteEpoch`,
one query for all threads that wait.

The writer commits, then publishes the new size here, then returns the receipt. So a decision made
after a receipt was returned reads at least its size, and first applies the entries it lacks. The
number is in a file that all processes of a host map into memory. On start the writer sets it to the
ledger's size, which repairs a crash between commit and publication (no receipt was returned).
"""

import mmap
import os
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from time import monotonic

import msgspec

PATIENCE_S = 5.0  # how long a caller waits for a query that is under way
REST_S = 1.0  # how long no query is made after a failed one
_SIZE = 8  # read and written in one aligned access


class ConsentPoint(msgspec.Struct, frozen=True):
    """The size and root of the consent log that a decision rests on."""

    size: int
    root: str  # base64


class EpochUnavailableError(Exception):
    """The ledger's size cannot be read, so the state may be stale: the gate denies."""


class Epoch:
    """The size of the ledger as its writer last published it."""

    def __init__(self, path: Path) -> None:
        """Map the file into memory; create it if missing. Raises EpochUnavailableError."""
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
            raise EpochUnavailableError(f"{path}: {error}; check the data directory") from error
        self._number = memoryview(self._memory).cast("Q")

    def size(self) -> int:
        return self._number[0]

    def publish(self, size: int) -> None:
        """Publish the size; the writer calls this after its commit and before its receipt."""
        self._number[0] = size


def published_size(path: Path) -> int:
    """The size in the file of an `Epoch`, which is not created; 0 if there is none.

    A file that is cut off counts as none. Raises OSError if it cannot be read.
    """
    try:
        data = path.read_bytes()[:_SIZE]
    except FileNotFoundError:
        return 0
    return int.from_bytes(data, sys.byteorder) if len(data) == _SIZE else 0


class RemoteEpoch:
    """The size of a ledger on another host, queried by `read`. Thread-safe.

    Callers share a query only if they called before it began, so each gets everything that was
    committed before its call. `read` must return in bounded time, like
    `ledger.storage.postgres.PostgresHead.size`; it is never called by two threads at once. For
    `rest_s` after a failed query, `size` raises at once.
    """

    def __init__(
        self, read: Callable[[], int], patience_s: float = PATIENCE_S, rest_s: float = REST_S
    ) -> None:
        self._read, self._patience_s, self._rest_s = read, patience_s, rest_s
        self._rests_until = 0.0
        self._reading = Lock()
        self._coming = _Round()

    def size(self) -> int:
        """The current size. Raises EpochUnavailableError to all callers of a failed query."""
        mine = self._coming
        if monotonic() < self._rests_until:
            raise EpochUnavailableError(
                f"the consent database was unreachable within the last {self._rest_s} s; check it"
            )
        if not self._reading.acquire(timeout=self._patience_s):
            raise EpochUnavailableError(
                f"no answer within {self._patience_s} s from the consent database; check it"
            )
        try:
            if not mine.over:
                self._serve(mine)
        finally:
            self._reading.release()
        if mine.size is None:
            raise EpochUnavailableError(
                "cannot read the ledger's size from the consent database; check the database"
            ) from mine.failed
        return mine.size

    def _serve(self, asked: "_Round") -> None:
        self._coming = _Round()  # before the query begins: later callers wait for the next one
        try:
            asked.size = self._read()
        except Exception as error:  # noqa: BLE001 - after any error the state may be stale
            asked.failed = error
            self._rests_until = monotonic() + self._rest_s
        asked.over = True


class _Round:
    """One query and its result, shared by the callers it serves."""

    __slots__ = ("failed", "over", "size")

    def __init__(self) -> None:
        self.over = False
        self.size: int | None = None
        self.failed: Exception | None = None

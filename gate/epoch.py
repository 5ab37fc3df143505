"""Has the ledger moved? One number in shared memory, read at every decision.

The writer commits, then publishes the new size here, then hands out the receipt. Whoever decides
after a receipt was handed out therefore reads at least its size, and replays the tail if behind.
The number lives in a file that all processes of a host map; on start the writer sets it to what
the ledger holds, which repairs a crash between commit and publication (nobody had a receipt).
"""

import mmap
import os
from pathlib import Path

_SIZE = 8  # read and written in one aligned access


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

"""One writer for each data directory: an exclusive lock that is taken when the ledger is opened.

    home/state/writer.lock    {"command":"sovereign serve","pid":4711,"since":"2026-11-28T…Z"}

The lock is the operating system's (flock) and ends with the process, however it ends: a file that
is left over locks nothing. The file names the holder, for the error of a process that is refused.
"""

import fcntl
import json
import os
import sys
import time
from pathlib import Path
from threading import Lock

from ledger import clock

NAME = Path("state") / "writer.lock"
POLL_S = 0.05


class WriterBusyError(Exception):
    """Another process writes this data directory. Nothing was opened."""

    def __init__(self, home: Path, holder: str) -> None:
        super().__init__(
            f"{home} is being written by {holder}: stop it, or use another data directory"
        )
        self.home, self.holder = home, holder


class WriterLock:
    """Held from `acquire` to `release`. A process may acquire it several times. Thread-safe."""

    _locks: dict[Path, tuple[int, int]] = {}  # noqa: RUF012 - of the process: descriptor and count
    _guard = Lock()

    def __init__(self, home: Path) -> None:
        self._home = home
        self._path = (home / NAME).resolve()

    def acquire(self, wait_s: float = 0.0) -> None:
        """Raises WriterBusyError if another process still holds it after `wait_s`."""
        until = time.monotonic() + wait_s
        while not self._taken():
            if time.monotonic() >= until:
                raise WriterBusyError(self._home, self._holder())
            time.sleep(POLL_S)

    def release(self) -> None:
        with self._guard:
            descriptor, count = self._locks[self._path]
            if count > 1:
                self._locks[self._path] = descriptor, count - 1
                return
            del self._locks[self._path]
            os.close(descriptor)  # which unlocks it

    def _taken(self) -> bool:
        with self._guard:
            if (lock := self._locks.get(self._path)) is not None:
                self._locks[self._path] = lock[0], lock[1] + 1
                return True
            self._path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(descriptor)
                return False
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, _us(), 0)
            self._locks[self._path] = descriptor, 1
            return True

    def _holder(self) -> str:
        """Who holds the lock, as far as the file tells."""
        try:
            holder = json.loads(self._path.read_bytes())
            return f"`{holder['command']}` (process {holder['pid']}, since {holder['since']})"
        except (OSError, ValueError, KeyError, TypeError):
            return "another process"


def _us() -> bytes:
    """Names the holder to others, in two words: further arguments may name a customer."""
    command = " ".join(["sovereign", *sys.argv[1:2]])
    since = clock.now().strftime("%Y-%m-%dT%H:%M:%SZ")
    return json.dumps({"command": command, "pid": os.getpid(), "since": since}).encode()

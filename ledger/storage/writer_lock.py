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
from typing import NamedTuple

from ledger import clock
from ledger.storage.interface import LeaseLostError, LeaseUnconfirmedError

NAME = Path("state") / "writer.lock"
POLL_S = 0.05


class WriterBusyError(Exception):
    """Another process writes this data directory. Nothing was opened."""

    def __init__(self, home: Path, holder: str) -> None:
        super().__init__(
            f"{home} is being written by {holder}: stop it, or use another data directory"
        )
        self.home, self.holder = home, holder


class _Held(NamedTuple):
    descriptor: int
    times: int
    file: tuple[int, int]  # device and inode of what is locked


class WriterLock:
    """Held from `acquire` to `release`. A process may acquire it several times. Thread-safe."""

    _locks: dict[Path, _Held] = {}  # noqa: RUF012 - of the process
    _lost: set[Path] = set()  # noqa: RUF012 - the same: never trusted again
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
            held = self._locks[self._path]
            if held.times > 1:
                self._locks[self._path] = held._replace(times=held.times - 1)
                return
            del self._locks[self._path]
            self._lost.discard(self._path)
            os.close(held.descriptor)  # which unlocks it

    def require_held(self) -> None:
        """Raise LeaseLostError if this process acquired the lock, and its file is not there now.

        Another process may have locked the file that took its place. Raises LeaseUnconfirmedError
        if the file cannot be looked at.
        """
        if (held := self._locks.get(self._path)) is None:
            return
        try:
            there = self._path not in self._lost and _identity(self._path.stat()) == held.file
        except FileNotFoundError:
            there = False
        except OSError as error:
            raise LeaseUnconfirmedError(f"{self._path}: {error.strerror}") from error
        if not there:
            self._lost.add(self._path)
            raise LeaseLostError(
                f"{self._path} was replaced or removed, so another process may write"
                f" {self._home}: stop this one, and start it again"
            )

    def _taken(self) -> bool:
        with self._guard:
            if (held := self._locks.get(self._path)) is not None:
                self._locks[self._path] = held._replace(times=held.times + 1)
                return True
            self._path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(descriptor)
                return False
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, json.dumps(us()).encode(), 0)
            self._locks[self._path] = _Held(descriptor, 1, _identity(os.fstat(descriptor)))
            return True

    def _holder(self) -> str:
        """Who holds the lock, as far as the file tells."""
        try:
            holder = json.loads(self._path.read_bytes())
            return f"`{holder['command']}` (process {holder['pid']}, since {holder['since']})"
        except (OSError, ValueError, KeyError, TypeError):
            return "another process"


def _identity(file: os.stat_result) -> tuple[int, int]:
    return file.st_dev, file.st_ino


def us() -> dict[str, str | int]:
    """Names the holder to others, in two words: further arguments may name a customer."""
    command = " ".join(["sovereign", *sys.argv[1:2]])
    since = clock.now().strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"command": command, "pid": os.getpid(), "since": since}

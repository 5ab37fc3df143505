"""Tells whether a process still writes a read log: it holds a lock for as long as it lives.

    home/reads/<instance>/lock     empty; the operating system's lock (flock) ends with the process

Every writer takes the lock before its read log is announced. The file stays, so that a log of an
earlier version, whose writer took none, is not taken for one whose writer ended.
"""

import fcntl
import os
from enum import StrEnum
from pathlib import Path
from weakref import finalize

NAME = "lock"


class WriterState(StrEnum):
    """What is known of the process that wrote a read log."""

    RUNNING = "running"
    ENDED = "ended"
    UNKNOWN = "unknown"  # a log of an earlier version, or its folder is on another host


class InstanceLock:
    """Held from its making until `release`, or until the process ends."""

    def __init__(self, folder: Path) -> None:
        """`folder`: of the read log. Raises BlockingIOError if another process holds it."""
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder / NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            raise
        self._closed = finalize(self, os.close, descriptor)

    def release(self) -> None:
        self._closed()


def take_for_ended(home: Path) -> int:
    """Give the read logs of `home` that have no lock a free one; returns how many.

    For a migration, during which no process of an earlier version runs.
    """
    earlier = [each for each in (home / "reads").glob("*") if not (each / NAME).exists()]
    for folder in earlier:
        InstanceLock(folder).release()
    return len(earlier)


def writer_state(folder: Path) -> WriterState:
    """Whether the writer of the read log in `folder` still runs. Raises OSError."""
    try:
        descriptor = os.open(folder / NAME, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return WriterState.UNKNOWN
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return WriterState.RUNNING
    finally:
        os.close(descriptor)
    return WriterState.ENDED

"""Files that are there whole or not at all, also after a power failure."""

import os
from pathlib import Path

OWNER_ONLY = 0o600
PUBLIC = 0o644


def write(path: Path, data: bytes, mode: int = PUBLIC) -> None:
    """Put `data` at `path`, replacing what was there. Durable when it returns.

    A reader sees the old bytes or the new ones. Crash at any line: the same, and perhaps a `.tmp`
    that the next write of the same path replaces.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".tmp")
    unfinished.unlink(missing_ok=True)
    file = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        _write_all(file, data)
        os.fsync(file)
    finally:
        os.close(file)
    unfinished.rename(path)
    synchronise(path.parent)


def overwrite(file: int, data: bytes) -> None:
    """Write over the beginning of an open file, in place. Durable when it returns.

    Only as far as the disk writes where it wrote before: flash and copy-on-write file systems keep
    old blocks for a while.
    """
    os.lseek(file, 0, os.SEEK_SET)
    _write_all(file, data)
    os.fsync(file)


def synchronise(folder: Path) -> None:
    """Make the names in `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_all(file: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(file, left) :]

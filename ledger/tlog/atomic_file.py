"""Atomic, durable file writes: after a crash or power failure a file is complete or absent."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedRandom
from pathlib import Path

OWNER_ONLY = 0o600
PUBLIC = 0o644


def write(path: Path, data: bytes, mode: int = PUBLIC) -> None:
    """Write `data` to `path`, replacing an existing file. Durable when it returns.

    A reader sees the old bytes or the new ones, also after a crash at any line. A crash may leave a
    `.tmp` file, which the next write of the path replaces. Two writers of a path must take turns.
    """
    with writing(path, mode) as file:
        file.write(data)


@contextmanager
def writing(path: Path, mode: int = PUBLIC) -> Iterator[BufferedRandom]:
    """As `write`, for content written in parts: yields an empty, seekable file.

    It becomes `path` when the context ends. If the context raises, `path` is unchanged.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".tmp")
    unfinished.unlink(missing_ok=True)
    try:
        with _new(unfinished, mode) as file:
            yield file
            _synchronised(file)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    unfinished.rename(path)
    synchronise(path.parent)


def create(path: Path, data: bytes, mode: int = PUBLIC) -> None:
    """Write `data` to `path` if there is no file yet. Durable when it returns.

    Raises FileExistsError and then changes nothing. Of several processes exactly one succeeds.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with _new(unfinished, mode) as file:
            file.write(data)
            _synchronised(file)
        os.link(unfinished, path)  # unlike a rename, a link never replaces a file
        # Crash here: the complete file has both names.
    finally:
        unfinished.unlink(missing_ok=True)
    synchronise(path.parent)


def overwrite(file: int, data: bytes) -> None:
    """Overwrite the beginning of an open file in place. Durable when it returns.

    Flash storage and copy-on-write file systems may keep the old blocks for a while.
    """
    os.lseek(file, 0, os.SEEK_SET)
    _write_all(file, data)
    os.fsync(file)


def synchronise(folder: Path) -> None:
    """Make created, renamed and removed names in `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_all(file: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(file, left) :]


def _new(path: Path, mode: int) -> BufferedRandom:
    return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, mode), "w+b")


def _synchronised(file: BufferedRandom) -> None:
    file.flush()
    os.fsync(file.fileno())

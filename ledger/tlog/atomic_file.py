"""The one way to write a file: it is there whole or not at all, also after a power failure."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedRandom
from pathlib import Path

OWNER_ONLY = 0o600
PUBLIC = 0o644


def write(path: Path, data: bytes, mode: int = PUBLIC) -> None:
    """Put `data` at `path`, replacing what was there. Durable when it returns.

    A reader sees the old bytes or the new ones. Crash at any line: the same, and perhaps a `.tmp`
    that the next write of the same path replaces. Two writers of one path must take turns.
    """
    with writing(path, mode) as file:
        file.write(data)


@contextmanager
def writing(path: Path, mode: int = PUBLIC) -> Iterator[BufferedRandom]:
    """The same for what is written in parts: an empty file, seekable, that becomes `path` when the
    context ends. If the context raises, `path` stays as it was."""
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
    """Put `data` at `path` unless there is a file already. Durable when it returns.

    Raises FileExistsError, and then nothing changed. Of several processes one succeeds.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with _new(unfinished, mode) as file:
            file.write(data)
            _synchronised(file)
        os.link(unfinished, path)  # unlike a rename, it refuses to replace
        # Crash here: the file is there under both names, whole.
    finally:
        unfinished.unlink(missing_ok=True)
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


def _new(path: Path, mode: int) -> BufferedRandom:
    return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, mode), "w+b")


def _synchronised(file: BufferedRandom) -> None:
    file.flush()
    os.fsync(file.fileno())

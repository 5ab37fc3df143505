"""Read a published tile directory, from disk or over HTTP."""

from collections.abc import Callable
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from time import monotonic
from typing import Protocol
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import urlopen

from ledger.tlog import tiles
from ledger.tlog.merkle import Hash, NodeReader
from ledger.tlog.tiles import HEIGHT, WIDTH, MalformedTileError

MAX_BYTES = WIDTH * (2 + tiles.MAX_ENTRY_BYTES)  # size of the largest possible entry bundle
TIMEOUT_S = 30  # of one read of the socket
FILE_S = 120.0  # of one file, however slowly its bytes arrive
LOG_S = 6 * 3600.0  # of all files that are read of one log


class UnreadableError(Exception):
    """A file of the log cannot be read."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path


class LogSource(Protocol):
    def read(self, path: str) -> bytes:
        """The file at a path of the tile directory. Raises UnreadableError."""
        ...


@dataclass(frozen=True, slots=True)
class DirectorySource:
    root: Path

    def read(self, path: str) -> bytes:
        try:
            with (self.root / path).open("rb") as file:
                return _whole(path, file.read(MAX_BYTES + 1))
        except OSError as error:
            raise UnreadableError(path, error.strerror or str(error)) from error


@dataclass(frozen=True, slots=True)
class WebSource:
    prefix: str  # URL without a trailing slash
    file_s: float = FILE_S
    until: float = field(default_factory=lambda: monotonic() + LOG_S)

    def read(self, path: str) -> bytes:
        left = min(self.file_s, self.until - monotonic())
        try:
            return _whole(path, _within(left, lambda: self._all(path)))
        except TimeoutError as error:
            raise UnreadableError(
                path, "the server is too slow: copy the files, and read the copy"
            ) from error
        except (URLError, OSError, HTTPException) as error:
            raise UnreadableError(path, str(error) or type(error).__name__) from error

    def _all(self, path: str) -> bytes:
        try:
            return self._read(path)
        except HTTPError as error:
            error.close()  # it has the answer's connection
            raise

    def _read(self, path: str) -> bytes:
        with urlopen(f"{self.prefix}/{path}", timeout=TIMEOUT_S) as response:  # noqa: S310 (`at` lets only http through)
            data: bytes = response.read(MAX_BYTES + 1)
            if (missing := response.length) and len(data) <= MAX_BYTES:
                raise HTTPException(f"it is cut off: {missing} bytes are missing")
            return data


def _within(seconds: float, work: Callable[[], bytes]) -> bytes:
    """What `work` returns. Raises TimeoutError if that takes longer, and what it raises.

    A timeout of a socket is for one read: a server that sends a byte now and then never meets it.
    """
    done: SimpleQueue[bytes | Exception] = SimpleQueue()

    def run() -> None:
        try:
            done.put(work())
        except Exception as error:  # noqa: BLE001 - raised again by whoever waits
            done.put(error)

    Thread(target=run, name="fetch", daemon=True).start()
    try:
        found = done.get(timeout=max(0.0, seconds))
    except Empty:
        raise TimeoutError from None
    if isinstance(found, bytes):
        return found
    try:
        raise found
    finally:
        del found  # or it would refer to itself by its traceback, and keep a connection open


def at(place: str) -> LogSource:
    """The log in a folder, or at an http(s) URL."""
    if urlsplit(place).scheme in ("http", "https"):
        return WebSource(place.rstrip("/"))
    return DirectorySource(Path(place))


@dataclass(frozen=True, slots=True)
class LogFiles:
    """The tiles and bundles of a published log of `size` entries, full or partial."""

    source: LogSource
    size: int

    def hashes(self, level: int, n: int) -> list[Hash]:
        """The hashes of a tile. Raises UnreadableError."""
        wanted = min(WIDTH, (self.size >> (HEIGHT * level)) - n * WIDTH)
        path, width, data = self._read(str(level), n, wanted)
        try:
            return _first(tiles.split(data), wanted, width)
        except MalformedTileError as error:
            raise UnreadableError(path, str(error)) from error

    def entries(self, n: int) -> list[bytes]:
        """The entries of a bundle. Raises UnreadableError."""
        wanted = min(WIDTH, self.size - n * WIDTH)
        path, width, data = self._read("entries", n, wanted)
        try:
            return _first(tiles.unbundle(data), wanted, width)
        except MalformedTileError as error:
            raise UnreadableError(path, str(error)) from error

    def nodes(self) -> NodeReader:
        """A reader of complete subtrees that reads each tile once."""
        known: dict[tuple[int, int], list[Hash]] = {}

        def read(level: int, index: int) -> Hash:
            place = tiles.tile_of(level, index)
            if place not in known:
                known[place] = self.hashes(*place)
            return tiles.node(known[place], level, index)

        return read

    def _read(self, kind: str, n: int, width: int) -> tuple[str, int, bytes]:
        """Path, width and bytes of a file; the full file if the partial one was replaced by it."""
        path = tiles.path(kind, n, width)
        try:
            return path, width, self.source.read(path)
        except UnreadableError:
            if width == WIDTH:
                raise
            full = tiles.path(kind, n)
            return full, WIDTH, self._full(full, path)

    def _full(self, full: str, partial: str) -> bytes:
        try:
            return self.source.read(full)
        except UnreadableError as error:
            raise UnreadableError(
                partial, f"neither this file nor the full one can be read: {error}"
            ) from error


def _first(parts: list[bytes], wanted: int, width: int) -> list[bytes]:
    """The first `wanted` hashes or entries of a file that must have `width` of them."""
    if len(parts) != width:
        raise MalformedTileError(f"{len(parts)} hashes or entries, want {width}")
    return parts[:wanted]


def _whole(path: str, data: bytes) -> bytes:
    if len(data) > MAX_BYTES:
        raise UnreadableError(path, f"more than {MAX_BYTES} bytes, the largest possible bundle")
    return data

"""Publish a log to an object store: immutable files created once, the checkpoint swapped last.

The store does what a file system's rename and fsync do elsewhere: a put is whole or not there and
durable when it returns; *create* fails if the name is taken, and the checkpoint is replaced only
if it still is the one that was read. Two publishers cannot roll a log back between them. The law
this file implements: specs/objects.md. Any store that `obstore` speaks to will do (S3, GCS, Azure).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ledger.tlog import checkpoint, signed_note, tiles
from ledger.tlog.checkpoint import Checkpoint
from ledger.tlog.compact_range import Frontier
from ledger.tlog.fetcher import MOST_BYTES, LogFiles, LogSource, UnreadableError
from ledger.tlog.merkle import EMPTY_ROOT
from ledger.tlog.tiles import HEIGHT, WIDTH

if TYPE_CHECKING:
    from obstore.store import ObjectStore

_CHECKPOINT = "checkpoint"


class DivergedStoreError(Exception):
    """The store shows another history, or more of it. Nothing was overwritten."""


class LostRaceError(Exception):
    """Somebody else published in the meantime. Nothing was lost: publish again."""


@dataclass(frozen=True, slots=True)
class PublishedObjects:
    """A log in an object store, to be read by an auditor or a replica."""

    store: "ObjectStore"

    def read(self, path: str) -> bytes:
        from obstore.exceptions import BaseError

        try:
            found = self.store.get(path)
            if found.meta["size"] > MOST_BYTES:
                raise UnreadableError(path, f"more than {MOST_BYTES} bytes")
            return bytes(found.bytes())
        except (BaseError, OSError) as error:
            raise UnreadableError(path, str(error)) from error


def publish(published: LogSource, store: "ObjectStore") -> Checkpoint:
    """Bring the store up to the checkpoint that the folder `published` shows; can be repeated.

    Raises DivergedStoreError, LostRaceError, UnreadableError.
    """
    signed = published.read(_CHECKPOINT)
    head = _head(signed)
    tag, there = _there(store)
    _require_prefix(published, there, head)
    for path in _new_files(there.size, head.size):
        _create(store, path, published.read(path))
    # Crash here: newer files, and the old checkpoint that they do not contradict.
    if there.size < head.size or tag is None:
        _swap(store, signed, tag)
    return head


def _head(signed: bytes) -> Checkpoint:
    return checkpoint.parse(signed_note.parse(signed.decode()).text)


def _there(store: "ObjectStore") -> tuple[str | None, Checkpoint]:
    """The store's checkpoint and what it is replaced under; None and an empty tree at first."""
    try:
        found = store.get(_CHECKPOINT)
        return found.meta["e_tag"], _head(bytes(found.bytes()))
    except FileNotFoundError:
        return None, Checkpoint("", 0, EMPTY_ROOT)
    except ValueError as error:
        raise DivergedStoreError(f"the store's checkpoint is none: {error}") from error


def _require_prefix(published: LogSource, there: Checkpoint, head: Checkpoint) -> None:
    if there.origin not in ("", head.origin) or there.size > head.size:
        raise DivergedStoreError(
            f"the store shows {there.origin} at {there.size}, want {head.origin} at {head.size} or "
            "less: restore the newest database, or publish elsewhere"
        )
    files = LogFiles(published, head.size)
    if Frontier.of(there.size, files.nodes()).root() != there.root:
        raise DivergedStoreError(
            f"the store shows another history of {there.size} entries: keep it as evidence"
        )


def _new_files(since: int, size: int) -> Iterator[str]:
    """The paths that a log of `size` entries has and one of `since` has not."""
    for level in tiles.levels(size):
        first = (since >> HEIGHT * level) // WIDTH
        known = since >> HEIGHT * level == size >> HEIGHT * level
        new = [(n, width) for n, width in tiles.widths(size, level) if n >= first and not known]
        kinds = (str(level), "entries") if level == 0 else (str(level),)
        yield from (tiles.path(kind, n, width) for kind in kinds for n, width in new)


def _create(store: "ObjectStore", path: str, data: bytes) -> None:
    from obstore.exceptions import AlreadyExistsError, PreconditionError

    try:
        store.put(path, data, mode="create")
    except (AlreadyExistsError, PreconditionError):  # an earlier attempt, or another history
        if bytes(store.get(path).bytes()) != data:
            raise DivergedStoreError(f"{path} holds other bytes; nothing was changed") from None


def _swap(store: "ObjectStore", signed: bytes, tag: str | None) -> None:
    from obstore.exceptions import AlreadyExistsError, PreconditionError

    try:
        if tag is None:
            store.put(_CHECKPOINT, signed, mode="create")
        else:
            store.put(_CHECKPOINT, signed, mode={"e_tag": tag})
    except (AlreadyExistsError, PreconditionError) as error:
        raise LostRaceError("the checkpoint moved while publishing: publish again") from error

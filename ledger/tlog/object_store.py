"""Publish a log to an object store: create immutable files, then replace the checkpoint.

This relies on the store: a put is atomic and durable when it returns, *create* fails if the name is
taken, and the checkpoint is replaced only if it is still the one that was read (compare and swap).
So two concurrent publishers cannot roll the log back. Works with every store that `obstore`
supports (S3, GCS, Azure). Specification: specs/objects.md.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ledger.tlog import checkpoint, signed_note, tiles
from ledger.tlog.checkpoint import Checkpoint
from ledger.tlog.compact_range import Frontier
from ledger.tlog.fetcher import MAX_BYTES, LogFiles, LogSource, UnreadableError
from ledger.tlog.merkle import EMPTY_ROOT
from ledger.tlog.tiles import HEIGHT

if TYPE_CHECKING:
    from obstore.store import ObjectStore

_CHECKPOINT = "checkpoint"


class DivergedStoreError(Exception):
    """The store has a different history of the log, or a longer one. Nothing was overwritten."""


class LostRaceError(Exception):
    """Another publisher replaced the checkpoint first. Nothing was lost: publish again."""


@dataclass(frozen=True, slots=True)
class PublishedObjects:
    """A log in an object store, as a `LogSource` for auditors and replicas."""

    store: "ObjectStore"

    def read(self, path: str) -> bytes:
        from obstore.exceptions import BaseError

        try:
            stored = self.store.get(path)
            if stored.meta["size"] > MAX_BYTES:
                raise UnreadableError(path, f"more than {MAX_BYTES} bytes")
            return bytes(stored.bytes())
        except (BaseError, OSError) as error:
            raise UnreadableError(path, str(error)) from error


def publish(published: LogSource, store: "ObjectStore") -> Checkpoint:
    """Bring the store up to the checkpoint of the log at `published`. May be repeated.

    Raises DivergedStoreError, LostRaceError, UnreadableError.
    """
    signed = published.read(_CHECKPOINT)
    head = _head(signed)
    tag, there = _there(store)
    _require_prefix(published, there, head)
    for path in _new_files(there.size, head.size):
        _create(store, path, published.read(path))
    # Crash here: the store has newer files and the old checkpoint, which is still valid.
    if there.size < head.size or tag is None:
        _swap(store, signed, tag)
    return head


def _head(signed: bytes) -> Checkpoint:
    return checkpoint.parse(signed_note.parse(signed.decode()).text)


def _there(store: "ObjectStore") -> tuple[str | None, Checkpoint]:
    """The ETag and content of the store's checkpoint; None and an empty tree if there is none."""
    try:
        stored = store.get(_CHECKPOINT)
        return stored.meta["e_tag"], _head(bytes(stored.bytes()))
    except FileNotFoundError:
        return None, Checkpoint("", 0, EMPTY_ROOT)
    except ValueError as error:
        raise DivergedStoreError(f"the store's checkpoint is malformed: {error}") from error


def _require_prefix(published: LogSource, there: Checkpoint, head: Checkpoint) -> None:
    if there.origin not in ("", head.origin) or there.size > head.size:
        raise DivergedStoreError(
            f"the store has {there.origin} with {there.size} entries, want {head.origin} with at "
            f"most {head.size}: restore the newest database, or publish to another store"
        )
    files = LogFiles(published, head.size)
    if Frontier.of(there.size, files.nodes()).root() != there.root:
        raise DivergedStoreError(
            f"the store has a different history of {there.size} entries: keep it as evidence"
        )


def _new_files(since: int, size: int) -> Iterator[str]:
    """The paths of the files that a log of `size` entries has and one of `since` has not."""
    for level in tiles.levels(size):
        known = since >> HEIGHT * level == size >> HEIGHT * level
        new = [] if known else [*tiles.widths(size, level, since)]
        kinds = (str(level), "entries") if level == 0 else (str(level),)
        yield from (tiles.path(kind, n, width) for kind in kinds for n, width in new)


def _create(store: "ObjectStore", path: str, data: bytes) -> None:
    from obstore.exceptions import AlreadyExistsError, PreconditionError

    try:
        store.put(path, data, mode="create")
    except (AlreadyExistsError, PreconditionError):  # an earlier attempt, or another history
        if bytes(store.get(path).bytes()) != data:
            raise DivergedStoreError(
                f"{path} in the store differs from the published file; nothing was changed"
            ) from None


def _swap(store: "ObjectStore", signed: bytes, tag: str | None) -> None:
    from obstore.exceptions import AlreadyExistsError, PreconditionError

    try:
        if tag is None:
            store.put(_CHECKPOINT, signed, mode="create")
        else:
            store.put(_CHECKPOINT, signed, mode={"e_tag": tag})
    except (AlreadyExistsError, PreconditionError) as error:
        raise LostRaceError(
            "the checkpoint was replaced while publishing: publish again"
        ) from error

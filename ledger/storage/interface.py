"""The storage interface of a log. `commit` is durable on return and refuses a second history.

A database has one log, or a consent log and its state log with the buckets of the verifiable map.
The state log is only written in transactions of the consent log.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol


class ForkError(Exception):
    """Another writer changed the log: its head is not the one that this batch was built on.

    Nothing was written. Open the log again, and make sure that only one process writes it.
    """


@dataclass(frozen=True, slots=True)
class Head:
    size: int
    note: str  # the signed checkpoint


@dataclass(frozen=True, slots=True)
class StorageBatch:
    """The content of one transaction: all of it becomes durable, or none."""

    previous: int  # the size this batch was built on
    head: Head
    bundles: Mapping[int, bytes]
    tiles: Mapping[tuple[int, int], bytes]
    sealed: Mapping[bytes, tuple[int, bytes]] = field(default_factory=dict)  # tag -> index, sealed
    idempotency: Mapping[str, tuple[bytes, int]] = field(default_factory=dict)  # digest, first
    buckets: Mapping[int, tuple[bytes, bytes]] = field(default_factory=dict)  # root, records
    state_batch: "StorageBatch | None" = None  # of the state log, in the same transaction


class LogStore(Protocol):
    """The store of one log. `commit` is durable on return; reads are safe from any thread."""

    def head(self) -> Head | None: ...
    def commit(self, batch: StorageBatch) -> None:
        """Store a batch. Raises ForkError unless the stored size is `batch.previous`."""
        ...

    def tile(self, level: int, index: int) -> bytes | None: ...
    def bundle(self, index: int) -> bytes | None: ...

    def close(self) -> None: ...

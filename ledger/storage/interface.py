"""Where logs are kept. A store is durable when `commit` returns, and refuses a second history.

A database holds one log or two: the second, `beside` the first, is the state log with the buckets
of the verifiable map. It moves in the transactions of the first and in no others.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol


class ForkError(Exception):
    """Somebody else moved the log: its head is not the one this batch was built on. Nothing was
    written. Open the log again, and see that only one process writes it."""


@dataclass(frozen=True, slots=True)
class Head:
    size: int
    note: str  # the signed checkpoint


@dataclass(frozen=True, slots=True)
class StorageBatch:
    """One transaction: all of it is durable, or none."""

    previous: int  # the size this batch was built on
    head: Head
    bundles: Mapping[int, bytes]
    tiles: Mapping[tuple[int, int], bytes]
    sealed: Mapping[bytes, tuple[int, bytes]] = field(default_factory=dict)  # tag -> index, sealed
    idempotency: Mapping[str, tuple[bytes, int]] = field(default_factory=dict)  # digest, first
    buckets: Mapping[int, tuple[bytes, bytes]] = field(default_factory=dict)  # root, records
    beside: "StorageBatch | None" = None  # of the state log: durable together with this one


class LogStore(Protocol):
    """One log. `commit` is fully persisted when it returns; reads are safe from any thread."""

    def head(self) -> Head | None: ...
    def commit(self, batch: StorageBatch) -> None:
        """Raises ForkError unless the stored size is `batch.previous`."""
        ...

    def tile(self, level: int, index: int) -> bytes | None: ...
    def bundle(self, index: int) -> bytes | None: ...

    def close(self) -> None: ...

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


class LeaseHeldError(ForkError):
    """Another process has the lease of the one writer. Nothing was written."""

    def __init__(self, log: str, holder: str) -> None:
        super().__init__(f"{log} is being written by {holder}: stop one of the two")
        self.holder = holder


class LeaseLostError(ForkError):
    """The writer lost its lease, so another one may write: stop answering, and exit.

    It never writes again. Whether a commit that was just made is stored is not known.
    """


class LeaseUnconfirmedError(ForkError):
    """The writer does not know whether it still has its lease: answer nothing until it does.

    It goes on when the lease is confirmed. Whether a commit that was just made is stored is not
    known; if it was, the lease is lost.
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
    transitions: Mapping[int, bytes] = field(
        default_factory=dict
    )  # entry of the state log -> record
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

"""The consent log as whoever follows it reads it."""

from collections.abc import Iterator
from typing import Protocol

from ledger.events.envelope import Instruction, PublicEvent
from ledger.vault.owners import Erasures


class ConsentEntry(Protocol):
    @property
    def index(self) -> int: ...
    @property
    def event(self) -> Instruction | PublicEvent: ...


class Followed(Protocol):
    """A consent log that yields its entries in log order, from any process."""

    @property
    def size(self) -> int: ...
    def follow(self, since: int) -> Iterator[ConsentEntry]: ...


class ListsErasures(Protocol):
    def erasures(self, since: int) -> Erasures:
        """Customers who were erased after the first `since` lines of the erasure list."""
        ...


class ErasureLog(Followed, ListsErasures, Protocol):
    """A consent log that also tells who was erased."""

"""What a house has about its customers, without a gate: nothing here is served to a service."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from gate.contracts.scene import Scene, SourceContract
from ledger.service import Ledger
from steward.oversight import review
from steward.oversight.register import Register


class SubjectRows(Protocol):
    def row(self, subject: str, columns: Sequence[str]) -> Mapping[str, Any] | None:
        """One customer's values, or None if there is no such customer."""
        ...


@dataclass(frozen=True, slots=True)
class CustomerRecords:
    home: Path
    ledger: Ledger
    source: SourceContract
    scenes: Mapping[str, Scene]
    tables: SubjectRows | None  # None: the house has no table of customers

    def register(self) -> Register:
        return Register(self.home / "register.sqlite", self.ledger, review.SCHEMA)

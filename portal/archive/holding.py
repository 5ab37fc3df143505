"""The records of a data directory from which customers' archives are made, without a gate."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from gate.contracts.scene import Scene
from gate.contracts.source import SourceContract
from gate.reads.sources.interface import SourceUnavailableError
from ledger.service import Ledger
from steward.language.catalogue import Catalogue
from steward.oversight.register import Register


class SubjectRows(Protocol):
    """The source of personal rows, as far as archives read it."""

    def row(self, subject: str, columns: Sequence[str]) -> Mapping[str, Any] | None:
        """One customer's values in `columns`, or None if there is no such customer.

        Raises SourceUnavailableError.
        """
        ...


@dataclass(frozen=True, slots=True)
class UnreachableRows:
    """A source that could not be opened: an archive then says that the row is missing from it."""

    reason: str

    def row(self, subject: str, columns: Sequence[str]) -> Mapping[str, Any] | None:  # noqa: ARG002
        raise SourceUnavailableError(self.reason)


@dataclass(frozen=True, slots=True)
class CustomerRecords:
    """The ledger, source and contracts of the data directory `home`.

    `spoken`: the company's languages by tag, the one to fall back to first.
    """

    home: Path
    ledger: Ledger
    source: SourceContract
    scenes: Mapping[str, Scene]
    tables: SubjectRows | None  # None: no table of customers
    spoken: Mapping[str, Catalogue]

    def register(self) -> Register:
        return Register(self.home, self.ledger)

"""Where personal rows live. One adapter file per engine, all behind `Source`."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol


class SourceUnavailableError(Exception):
    """The source could not answer; the gate then answers no personal data and says why."""


class Source(Protocol):
    """One table of personal rows, one row per customer. Thread-safe. Reads only."""

    def row(self, subject: str, columns: Sequence[str]) -> Mapping[str, Any] | None:
        """One customer's values, or None if the source has no such customer."""
        ...

    def rows(self, subjects: Sequence[str], columns: Sequence[str]) -> Any:
        """An Ibis table: `columns` of exactly these customers, joined inside the source."""
        ...

    def everybody(self, columns: Sequence[str]) -> Any:
        """An Ibis table: `columns` of all customers, for scenes based on the contract itself."""
        ...

    def count(self) -> int:
        """How many customers the source holds."""
        ...

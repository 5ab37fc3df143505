"""What a house has about its customers, without a gate: nothing here is served to a service."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gate.contract import Scene, Source
from gate.sources.duckdb import DuckDBSource
from gate.sources.postgres import PostgresSource
from ledger.ledger import Ledger
from steward import review
from steward.register import Register


@dataclass(frozen=True, slots=True)
class Holding:
    home: Path
    ledger: Ledger
    source: Source
    scenes: Mapping[str, Scene]
    tables: DuckDBSource | PostgresSource | None  # None: the house has no table of customers

    def register(self) -> Register:
        return Register(self.home / "register.sqlite", self.ledger, review.SCHEMA)

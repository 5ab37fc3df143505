"""What a service asks of one customer, and what it is answered."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gate.decision.decide import Decision, View
from gate.storage.deliveries import Logged
from ledger.vault.commitments import require_person


class StaleStateError(Exception):
    """The ledger is smaller than the size the caller requires. Nothing was read."""


@dataclass(frozen=True, slots=True)
class ReadRequest:
    """A request for one customer's `fields` in one scene.

    `minimum_size`: the smallest ledger size the answer may rest on, e.g. that of a receipt that the
    caller has seen.
    """

    service: str
    scene: str
    subject: str
    fields: tuple[str, ...]
    at: datetime
    minimum_size: int = 0
    purpose: str | None = None  # DPV term the caller states; must equal the contract's
    on_behalf_of: str | None = None  # id of the person for whom the service asks, for the read log

    def __post_init__(self) -> None:
        """Raises ValueError for an id that a read-log entry cannot have."""
        if self.on_behalf_of is not None:
            require_person(self.on_behalf_of)


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a `ReadRequest`.

    Every requested field has a value (None if withheld) and a view; a refused request has neither.
    """

    decision: Decision
    values: Mapping[str, Any]
    views: Mapping[str, View]
    release: str | None  # id of the release that the synthetic values come from
    entry: int  # index of the answer's entry in the read log
    read_log: str  # origin of the read log
    logged: Logged | None = None  # to note there what became of the answer

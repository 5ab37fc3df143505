"""What a service asks of one customer, and what it is answered."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from msgspec import UNSET

from gate.decision.decide import Decision, View
from gate.policy.compiled import Plan
from gate.readlog.writer import ReadLogEntry
from gate.state.ledger_position import ConsentPoint
from gate.storage.deliveries import Logged
from ledger.verify.masked_persons import require_person


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
class DecidedRead:
    """A request and what was decided of it. `plan`: None for an unknown scene.

    `point`: the ledger's size and root that the decision rests on.
    """

    request: ReadRequest
    plan: Plan | None
    decision: Decision
    point: ConsentPoint

    @property
    def entry(self) -> ReadLogEntry:
        """What is logged of it."""
        request, plan, decision = self.request, self.plan, self.decision
        synthetic = plan is not None and View.SYNTHETIC in decision.views.values()
        return ReadLogEntry(
            action="read",
            at=request.at.replace(microsecond=0),
            service=request.service,
            scene=request.scene,
            rows=1 if decision.views else 0,
            fields=request.fields,
            views=decision.views,
            reason=decision.reason,
            determined_by=decision.determined_by,
            on_behalf_of=UNSET if request.on_behalf_of is None else request.on_behalf_of,
            plan=plan.digest if plan else "",
            release=plan.release if plan and synthetic else None,
            consent=self.point,
        )


@dataclass(frozen=True, slots=True)
class AnsweredRead:
    """A read with the values of its answer, which may not leave before its entry is durable."""

    read: DecidedRead
    values: Mapping[str, Any]


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

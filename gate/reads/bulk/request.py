"""A request for many customers' data, and what contract, policy and customers make of it."""

from dataclasses import dataclass
from datetime import datetime

from gate.contracts.scene import ReadShape
from gate.decision import purpose
from gate.decision.decide import Reason, refusal
from gate.policy.compiled import Plan
from gate.reads import filter  # noqa: A004 - a filter is what the field calls it
from gate.reads.bulk import recheck
from gate.reads.bulk.recheck import Admitted
from gate.reads.filter import FilterCondition, Test
from gate.reads.point import Gate
from gate.state.ledger_position import ConsentPoint


@dataclass(frozen=True, slots=True)
class TableRequest:
    """A request for many customers' `fields` in one scene. `minimum_size`: see `ReadRequest`.

    `purpose`: the DPV term that the caller states; it must equal the contract's.
    """

    service: str
    scene: str
    fields: tuple[str, ...]
    at: datetime
    minimum_size: int = 0
    filter: tuple[FilterCondition, ...] = ()
    purpose: str | None = None

    @property
    def looked_at(self) -> tuple[str, ...]:
        """The requested fields and those that the filter uses."""
        return tuple(dict.fromkeys((*self.fields, *filter.fields(self.filter))))


@dataclass(frozen=True, slots=True)
class AdmittedRequest:
    """A request that contract and policy allow, and the customers who grant it."""

    request: TableRequest
    plan: Plan
    tests: tuple[Test, ...]
    wanted: int  # the bits of the fields that are looked at
    admitted: Admitted

    @property
    def subjects(self) -> list[str]:
        return self.admitted.subjects

    @property
    def point(self) -> ConsentPoint:
        return self.admitted.point

    @property
    def columns(self) -> tuple[str, ...]:
        return self.request.looked_at


def admit(gate: Gate, request: TableRequest, shape: ReadShape) -> AdmittedRequest | Reason:
    plan = gate.plan(request.service, request.scene)
    if plan is None:
        return Reason.UNKNOWN_SCENE
    refused = refusal(plan, request.fields) or refusal(plan, request.looked_at)
    if refused is not None:
        return refused
    if shape not in plan.scene.shapes:
        return Reason.SHAPE_OUTSIDE_SCENE
    if not purpose.agrees(request.purpose, plan.scene):
        return Reason.PURPOSE_DIFFERS
    tests = filter.check(request.filter, plan.scene)
    wanted = plan.mask(request.looked_at) or 0
    who = recheck.admitted(gate, plan, wanted, request.at, request.minimum_size)
    return AdmittedRequest(request, plan, tests, wanted, who)

"""A request for named customers, and the decision on each of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from gate.decision.decide import Verdict, verdict
from gate.policy.compiled import Plan
from gate.reads.point import Gate
from gate.state import consent_bits
from gate.state.ledger_position import ConsentPoint

MAX_NAMED = 10_000  # ids of one request


class NamedRequestError(ValueError):
    """The ids are none, too many, or not distinct. The message says which."""


@dataclass(frozen=True, slots=True)
class NamedRequest:
    """A request for the `fields` of these customers in one scene.

    `minimum_size`, `purpose`: see `gate.reads.request.ReadRequest`. Raises NamedRequestError.
    """

    service: str
    scene: str
    subjects: tuple[str, ...]
    fields: tuple[str, ...]
    at: datetime
    minimum_size: int = 0
    purpose: str | None = None

    def __post_init__(self) -> None:
        if not 0 < len(self.subjects) <= MAX_NAMED:
            number = len(self.subjects)
            raise NamedRequestError(f"{number} ids, want 1 to {MAX_NAMED}; split the request")
        if len({*self.subjects}) < len(self.subjects):
            first: dict[str, int] = {}
            for place, each in enumerate(self.subjects):
                if (before := first.setdefault(each, place)) != place:
                    same = f"ids[{place}] is {each[:64]!r}, as ids[{before}] is"
                    raise NamedRequestError(f"{same}; name each customer once")


@dataclass(frozen=True, slots=True)
class NamedDecisions:
    """What is decided about each of the customers, in their order, at one ledger position.

    `determined_by`: the entry of the consent log that each rests on.
    """

    verdicts: Sequence[Verdict]
    determined_by: Sequence[int | None]
    point: ConsentPoint
    erasures: int  # how many customers were erased by then
    people: int  # who ever gave an instruction


def decide_named(
    gate: Gate, request: NamedRequest, plan: Plan, at: datetime, minimum_size: int | None = None
) -> NamedDecisions:
    """Decide on all customers of a request at one ledger position. Raises StaleStateError."""
    scene, minute = request.scene, consent_bits.minute(at)
    wanted = request.minimum_size if minimum_size is None else minimum_size
    with gate.lock:
        state, point = gate.current(wanted)
        lookup = partial(gate.consent, state) if state.unsaid(scene) else state.bits_and_entry
        found = [lookup(scene, each) for each in request.subjects]
        stale, erasures, people = state.stale(scene, minute), state.erasures, state.people
    verdicts = [
        verdict(plan, request.fields, bits, minute, stale if bits & consent_bits.ALL_ARMED else 0)
        for bits, _ in found
    ]
    return NamedDecisions(verdicts, [index for _, index in found], point, erasures, people)

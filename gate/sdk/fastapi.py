"""The gate as a FastAPI dependency: a route states what it reads, and is given the answer.

    segment = reads(gate, "analytics", "segmentation", ["age", "job"])

    @app.get("/segments/{customer}")
    def show(answer: Annotated[Answer, Depends(segment)]) -> dict[str, Any]:
        return {"age": answer.values["age"], "view": answer.views["age"]}

A request that contract or policy refuses ends in 403, one over the quota in 429, and one that the
gate cannot answer now in 503; the route is never entered. Everything else, withheld and synthetic
values too, is an answer: routes read the views.
"""

from collections.abc import Callable, Sequence
from datetime import datetime

from fastapi import HTTPException, Request

from gate.decision.decide import Reason
from gate.readlog.writer import JournalError
from gate.reads.point import Answer, Gate, ReadRequest, StaleStateError
from gate.reads.sources.interface import SourceUnavailableError
from ledger.clock import now


def reads(
    gate: Gate,
    service: str,
    scene: str,
    fields: Sequence[str],
    customer: str = "customer",
    clock: Callable[[], datetime] = now,
) -> Callable[[Request], Answer]:
    """A dependency that reads `fields` of the customer whom the path parameter `customer` names."""

    def answered(request: Request) -> Answer:
        subject = str(request.path_params[customer])
        asked = ReadRequest(service, scene, subject, tuple(fields), clock())
        try:
            answer = gate.read(asked)
        except (StaleStateError, SourceUnavailableError, JournalError) as error:
            raise HTTPException(503, "the gate cannot answer now; treat it as no data") from error
        if answer.decision.refused:
            raise _refused(answer.decision.reason)
        return answer

    return answered


def _refused(reason: Reason) -> HTTPException:
    return HTTPException(429 if reason is Reason.QUOTA_EXCEEDED else 403, reason.value)

"""A FastAPI dependency: a route declares which fields it reads and receives the gate's answer.

    segment = reads(gate, "analytics", "segmentation", ["age", "job"])

    @app.get("/segments/{customer}")
    def show(answer: Annotated[Answer, Depends(segment)]) -> dict[str, Any]:
        return {"age": answer.values["age"], "view": answer.views["age"]}

A request that contract or policy refuses is answered 403, one beyond the quota 429, one that the
gate cannot answer now 503; the route is not called. Withheld and synthetic values are answers, too:
the route must check the views.
"""

from collections.abc import Callable, Sequence
from datetime import datetime

from fastapi import HTTPException, Request

from gate.decision.decide import Reason
from gate.readlog.writer import JournalError
from gate.reads.point import Gate
from gate.reads.request import Answer, ReadRequest, StaleStateError
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
    """A dependency that reads `fields` of the customer in the path parameter `customer`."""

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

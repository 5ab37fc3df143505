"""Route `GET /healthz`: the health of the jobs of the served product.

    {"status": "degraded",
     "jobs": {"delivery": {"status": "failing", "failures": 3,
                           "last_started": "2026-11-21T12:00:04Z",
                           "last_finished": "2026-11-21T12:00:04Z",
                           "last_success": "2026-11-21T11:58:50Z",
                           "next_run": "2026-11-21T12:00:12Z"}, …},
     "witnesses": {"witness.example/w1": "cosigned", "witness.example/w2": "left out"},
     "suspended": ["recommendation"]}

The route is public, so errors, which name files and hosts, are left out; the desk and `sovereign
jobs` show them. The HTTP status is 200 even when degraded, because pages are still served.
"""

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from gate.http.policy_questions import suspended
from portal.operations.job_results import JobResults
from portal.web.pages import context

router = APIRouter(include_in_schema=False)

PRIVATE = {"error", "limit_s"}


@router.get("/healthz")
def healthz(request: Request) -> Response:
    at = context(request).clock()
    snapshot = job_results(request).snapshot(at)
    health = snapshot.health(at)
    jobs = {
        name: {"status": health[name]}
        | {key: value for key, value in each.body().items() if key not in PRIVATE}
        for name, each in snapshot.jobs.items()
    }
    stopped = suspended(context(request).product.gate)
    status = "degraded" if stopped or snapshot.degraded(at) else "ok"
    body = {
        "status": status,
        "jobs": jobs,
        "witnesses": _witnesses(request),
        "suspended": stopped,
    }
    return JSONResponse(body, headers={"Cache-Control": "no-store"})


def _witnesses(request: Request) -> dict[str, str]:
    """Whether each witness cosigned when it was asked last. Why it did not is not public."""
    ledger = context(request).product.ledger
    left_out = ledger.left_out()
    return {name: "left out" if name in left_out else "cosigned" for name in ledger.witnesses()}


def job_results(request: Request) -> JobResults:
    results: JobResults = request.app.state.job_results
    return results

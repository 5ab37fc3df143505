"""Routes for services' submissions: signals, explanations of decisions, and risky proposals.

    POST /v1/signals             a model's figure, signed    201 {"signal": "accuracy", …}
    POST /v1/decisions           attach an explanation to a read             201 {"number": 7}
    POST /v1/proposals           may I do this?      200 {"waits": true, "number": 8}
    POST /v1/proposals/8/ruling  what was decided?   200 {"decided": true, "verdict": "edit", …}

The bearer token identifies the service. It sees only its own proposals.
"""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path
from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, StrictStr
from starlette.requests import Request

from gate.decision.key_scope import KeyedService
from gate.http import connection
from gate.http.app import Authenticator
from portal.desk.office import Office
from portal.web.pages import context
from portal.web.problems import UnauthenticatedError
from steward.oversight.explanations import Explanation, Reference
from steward.oversight.review import Proposal

router = APIRouter(prefix="/v1", tags=["decisions"])

Subject = Annotated[str, Field(min_length=1, max_length=200)]
PersonName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}$")]


class ExplainedDecisionBody(BaseModel):
    """A decision, explained. `inputs`: values as entry `entry` of `read_log` answered them."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())

    subject: Subject
    outcome: str
    inputs: dict[str, StrictStr | StrictBool | StrictInt | None]
    reasons: list[str]
    model: str
    model_version: str
    prompt_version: str = ""
    read_log: str
    entry: StrictInt
    tokens: Annotated[StrictInt, Field(ge=0, le=10**9)] | None = None
    on_behalf_of: PersonName | None = None


class Proposed(BaseModel):
    """What a service is about to do, in the exact text that it would use."""

    model_config = ConfigDict(extra="forbid")

    subject: Subject
    text: str
    operations: list[str] = []
    on_behalf_of: PersonName | None = None


class Signed(BaseModel):
    """A signal-reported event as a signed note (C2SP), by a key registered in the log."""

    model_config = ConfigDict(extra="forbid")

    note: str


class SubjectBody(BaseModel):
    """The customer of a proposal."""

    model_config = ConfigDict(extra="forbid")

    subject: Subject


def asker(request: Request) -> str:
    """The service whose token came with the request; a KeyedService if that was an API key.

    Raises UnauthenticatedError, and KeyScopeError for an API key that is not for this.
    """
    authenticator: Authenticator = request.app.state.authenticator
    name = authenticator.service(dict(request.headers.raw))
    if isinstance(name, KeyedService):
        by_agent = connection.by_agent(request.scope)
        name.require_endpoint(request.url.path, by_agent=by_agent)
        if not by_agent:  # what agents ask for is held to the scenes of their key, where it has one
            name.require_every_scene(request.url.path)
    if name is None:
        raise UnauthenticatedError
    return name


def service(by: "Asker") -> str:
    """The id of the service whose token came with the request. Raises as `asker`."""
    return str(by)


def office(request: Request) -> Office:
    office: Office = request.app.state.office
    return office


Asker = Annotated[str, Depends(asker)]
Service = Annotated[str, Depends(service)]
Here = Annotated[Office, Depends(office)]
Number = Annotated[int, Path(ge=1, le=10**9)]


@router.post("/signals", status_code=201)
def report(request: Request, here: Here, _by: Service, signed: Signed) -> dict[str, Any]:
    """Report a figure that triggers watch. The signer counts, not the sender."""
    event = here.signals.accept(signed.note, context(request).clock())
    return {"source": event.source, "signal": event.signal, "value": event.value, "at": event.at}


@router.post("/decisions", status_code=201)
def explain(request: Request, by: Asker, decision: ExplainedDecisionBody) -> dict[str, int]:
    """Attach inputs, reasons, model and prompt version to a decision; the customer can read it."""
    here = context(request)
    reading = Reference(decision.read_log, decision.entry)
    if isinstance(by, KeyedService) and (scene := here.explanations.scene(reading)) is not None:
        by.require_scene(scene)
    explanation = Explanation(
        service=str(by),
        outcome=decision.outcome,
        inputs=decision.inputs,
        reasons=tuple(decision.reasons),
        model=decision.model,
        model_version=decision.model_version,
        prompt_version=decision.prompt_version,
        reading=reading,
        tokens=decision.tokens,
        on_behalf_of=decision.on_behalf_of,
    )
    return {"number": here.explanations.attach(explanation, decision.subject, here.clock())}


@router.post("/proposals")
def propose(request: Request, here: Here, by: Service, proposed: Proposed) -> dict[str, Any]:
    """Submit what you are about to do. If it waits, do nothing until it is decided."""
    declared = frozenset(proposed.operations)
    proposal = Proposal(by, proposed.subject, proposed.text, declared, proposed.on_behalf_of)
    number = here.reviews.propose(proposal, context(request).clock())
    return {"waits": number is not None, "number": number}


@router.post("/proposals/{number}/ruling")
def ruling(here: Here, by: Service, number: Number, asked: SubjectBody) -> dict[str, Any]:
    """The review decision on your proposal. `text` may be carried out; null: nothing may."""
    decision = here.reviews.decision(number, asked.subject, by)
    if decision is None:
        return {"decided": False}
    return {
        "decided": True,
        "verdict": decision.verdict,
        "text": decision.text,
        "reason": decision.reason,
        "at": decision.at,
    }

"""Builds the OpenAPI 3.1 description of the service API from the types that decode requests.

Answers are declared here; tests/gate/test_schema.py checks the gate against them.
"""

from collections.abc import Iterable, Mapping
from types import UnionType
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Struct, UnsetType

from gate.decision.decide import Reason, View
from gate.http import app, authzen, changes, reads, series
from gate.http.response import Problem
from gate.http.series import SeriesAnswer, SeriesBody
from gate.policy.decisions import PolicyReason
from gate.reads.bulk import formats

AUTHZEN = "OpenID AuthZEN Authorization API 1.0"
PROBLEMS = {
    400: "The request is malformed",
    401: "No valid bearer token",
    403: "The contract does not allow this read",
    429: "The service has used up its quota for this scene",
    503: "The gate is behind the ledger, or the source is down; nothing was read",
}
EVERY_PROBLEM = PROBLEMS | {
    406: "The answer is written in none of the accepted formats",
    408: "The body did not arrive in time",
    413: "The body is too large",
}
STREAMED = {"/v1/named", "/v1/rows", "/v1/table"}
COMPLETION = {
    "description": "How synthetic rows replace customers without consent: the mode, the release "
    "used, and the error of a segment's count in per cent; absent without synthetic rows",
    "required": True,
    "schema": {"type": "string"},
    "example": 'release-anchored;release="segmentation-0";mean=1.4;p95=4.9;covers="noise"',
}
EVIDENCE = {
    "description": "The entry of the read log, and the ledger size that the answer rests on",
    "required": True,
    "schema": {"type": "string"},
    "example": 'entry=12;ledger_size=7;read_log="gate.example/reads/one"',
}
ONLY_AT = {
    403: {"/v1/read", series.PATH, *STREAMED},
    406: STREAMED,
    429: {"/v1/read", *STREAMED},
}
METADATA_PROBLEMS = (400,)
CHANGES_PROBLEMS = {
    400: "A parameter, or the token, is not understood",
    401: "No valid bearer token",
    410: "Lines after this token are no longer kept",
    429: "The service has used up its quota, or too many of its polls wait",
    503: "The feed cannot follow the ledger now; use no data meanwhile",
}


class Why(Struct, forbid_unknown_fields=True):
    """The reasons of a decision about a customer. Where it is logged says a header."""

    reason: Reason
    views: dict[str, View]
    ledger_size: int
    determined_by: int | None


class Decided(Struct, forbid_unknown_fields=True):
    decision: bool
    context: Why


class PolicyWhy(Struct, forbid_unknown_fields=True):
    """The reason of a decision by the company's policy, about a resource that is no customer's."""

    reason: PolicyReason


class PolicyDecided(Struct, forbid_unknown_fields=True):
    decision: bool
    context: PolicyWhy


_REASONS = "|".join(sorted({each.value for each in (*Reason, *PolicyReason)}))
AnyReason = Annotated[str, msgspec.Meta(pattern=f"^({_REASONS})$")]


class ElementError(Struct, forbid_unknown_fields=True):
    status: int
    message: str


class ElementWhy(Struct, forbid_unknown_fields=True):
    """As Why or PolicyWhy; or what is wrong with this element."""

    reason: AnyReason | UnsetType = UNSET
    views: dict[str, View] | UnsetType = UNSET
    ledger_size: int | UnsetType = UNSET
    determined_by: int | UnsetType | None = UNSET
    error: ElementError | UnsetType = UNSET


class DecidedElement(Struct, forbid_unknown_fields=True):
    decision: bool
    context: ElementWhy


class DecidedBatch(Struct, forbid_unknown_fields=True):
    evaluations: list[DecidedElement]


class FoundEntity(Struct, forbid_unknown_fields=True):
    type: str
    id: str


class FoundAction(Struct, forbid_unknown_fields=True):
    name: str


class FoundPage(Struct, forbid_unknown_fields=True):
    """`next_token` is empty on the last page."""

    next_token: str
    count: int | UnsetType = UNSET
    total: int | UnsetType = UNSET


class FoundEntities(Struct, forbid_unknown_fields=True):
    results: list[FoundEntity]
    page: FoundPage


class FoundActions(Struct, forbid_unknown_fields=True):
    results: list[FoundAction]
    page: FoundPage


class ReadField(Struct, forbid_unknown_fields=True):
    """`view` says what `value` is; a withheld one is null."""

    value: Any
    view: View


class ReadAnswer(Struct, forbid_unknown_fields=True):
    decision: bool
    reason: Reason
    fields: dict[str, ReadField]
    release: str | None
    ledger_size: int
    determined_by: int | None
    read_log: str
    entry: int


class Metadata(Struct, forbid_unknown_fields=True):
    policy_decision_point: str
    access_evaluation_endpoint: str
    access_evaluations_endpoint: str
    search_subject_endpoint: str
    search_resource_endpoint: str
    search_action_endpoint: str


ANSWERS: dict[str, Any] = {
    "/v1/read": ReadAnswer,
    series.PATH: SeriesAnswer,
    "/access/v1/evaluation": Decided | PolicyDecided,
    "/access/v1/evaluations": Decided | PolicyDecided | DecidedBatch,
    "/access/v1/search/subject": FoundEntities,
    "/access/v1/search/resource": FoundEntities,
    "/access/v1/search/action": FoundActions,
    app.METADATA: Metadata,
    changes.PATH: changes.ChangesAnswer,
}
OPERATIONS: dict[str, tuple[str, str, type]] = {
    "/v1/read": ("read", "Read one customer's fields for one scene", reads.ReadBody),
    "/v1/named": (
        "named",
        "Read fields of up to 10,000 named customers for one scene",
        reads.NamedBody,
    ),
    "/v1/rows": ("rows", "Read many customers' fields for one scene, with ids", reads.RowsBody),
    "/v1/table": ("table", "Read everybody's fields for one scene, for analysis", reads.TableBody),
    series.PATH: ("series", "Get a series over events of a scene for statistics", SeriesBody),
    "/access/v1/evaluation": ("evaluation", f"Decide one access ({AUTHZEN})", authzen.Evaluation),
    "/access/v1/evaluations": (
        "evaluations",
        f"Decide several accesses ({AUTHZEN})",
        authzen.Evaluations,
    ),
    "/access/v1/search/subject": (
        "subjects",
        f"Search subjects ({AUTHZEN})",
        authzen.SubjectSearch,
    ),
    "/access/v1/search/resource": (
        "resources",
        f"Search resources ({AUTHZEN})",
        authzen.ResourceSearch,
    ),
    "/access/v1/search/action": ("actions", f"Search actions ({AUTHZEN})", authzen.ActionSearch),
}


def describe(document: dict[str, Any]) -> dict[str, Any]:
    """`document` with the service API added: paths, request bodies, answers, problems."""
    requests = {path: body for path, (_, _, body) in OPERATIONS.items()}
    wanted = [Problem, *requests.values(), *_answer_types()]
    schemas, components = msgspec.json.schema_components(
        wanted, ref_template="#/components/schemas/{name}"
    )
    schema = dict(zip(wanted, schemas, strict=True))
    paths: dict[str, Any] = {
        path: {"post": _operation(path, schema, body)} for path, body in requests.items()
    }
    paths[app.METADATA] = {"get": _metadata(schema)}
    paths[changes.PATH] = {"get": _changes(schema)}
    known = document.setdefault("components", {})
    known.setdefault("schemas", {}).update(components)
    known["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    document["paths"] = paths | document.get("paths", {})
    return document


def _answer_types() -> list[type]:
    every = [each for answer in ANSWERS.values() for each in _alternatives(answer)]
    return [*dict.fromkeys(every)]


def _alternatives(answer: Any) -> tuple[type, ...]:
    return answer.__args__ if isinstance(answer, UnionType) else (answer,)


def _operation(path: str, schema: dict[type, Any], body: type) -> dict[str, Any]:
    name, summary, _ = OPERATIONS[path]
    statuses = [status for status in EVERY_PROBLEM if path in ONLY_AT.get(status, {path})]
    return {
        "operationId": name,
        "summary": summary,
        "security": [{"token": []}],
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": schema[body]}},
        },
        "responses": _responses(path, schema, statuses),
    }


def _metadata(schema: dict[type, Any]) -> dict[str, Any]:
    return {
        "operationId": "metadata",
        "summary": f"Metadata of the decision point ({AUTHZEN})",
        "responses": _responses(app.METADATA, schema, METADATA_PROBLEMS),
    }


def _changes(schema: dict[type, Any]) -> dict[str, Any]:
    least = {"limit": (1, changes.MAX_LIMIT), "wait": (0, changes.MAX_WAIT_S)}
    numbers = {
        name: {"type": "integer", "minimum": low, "maximum": high}
        for name, (low, high) in least.items()
    }
    forms = {"since": {"type": "string"}, **numbers}
    words = {
        "since": "The last token that you received; without it, from the first line that is kept",
        "limit": "How many lines at most",
        "wait": "How many seconds to wait for a line",
    }
    return {
        "operationId": "changes",
        "summary": "What you must forget, or may read again, of whom you read; by long-poll",
        "security": [{"token": []}],
        "parameters": [
            {"name": name, "in": "query", "description": words[name], "schema": form}
            for name, form in forms.items()
        ],
        "responses": _responses(changes.PATH, schema, CHANGES_PROBLEMS, CHANGES_PROBLEMS),
    }


def _responses(
    path: str,
    schema: dict[type, Any],
    statuses: Iterable[int],
    problems: Mapping[int, str] = EVERY_PROBLEM,
) -> dict[str, Any]:
    form = {"application/problem+json": {"schema": schema[Problem]}}
    answer = {"description": "The answer", "content": _answers(path, schema)}
    if path in STREAMED:
        answer["headers"] = {formats.COMPLETION: COMPLETION, formats.EVIDENCE: EVIDENCE}
    if path.startswith("/access/v1/"):
        answer["headers"] = {formats.EVIDENCE: EVIDENCE | {"required": False}}
    refused = {str(s): {"description": problems[s], "content": form} for s in statuses}
    return {"200": answer} | refused


def _answers(path: str, schema: dict[type, Any]) -> dict[str, Any]:
    if path in STREAMED:
        return {form: {"schema": {"type": "string", "format": "binary"}} for form in formats.FORMS}
    kinds = [schema[each] for each in _alternatives(ANSWERS[path])]
    return {"application/json": {"schema": kinds[0] if len(kinds) == 1 else {"oneOf": kinds}}}

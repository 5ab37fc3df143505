"""The OpenAPI 3.1 description of the service API, from the very types that decode the requests."""

from typing import Any

import msgspec

from gate import authzen, http, rows

AUTHZEN = "OpenID AuthZEN Authorization API 1.0"
PROBLEMS = {
    400: "The request is malformed",
    401: "No valid bearer token",
    403: "The contract does not allow this read",
    503: "The gate is behind the ledger, or the source is down; nothing was read",
}
OPERATIONS: dict[str, tuple[str, str, type]] = {
    "/v1/read": ("read", "Read one customer's fields for one scene", http.Read),
    "/v1/table": ("table", "Read everybody's fields for one scene, for analysis", http.Table),
    "/access/v1/evaluation": ("evaluation", f"May I? ({AUTHZEN})", authzen.Evaluation),
    "/access/v1/evaluations": ("evaluations", f"May I? Often ({AUTHZEN})", authzen.Evaluations),
    "/access/v1/search/subject": ("subjects", f"Who may? ({AUTHZEN})", authzen.SubjectSearch),
    "/access/v1/search/resource": ("resources", f"Whose? ({AUTHZEN})", authzen.ResourceSearch),
    "/access/v1/search/action": ("actions", f"What may I do? ({AUTHZEN})", authzen.ActionSearch),
}


def describe(document: dict[str, Any]) -> dict[str, Any]:
    """`document` with the service API added: paths, request bodies, answers, problems."""
    types = [each for _, _, each in OPERATIONS.values()]
    bodies, components = msgspec.json.schema_components(
        [*types, http.Problem], ref_template="#/components/schemas/{name}"
    )
    paths = {
        path: {"post": _operation(path, body, bodies[-1])}
        for path, body in zip(OPERATIONS, bodies, strict=False)
    }
    known = document.setdefault("components", {})
    known.setdefault("schemas", {}).update(components)
    known["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    document["paths"] = paths | document.get("paths", {})
    return document


def _operation(path: str, body: dict[str, Any], problem: dict[str, Any]) -> dict[str, Any]:
    name, summary, _ = OPERATIONS[path]
    form = {"application/problem+json": {"schema": problem}}
    problems = {str(s): {"description": text, "content": form} for s, text in PROBLEMS.items()}
    return {
        "operationId": name,
        "summary": summary,
        "security": [{"token": []}],
        "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
        "responses": {"200": {"description": "The answer", "content": _answers(path)}} | problems,
    }


def _answers(path: str) -> dict[str, Any]:
    if path == "/v1/table":
        return {form: {"schema": {"type": "string", "format": "binary"}} for form in rows.FORMS}
    return {"application/json": {"schema": {"type": "object"}}}

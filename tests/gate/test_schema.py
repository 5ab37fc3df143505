"""The service API does what its OpenAPI description says, whatever is sent (schemathesis).

pytest --prove tests/gate/test_schema.py           many more requests for each operation
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from schemathesis import Case, GenerationMode
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi import checks
from starlette.responses import JSONResponse
from starlette.routing import Route

from gate.changes.feed import ChangeFeed
from gate.http.app import METADATA, GateApp
from gate.http.changes import PATH
from ledger.events.envelope import Granted
from portal.service.description import OPERATIONS, describe
from tests.campaign import sized
from tests.gate.hostile import TEMPLATES
from tests.gate.world import NOON, world

EXAMPLES = sized(10, 250)
CHECKS = [
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]
EVERY = [(path, "POST") for path in OPERATIONS] + [(METADATA, "GET"), (PATH, "GET")]


class Tokens:
    def service(self, headers: Mapping[bytes, bytes]) -> str | None:
        return "analytics" if headers.get(b"authorization") == b"Bearer a" else None


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> GateApp:
    bank = world(home := tmp_path_factory.mktemp("bank"))
    bank.says("c1", Granted("segmentation", ("age", "job"), None))
    feed = ChangeFeed(bank.gate, bank.ledger, home, bytes(32), NOON)
    return GateApp(bank.gate, Tokens(), clock=lambda: NOON, feed=feed)


def described(gate: GateApp, document: dict[str, Any]) -> Any:
    """The gate mounted as the portal mounts it, beside a description of it."""
    app = FastAPI(openapi_url=None)
    app.router.routes.extend(Route(path, gate) for path, _ in EVERY)
    app.router.routes.append(Route("/openapi.json", lambda _: JSONResponse(document)))
    return schemathesis.openapi.from_asgi("/openapi.json", app)


def document() -> dict[str, Any]:
    return describe({"openapi": "3.1.0", "info": {"title": "The gate", "version": "1"}})


@pytest.fixture(scope="module")
def api(gate: GateApp) -> Any:
    return described(gate, document())


def judged(case: Case[Any], authorization: str = "Bearer a", accept: str = "*/*") -> int:
    """The status of an answer that conforms to the description. 5xx only where a caller demands
    a ledger entry that the gate has not seen."""
    if case.path == PATH and case.query and "wait" in case.query:
        case.query["wait"] = 0  # a test does not wait for a line that does not come
    headers = {"Authorization": authorization, "Accept": accept}
    answer = case.call_and_validate(headers=headers, checks=CHECKS)
    if answer.status_code >= 500:
        assert answer.json()["type"] == "urn:sovereign:problem:stale"
        assert "minimum_size" in str(answer.request.body)
    return int(answer.status_code)


def hold(strategy: st.SearchStrategy[Case[Any]], authorization: str = "Bearer a") -> set[int]:
    """Judge EXAMPLES cases; the statuses they were answered with."""
    statuses: set[int] = set()

    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[*HealthCheck])
    @given(strategy)
    def judge(case: Case[Any]) -> None:
        statuses.add(judged(case, authorization))

    judge()
    return statuses


@pytest.mark.campaign
@pytest.mark.parametrize(("path", "method"), EVERY)
def test_requests_of_the_described_form_are_answered_as_described(
    api: Any, path: str, method: str
) -> None:
    statuses = hold(api[path][method].as_strategy(generation_mode=GenerationMode.POSITIVE))
    assert statuses


@pytest.mark.campaign
@pytest.mark.parametrize("path", OPERATIONS)
def test_requests_of_another_form_are_answered_as_described(api: Any, path: str) -> None:
    statuses = hold(api[path]["POST"].as_strategy(generation_mode=GenerationMode.NEGATIVE))
    assert statuses


def known(path: str) -> Iterator[dict[str, Any]]:
    """Requests that name a real scene and real fields, about somebody who granted and others."""
    for customer in ("c1", "c2", "nobody"):
        text = json.dumps(TEMPLATES[path]).replace('"c1"', f'"{customer}"')
        yield json.loads(text.replace('"c2"', f'"{customer}"'))
    yield json.loads(json.dumps(TEMPLATES[path]).replace('"segmentation"', '"direct-marketing"'))


@pytest.mark.campaign
@pytest.mark.parametrize(
    "path", [*TEMPLATES]
)  # series are in no scene here: tests/gate/test_series
def test_requests_about_what_there_is_are_answered_as_described(api: Any, path: str) -> None:
    statuses = {
        judged(api[path]["POST"].Case(body=body, media_type="application/json"))
        for body in known(path)
    }
    assert 200 in statuses


@pytest.mark.campaign
@pytest.mark.parametrize("path", OPERATIONS)
def test_requests_of_nobody_are_401_as_described(api: Any, path: str) -> None:
    strategy = api[path]["POST"].as_strategy(generation_mode=GenerationMode.POSITIVE)
    assert hold(strategy, "Bearer x") == {401}


def test_an_accept_header_that_names_no_form_is_406_as_described(api: Any) -> None:
    case = api["/v1/table"]["POST"].Case(body=TEMPLATES["/v1/table"], media_type="application/json")
    assert judged(case, accept="image/png") == 406


def without_status(operation: dict[str, Any], problem: dict[str, Any]) -> None:
    del operation["responses"]["401"]


def without_form(operation: dict[str, Any], problem: dict[str, Any]) -> None:
    content = operation["responses"]["401"]["content"]
    content["text/plain"] = content.pop("application/problem+json")


def without_member(operation: dict[str, Any], problem: dict[str, Any]) -> None:
    del problem["properties"]["detail"]
    problem["additionalProperties"] = False


@pytest.mark.parametrize("leave_out", [without_status, without_form, without_member])
def test_what_the_description_leaves_out_is_noticed(gate: GateApp, leave_out: Any) -> None:
    changed = document()
    leave_out(changed["paths"]["/v1/read"]["post"], changed["components"]["schemas"]["Problem"])
    operation = described(gate, changed)["/v1/read"]["POST"]
    case = operation.Case(body=TEMPLATES["/v1/read"], media_type="application/json")
    with pytest.raises(FailureGroup):
        judged(case, "Bearer x")


def test_the_description_admits_nothing_that_is_not_answered() -> None:
    """What conforms is shown above; here, that the schemas would notice: they are closed."""
    refer = {"$ref": "#/components/schemas/Decided", "components": document()["components"]}
    validator = Draft202012Validator(refer)
    context = {"reason": "granted", "views": {}, "ledger_size": 1, "determined_by": 0}
    assert validator.is_valid({"decision": True, "context": context})
    assert not validator.is_valid({"decision": "true", "context": context})
    assert not validator.is_valid({"decision": True, "context": context | {"name": "Ada"}})
    assert not validator.is_valid({"decision": True, "context": context | {"reason": "because"}})

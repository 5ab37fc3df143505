"""The AuthZEN 1.0 certification scenario (Basic, Batch, Search, Discovery), asked of this gate.

The scenario's two subjects are here the services `analytics` and `crm`, its two records the
customers c1 (who granted) and c2 (who did not). The gate knows one action, `read`, and the scene
stands in the context; what the scenario asks of `write` and of properties is held to here in the
one way the product can: neither ever turns a no into a yes.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from gate.http.app import GateApp
from ledger.events.envelope import Granted, Withdrawn
from tests.gate.world import NOON, World, world

pytestmark = pytest.mark.anyio

EVALUATION = "/access/v1/evaluation"
EVALUATIONS = "/access/v1/evaluations"
SUBJECTS = "/access/v1/search/subject"
RESOURCES = "/access/v1/search/resource"
ACTIONS = "/access/v1/search/action"
METADATA = "/.well-known/authzen-configuration"
BASE = "https://gate.example"

ANALYTICS = {"type": "service", "id": "analytics"}
READ = {"name": "read"}
C1 = {"type": "customer", "id": "c1"}
C2 = {"type": "customer", "id": "c2"}
SCENE = {"scene": "segmentation", "fields": ["age"]}
PERMIT: dict[str, Any] = {"subject": ANALYTICS, "action": READ, "resource": C1, "context": SCENE}
DENY = PERMIT | {"resource": C2}


class Tokens:
    def service(self, headers: Mapping[bytes, bytes]) -> str | None:
        return {b"Bearer a": "analytics", b"Bearer c": "crm"}.get(
            headers.get(b"authorization", b"")
        )


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> World:
    """The scenario's fixture: c1 granted, c2 did not. Nothing below changes it."""
    bank = world(tmp_path_factory.mktemp("bank"))
    bank.says("c1", Granted("segmentation", ("age", "job"), None))
    return bank


@pytest.fixture
async def pdp(bank: World) -> AsyncIterator[httpx.AsyncClient]:
    async with client(bank) as each:
        yield each


@asynccontextmanager
async def client(bank: World) -> AsyncIterator[httpx.AsyncClient]:
    app = GateApp(bank.gate, Tokens(), clock=lambda: NOON)
    transport = httpx.ASGITransport(app=app)  # type: ignore[arg-type] # a plain ASGI callable
    async with httpx.AsyncClient(
        transport=transport, base_url=BASE, headers={"authorization": "Bearer a"}
    ) as client:
        yield client


async def answered(pdp: httpx.AsyncClient, path: str, body: Any) -> dict[str, Any]:
    """What a well-formed request is answered: always 200 and JSON."""
    answer = await pdp.post(path, json=body)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    found = answer.json()
    assert isinstance(found, dict)
    return found


async def decisions(pdp: httpx.AsyncClient, batch: dict[str, Any]) -> list[bool]:
    found = await answered(pdp, EVALUATIONS, batch)
    assert "decision" not in found
    for each in found["evaluations"]:
        assert isinstance(each["decision"], bool)
        assert isinstance(each.get("context", {}), dict)
    return [each["decision"] for each in found["evaluations"]]


# Basic: one evaluation

ACCEPTED: dict[str, tuple[dict[str, Any], bool]] = {
    "a granted read": (PERMIT, True),
    "a read not granted": (DENY, False),
    "more in the context": (
        PERMIT | {"context": SCENE | {"time": "2026-01-01T12:00Z", "ip": "192.0.2.1"}},
        True,
    ),
    "no context": ({key: PERMIT[key] for key in ("subject", "action", "resource")}, False),
    "properties of everything": (
        {
            "subject": ANALYTICS | {"properties": {"role": "admin"}},
            "action": READ | {"properties": {"soft": True}},
            "resource": C1 | {"properties": {"status": "active"}},
            "context": SCENE,
        },
        True,
    ),
    "properties that argue for a yes": (
        DENY
        | {
            "subject": ANALYTICS | {"properties": {"role": "admin", "decision": True}},
            "resource": C2 | {"properties": {"granted": True, "id": "c1"}},
        },
        False,
    ),
    "another action": (PERMIT | {"action": {"name": "write"}}, False),
    "an action with properties": (
        PERMIT | {"action": {"name": "delete", "properties": {"soft": True}}},
        False,
    ),
    "fields nobody knows yet": (PERMIT | {"foo": "bar", "futureField": {"nested": True}}, True),
    "an unknown field in an entity": (PERMIT | {"resource": C1 | {"version": [1]}}, True),
}


@pytest.mark.parametrize("why", ACCEPTED)
async def test_a_well_formed_evaluation_is_answered_by_a_decision(
    pdp: httpx.AsyncClient, why: str
) -> None:
    asked, expected = ACCEPTED[why]
    found = await answered(pdp, EVALUATION, asked)
    assert found["decision"] is expected
    assert isinstance(found["context"], dict)


def without(request: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in request.items() if key != name}


MALFORMED: dict[str, dict[str, Any]] = {
    "no subject": without(PERMIT, "subject"),
    "no action": without(PERMIT, "action"),
    "no resource": without(PERMIT, "resource"),
    "a subject without a type": PERMIT | {"subject": {"id": "analytics"}},
    "a subject without an id": PERMIT | {"subject": {"type": "service"}},
    "an action without a name": PERMIT | {"action": {}},
    "a resource without a type": PERMIT | {"resource": {"id": "c1"}},
    "a resource without an id": PERMIT | {"resource": {"type": "customer"}},
    "a string for a subject": PERMIT | {"subject": "analytics"},
    "a number for an action's name": PERMIT | {"action": {"name": 123}},
    "a list for a context": PERMIT | {"context": []},
    "a string for properties": PERMIT | {"resource": C1 | {"properties": "all"}},
}


@pytest.mark.parametrize("path", [EVALUATION, EVALUATIONS])
@pytest.mark.parametrize("why", MALFORMED)
async def test_a_malformed_evaluation_is_400(pdp: httpx.AsyncClient, why: str, path: str) -> None:
    answer = await pdp.post(path, json=MALFORMED[why])
    assert answer.status_code == 400
    assert "decision" not in answer.json()


BODIES: dict[str, tuple[bytes, str]] = {
    "not JSON": (b'{"subject":', "application/json"),
    "nothing": (b"", "application/json"),
    "text": (b"may I?", "text/plain"),
    "JSON that says it is text": (b'{"subject":{}}', "text/plain"),
    "JSON that says it is a form": (b"{}", "application/x-www-form-urlencoded"),
    "an array": (b"[]", "application/json"),
    "null": (b"null", "application/json"),
}


@pytest.mark.parametrize("path", [EVALUATION, EVALUATIONS, SUBJECTS, RESOURCES, ACTIONS])
@pytest.mark.parametrize("why", BODIES)
async def test_a_body_that_is_no_request_is_400(
    pdp: httpx.AsyncClient, why: str, path: str
) -> None:
    body, kind = BODIES[why]
    answer = await pdp.post(path, content=body, headers={"content-type": kind})
    assert answer.status_code == 400
    assert answer.json()["detail"]


async def test_a_right_request_of_a_wrong_content_type_is_400(pdp: httpx.AsyncClient) -> None:
    body = (await pdp.post(EVALUATION, json=PERMIT)).request.content
    for kind, status in {
        "text/plain": 400,
        "application/json-seq": 400,
        "application/json": 200,
        "Application/JSON; charset=utf-8": 200,
    }.items():
        answer = await pdp.post(EVALUATION, content=body, headers={"content-type": kind})
        assert answer.status_code == status, kind


@pytest.mark.parametrize("path", [EVALUATION, EVALUATIONS, SUBJECTS, RESOURCES, ACTIONS])
async def test_who_does_not_say_who_they_are_is_401_whatever_they_send(
    pdp: httpx.AsyncClient, path: str
) -> None:
    for body in (b"", b"{", httpx.Request("POST", BASE, json=PERMIT).content):
        answer = await pdp.post(path, content=body, headers={"authorization": ""})
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
        assert "decision" not in answer.json()


@pytest.mark.parametrize("body", [PERMIT, DENY, {}], ids=["yes", "no", "malformed"])
async def test_the_request_id_comes_back_with_every_answer(
    pdp: httpx.AsyncClient, body: dict[str, Any]
) -> None:
    sent = "bfe9eb29-ab87-4ca3-be83-a1d5d8305716"
    answer = await pdp.post(EVALUATION, json=body, headers={"X-Request-ID": sent})
    assert answer.headers["x-request-id"] == sent
    assert "x-request-id" not in (await pdp.post(EVALUATION, json=body)).headers


@pytest.mark.parametrize("asked", [PERMIT, DENY], ids=["yes", "no"])
async def test_the_same_question_is_answered_the_same_each_time(
    pdp: httpx.AsyncClient, asked: dict[str, Any]
) -> None:
    found = [(await answered(pdp, EVALUATION, asked))["decision"] for _ in range(5)]
    assert len(set(found)) == 1


# Batch: many evaluations

WHOLE = [PERMIT, DENY, PERMIT]
BATCHES: dict[str, tuple[dict[str, Any], list[bool]]] = {
    "a default subject, action and context": (
        without(PERMIT, "resource") | {"evaluations": [{"resource": C1}, {"resource": C2}]},
        [True, False],
    ),
    "a default resource": (
        without(PERMIT, "action") | {"evaluations": [{"action": READ}, {"action": {"name": "x"}}]},
        [True, False],
    ),
    "no defaults": ({"evaluations": WHOLE}, [True, False, True]),
    "a context of its own": (
        PERMIT | {"evaluations": [{}, {"context": {"scene": "direct-marketing"}}]},
        [True, False],
    ),
    "an element that replaces the default whole": (
        PERMIT | {"evaluations": [{"subject": {"type": "user", "id": "analytics"}}, {}]},
        [False, True],
    ),
    "a type for all and ids of their own": (
        PERMIT
        | {"resource": {"type": "customer"}, "evaluations": [{"resource": {"id": "c1"}}, DENY]},
        [True, False],
    ),
    "an element without a resource": (
        without(PERMIT, "resource") | {"evaluations": [{"resource": C1}, {}]},
        [True, False],
    ),
    "an element that is none": (
        PERMIT | {"evaluations": [{}, "yes", {"resource": {"type": "customer", "id": 1}}, {}, []]},
        [True, False, False, True, False],
    ),
    "an element with a context that is none": (
        PERMIT | {"evaluations": [{"context": 1}, {}]},
        [False, True],
    ),
}


@pytest.mark.parametrize("why", BATCHES)
async def test_a_batch_is_answered_element_by_element_in_order(
    pdp: httpx.AsyncClient, why: str
) -> None:
    batch, expected = BATCHES[why]
    assert await decisions(pdp, batch) == expected


async def test_an_element_that_is_no_evaluation_says_what_is_wrong(pdp: httpx.AsyncClient) -> None:
    found = await answered(pdp, EVALUATIONS, PERMIT | {"evaluations": [{"action": {}}, 7]})
    partial, number = found["evaluations"]
    assert partial["decision"] is True  # the name it leaves out is the batch's
    assert number["context"]["error"] == {
        "status": 400,
        "message": "an evaluation must be a JSON object",
    }


SEMANTICS: dict[str, tuple[list[dict[str, Any]], list[bool]]] = {
    "execute_all": ([PERMIT, DENY, PERMIT], [True, False, True]),
    "deny_on_first_deny": ([PERMIT, DENY, PERMIT], [True, False]),
    "permit_on_first_permit": ([DENY, PERMIT, DENY], [False, True]),
}


@pytest.mark.parametrize("semantic", SEMANTICS)
@pytest.mark.parametrize("broken", [False, True], ids=["typed", "one element broken"])
async def test_a_batch_ends_where_its_semantic_says(
    pdp: httpx.AsyncClient, semantic: str, broken: bool
) -> None:
    asked, expected = SEMANTICS[semantic]
    tail: list[Any] = [7] if broken else []
    more = [False] if broken and semantic == "execute_all" else []
    batch = {"evaluations": [*asked, *tail], "options": {"evaluations_semantic": semantic}}
    assert await decisions(pdp, batch) == expected + more


@pytest.mark.parametrize("asked", [PERMIT, DENY], ids=["yes", "no"])
async def test_a_batch_of_nothing_is_a_single_evaluation(
    pdp: httpx.AsyncClient, asked: dict[str, Any]
) -> None:
    single = await answered(pdp, EVALUATION, asked)
    for batch in (asked, asked | {"evaluations": []}):
        found = await answered(pdp, EVALUATIONS, batch)
        assert found["decision"] == single["decision"]
        assert "evaluations" not in found


WRONG_BATCHES: dict[str, dict[str, Any]] = {
    "evaluations that are no array": PERMIT | {"evaluations": {"0": {}}},
    "a default that is no object": {"subject": "analytics", "evaluations": [PERMIT]},
    "a semantic there is none of": PERMIT
    | {"evaluations": [{}], "options": {"evaluations_semantic": "any"}},
    "a partial default and nothing else": PERMIT
    | {"resource": {"type": "customer"}, "evaluations": []},
}


@pytest.mark.parametrize("why", WRONG_BATCHES)
async def test_a_batch_that_is_itself_wrong_is_400(pdp: httpx.AsyncClient, why: str) -> None:
    answer = await pdp.post(EVALUATIONS, json=WRONG_BATCHES[why])
    assert answer.status_code == 400
    assert "evaluations" not in answer.json()


# Search: of subjects, resources and actions

SUBJECT_SEARCH = PERMIT | {"subject": {"type": "service"}}
RESOURCE_SEARCH = PERMIT | {"resource": {"type": "customer"}}
ACTION_SEARCH = without(PERMIT, "action")
SEARCHES: dict[str, tuple[str, dict[str, Any], list[dict[str, Any]]]] = {
    "subjects": (SUBJECTS, SUBJECT_SEARCH, [ANALYTICS]),
    "resources": (RESOURCES, RESOURCE_SEARCH, [C1]),
    "actions": (ACTIONS, ACTION_SEARCH, [READ]),
    "subjects, with properties": (
        SUBJECTS,
        SUBJECT_SEARCH | {"resource": C1 | {"properties": {"status": "active"}}},
        [ANALYTICS],
    ),
    "resources, with an id to be ignored": (RESOURCES, PERMIT | {"resource": C2}, [C1]),
    "subjects, with an id to be ignored": (SUBJECTS, PERMIT, [ANALYTICS]),
    "actions, with an action to be ignored": (ACTIONS, PERMIT | {"action": {"name": "x"}}, [READ]),
    "subjects who may write": (SUBJECTS, SUBJECT_SEARCH | {"action": {"name": "write"}}, []),
    "a customer nobody knows": (ACTIONS, ACTION_SEARCH | {"resource": C2 | {"id": "c9"}}, []),
    "a service nobody knows": (
        RESOURCES,
        RESOURCE_SEARCH | {"subject": ANALYTICS | {"id": "x"}},
        [],
    ),
    "a subject type nobody knows": (SUBJECTS, SUBJECT_SEARCH | {"subject": {"type": "ship"}}, []),
    "a resource type nobody knows": (RESOURCES, PERMIT | {"resource": {"type": "ship"}}, []),
    "no context": (RESOURCES, without(RESOURCE_SEARCH, "context"), []),
}


@pytest.mark.parametrize("why", SEARCHES)
async def test_a_search_finds_exactly_what_may_be_read(pdp: httpx.AsyncClient, why: str) -> None:
    path, asked, expected = SEARCHES[why]
    found = await answered(pdp, path, asked)
    assert found["results"] == expected
    assert isinstance(found["page"]["next_token"], str)


WRONG_SEARCHES: dict[str, tuple[str, dict[str, Any]]] = {
    "subjects without an action": (SUBJECTS, without(SUBJECT_SEARCH, "action")),
    "resources without a subject": (RESOURCES, without(RESOURCE_SEARCH, "subject")),
    "actions without a resource": (ACTIONS, without(ACTION_SEARCH, "resource")),
    "subjects of a resource without an id": (
        SUBJECTS,
        SUBJECT_SEARCH | {"resource": {"type": "x"}},
    ),
    "resources of a subject without an id": (
        RESOURCES,
        RESOURCE_SEARCH | {"subject": {"type": "x"}},
    ),
    "resources of no type": (RESOURCES, RESOURCE_SEARCH | {"resource": {}}),
    "a page of nothing": (RESOURCES, RESOURCE_SEARCH | {"page": {"limit": 0}}),
    "a page that is none": (SUBJECTS, SUBJECT_SEARCH | {"page": "first"}),
}


@pytest.mark.parametrize("why", WRONG_SEARCHES)
async def test_a_malformed_search_is_400(pdp: httpx.AsyncClient, why: str) -> None:
    path, asked = WRONG_SEARCHES[why]
    answer = await pdp.post(path, json=asked)
    assert answer.status_code == 400
    assert "results" not in answer.json()


async def pages(pdp: httpx.AsyncClient, limit: int) -> AsyncIterator[dict[str, Any]]:
    token = ""
    while True:
        page = {"limit": limit} | ({"token": token} if token else {})
        found = await answered(pdp, RESOURCES, RESOURCE_SEARCH | {"page": page})
        yield found
        if not (token := found["page"]["next_token"]):
            return


async def test_the_pages_of_a_search_together_are_the_whole_of_it(tmp_path: Path) -> None:
    bank = world(tmp_path)
    for customer in ("c1", "c2", "c3"):
        bank.says(customer, Granted("segmentation", ("age",), None))
    async with client(bank) as pdp:
        whole = (await answered(pdp, RESOURCES, RESOURCE_SEARCH))["results"]
        found = [each async for each in pages(pdp, 2)]
    assert [len(each["results"]) for each in found] == [2, 1]
    assert [(each["page"]["count"], each["page"]["total"]) for each in found] == [(2, 3), (1, 3)]
    assert [customer for each in found for customer in each["results"]] == whole


async def test_g178_who_appears_or_goes_between_two_pages_hides_and_doubles_nobody_else(
    tmp_path: Path,
) -> None:
    bank = world(tmp_path)
    grant = Granted("segmentation", ("age",), None)
    for customer in ("c2", "c4", "c6", "c8"):
        bank.says(customer, grant)
    async with client(bank) as pdp:
        first = await answered(pdp, RESOURCES, RESOURCE_SEARCH | {"page": {"limit": 2}})
        bank.says("c1", grant)  # before the page that was read
        bank.says("c5", grant)  # on the next one
        bank.says("c2", Withdrawn("segmentation"))
        bank.says("c4", Withdrawn("segmentation"))  # the last one that was read
        token = first["page"]["next_token"]
        page = {"token": token, "limit": 9}
        rest = await answered(pdp, RESOURCES, RESOURCE_SEARCH | {"page": page})
    names = [[each["id"] for each in found["results"]] for found in (first, rest)]
    assert names == [["c2", "c4"], ["c5", "c6", "c8"]]


OTHERS_TOKENS: dict[str, dict[str, Any]] = {
    "another scene": {"context": SCENE | {"scene": "direct-marketing"}},
    "other fields": {"context": SCENE | {"fields": ["age", "job"]}},
    "a number": {"page": {"token": "1"}},
    "another customer": {"page": {"token": "AAAAAAAAAAAAAAAAAAAAAGMx"}},
    "another service": {"subject": {"type": "service", "id": "crm"}},
}


@pytest.mark.parametrize("why", OTHERS_TOKENS)
async def test_g178_a_token_is_of_its_question_and_service(tmp_path: Path, why: str) -> None:
    bank = world(tmp_path)
    for customer in ("c1", "c2", "c3"):
        bank.says(customer, Granted("segmentation", ("age",), None))
    async with client(bank) as pdp:
        first = await answered(pdp, RESOURCES, RESOURCE_SEARCH | {"page": {"limit": 1}})
        again = RESOURCE_SEARCH | {"page": {"token": first["page"]["next_token"]}}
        headers = {"authorization": "Bearer c"} if why == "another service" else {}
        answer = await pdp.post(RESOURCES, json=again | OTHERS_TOKENS[why], headers=headers)
        refused = answer.status_code == 400 and "not of this question" in answer.text
        assert refused or answer.json().get("results") == [], "a contract that allows nothing"


@pytest.mark.parametrize("path", [SUBJECTS, ACTIONS])
async def test_a_search_that_has_one_page_accepts_a_limit(
    pdp: httpx.AsyncClient, path: str
) -> None:
    found = await answered(pdp, path, SEARCHES["subjects"][1] | PERMIT | {"page": {"limit": 1}})
    assert found["page"]["next_token"] == ""


# Discovery: the metadata

NAMES = {
    "access_evaluation_endpoint": EVALUATION,
    "access_evaluations_endpoint": EVALUATIONS,
    "search_subject_endpoint": SUBJECTS,
    "search_resource_endpoint": RESOURCES,
    "search_action_endpoint": ACTIONS,
}


async def test_the_metadata_gives_absolute_addresses_under_the_one_it_was_asked_at(
    pdp: httpx.AsyncClient,
) -> None:
    answer = await pdp.get(METADATA, headers={"authorization": ""})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    found = answer.json()
    assert found.pop("policy_decision_point") == BASE
    assert {name: urlsplit(address).path for name, address in found.items()} == NAMES
    for address in found.values():
        assert address.startswith(f"{BASE}/")
        assert not urlsplit(address).query + urlsplit(address).fragment


@pytest.mark.parametrize("name", NAMES)
async def test_each_address_of_the_metadata_answers(pdp: httpx.AsyncClient, name: str) -> None:
    address = (await pdp.get(METADATA)).json()[name]
    await answered(pdp, address, PERMIT)


HOSTS = {
    "a path": "gate.example/evil",
    "a query": "gate.example?x",
    "a fragment": "gate.example#x",
    "a user": "me@gate.example",
    "nothing": "",
    "a quotation mark": 'gate.example"',
    "two": "gate.example,evil.example",
}


@pytest.mark.parametrize("why", HOSTS)
async def test_no_address_is_made_from_a_host_that_is_none(
    pdp: httpx.AsyncClient, why: str
) -> None:
    answer = await pdp.get(METADATA, headers={"host": HOSTS[why]})
    assert answer.status_code == 400


async def test_the_metadata_is_there_to_be_got(pdp: httpx.AsyncClient) -> None:
    assert (await pdp.post(METADATA, json={})).status_code == 405

"""Clauses 4.3 and 4.4 of specs/portal.md: the service API and its pages."""

import re
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from portal.operations.wiring import Product
from portal.service.tokens import Tokens, demo_digests
from tests.portal.conftest import Clock, allow, browser, copy

pytestmark = pytest.mark.usefixtures("still")

ME = "c00007"
TOKEN = {"Authorization": "Bearer demo-branch-finder"}
ASKED: dict[str, Any] = {
    "scene": "nearest-branch",
    "customer": ME,
    "fields": ["location", "postcode_area"],
}


def test_a_service_reads_what_the_customer_allows(seeded: Path, tmp_path: Path) -> None:
    product = copy(seeded, tmp_path / "home")
    allow(product, ME, ASKED["scene"])
    with browser(product, Clock()) as visitor:
        answer = visitor.post("/v1/read", json=ASKED, headers=TOKEN).json()
    row = product.gate.source.row(ME, ["location"])
    assert row is not None
    assert answer["decision"] is True
    assert answer["fields"]["location"] == {"view": "personal", "value": row["location"]}


def test_a_program_needs_no_page_of_ours_to_ask(visitor: TestClient) -> None:
    del visitor.headers["Sec-Fetch-Site"]
    assert visitor.post("/v1/read", json=ASKED, headers=TOKEN).status_code == 200


BAD_TOKENS = {
    "none": {},
    "unknown": {"Authorization": "Bearer demo-nobody"},
    "empty": {"Authorization": "Bearer "},
    "other scheme": {"Authorization": "Basic demo-branch-finder"},
    "prefix of a good one": {"Authorization": "Bearer demo-branch-finde"},
}


@pytest.mark.parametrize("headers", BAD_TOKENS.values(), ids=BAD_TOKENS.keys())
def test_without_a_token_there_is_no_answer(headers: dict[str, str], visitor: TestClient) -> None:
    answer = visitor.post("/v1/read", json=ASKED, headers=headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"


def test_the_demo_tokens_are_held_as_digests() -> None:
    tokens = Tokens(demo_digests(["analytics"]))
    assert tokens.service({b"authorization": b"bearer demo-analytics"}) == "analytics"
    assert "demo-analytics" not in repr(vars(tokens))


def test_a_service_outside_the_scene_is_refused_with_a_problem(visitor: TestClient) -> None:
    other = {"Authorization": "Bearer demo-analytics"}
    answer = visitor.post("/v1/read", json=ASKED, headers=other)
    assert answer.status_code == 403
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["reason"] == "unknown-service"


def test_malformed_json_is_a_problem(visitor: TestClient) -> None:
    answer = visitor.post("/v1/read", content=b"{", headers=TOKEN)
    assert (answer.status_code, answer.json()["status"]) == (400, 400)


def test_the_description_covers_every_path_of_the_gate(visitor: TestClient) -> None:
    document = visitor.get("/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    assert {"/v1/read", "/v1/table", "/access/v1/evaluation"} <= document["paths"].keys()
    body = document["paths"]["/v1/read"]["post"]["requestBody"]["content"]["application/json"]
    name = body["schema"]["$ref"].rsplit("/", 1)[1]
    assert {"scene", "customer", "fields"} <= document["components"]["schemas"][name][
        "properties"
    ].keys()


def test_every_reference_of_the_description_leads_somewhere(visitor: TestClient) -> None:
    text = visitor.get("/openapi.json").text
    document = visitor.get("/openapi.json").json()
    names = set(re.findall(r"#/components/schemas/([\w.]+)", text))
    assert names
    assert names <= document["components"]["schemas"].keys()


def test_the_developers_page_names_every_operation_and_field(
    visitor: TestClient, product: Product
) -> None:
    page = visitor.get("/docs").text
    assert all(path in page for path in ("/v1/read", "/v1/table", "/access/v1/evaluations"))
    assert all(f"<code>{name}</code>" in page for name in product.source.items)


def test_a_read_can_be_tried_on_the_page_and_is_journalled(
    visitor: TestClient, product: Product
) -> None:
    before = product.reads.size
    form = {"service": "branch-finder", "scene": "nearest-branch", "customer": ME}
    page = visitor.post("/docs", data=form).text
    assert "&#34;view&#34;: &#34;personal&#34;" in page
    assert product.reads.size == before + 1


def test_no_page_loads_anything_from_elsewhere(visitor: TestClient) -> None:
    for path in ("/", "/docs", "/regulator"):
        page = visitor.get(path).text
        assert not re.search(r'(?:src|href|action)="(?:https?:)?//', page)

"""What programs are told when they ask wrongly (6.4, 6.8, 6.9 and 7.8 of specs/portal.md)."""

import shutil
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.features.catalogue import feature
from tests.features.conftest import _run, prepared
from tests.features.loopback import PLAIN
from tests.features.served import PATIENCE_S, Site, done

ME, SERVICE = "c00007", "branch-finder"
EXPLANATION = {
    "subject": ME,
    "outcome": "three branches",
    "inputs": {},
    "reasons": ["near"],
    "model": "distances",
    "model_version": "2.1",
    "read_log": "gate.example/reads/one",
    "entry": 0,
}
PROPOSAL = {"subject": ME, "text": "We will refund the fee."}
WRONG: dict[str, tuple[str, Any, str, str, str]] = {
    "no subject": (
        "/v1/decisions",
        {name: each for name, each in EXPLANATION.items() if name != "subject"},
        *("#/subject", "this member", "nothing"),
    ),
    "a number among the reasons": (
        "/v1/decisions",
        EXPLANATION | {"reasons": ["near", 7]},
        *("#/reasons/1", "a valid string", "a number"),
    ),
    "a broken number among the inputs": (
        "/v1/decisions",
        EXPLANATION | {"inputs": {"a/b": 1.5}},
        *("#/inputs/a~1b", "a valid string, or a valid boolean", "a number"),
    ),
    "an entry as a text": (
        "/v1/decisions",
        EXPLANATION | {"entry": "7"},
        *("#/entry", "a valid integer", "a text of 1 characters"),
    ),
    "a member that nobody knows": (
        "/v1/proposals",
        PROPOSAL | {"words": "secret"},
        *("#/words", "no member of this name", "a text of 6 characters"),
    ),
    "operations that are no list": (
        "/v1/proposals",
        PROPOSAL | {"operations": "refund"},
        *("#/operations", "a valid list", "a text of 6 characters"),
    ),
    "a note that is an object": (
        "/v1/signals",
        {"note": {"value": 9200}},
        *("#/note", "a valid string", "an object"),
    ),
    "a list": ("/v1/signals", [1], *("#", "a JSON object", "a list of 1")),
    "no JSON": ("/v1/signals", b'{"note": ', *("#", "a JSON object", "no JSON at character 9")),
    "nothing": ("/v1/proposals", b"", *("#", "a JSON object", "nothing")),
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("problems")
    home = shutil.copytree(prepared(_run(tmp_path_factory)), folder / "data")
    with Site(home, folder / "log").serving() as served:
        yield served


def post(
    site: Site, path: str, body: Any, token: str = f"demo-{SERVICE}", **headers: str
) -> httpx.Response:
    sent = {"Authorization": f"Bearer {token}", "Content-Type": "application/json", **headers}
    given = {"content": body} if isinstance(body, bytes) else {"json": body}
    return httpx.post(
        f"{site.address}{path}", headers=sent, timeout=PATIENCE_S, verify=PLAIN, **given
    )


@feature("M17", "M25")
@pytest.mark.parametrize("why", WRONG)
def test_a_malformed_body_is_answered_with_the_member_at_fault(site: Site, why: str) -> None:
    path, body, pointer, wanted, found = WRONG[why]
    answer = post(site, path, body)
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    (fault,) = problem["errors"]
    assert (fault["pointer"], fault["found"]) == (pointer, found)
    assert fault["wanted"].startswith(wanted)
    assert problem["type"] == "urn:sovereign:problem:malformed"
    assert pointer in problem["why"]
    assert "reload" not in answer.text, "that is for people in front of a page"
    assert "secret" not in answer.text, "a value may be personal"


def test_a_program_that_accepts_pages_is_answered_as_a_program(site: Site) -> None:
    answer = post(site, "/v1/proposals", {}, Accept="text/html")
    assert [each["pointer"] for each in answer.json()["errors"]] == ["#/subject", "#/text"]


MISTYPED = {
    "/acess/v1/evaluation": "/access/v1/evaluation",
    "/v1/desicions": "/v1/decisions",
    "/v1/raed": "/v1/read",
    "/mpc": "/mcp",
}


@pytest.mark.parametrize("path", MISTYPED)
def test_a_mistyped_path_is_not_found_and_names_what_is_near(site: Site, path: str) -> None:
    answer = post(site, path, {})
    assert (answer.status_code, answer.json()["status"]) == (404, 404)
    assert MISTYPED[path] in answer.json()["nearby"]


def test_a_write_from_elsewhere_to_a_page_that_exists_is_still_refused(site: Site) -> None:
    assert post(site, "/customer/scenes/segmentation/allow", {}).status_code == 403
    assert post(site, "/customer/sceens", {}).json()["nearby"] == [], "no page is named"


def test_agents_are_told_that_keys_cannot_be_read(site: Site) -> None:
    """The last test of this site: it takes the keys of services away."""
    key = done("keys", "issue", SERVICE, "--data-dir", site.home).strip()
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    accepted = {"Accept": "application/json, text/event-stream"}
    assert post(site, "/mcp", message, key, **accepted).status_code == 200
    for file in site.home.glob("api_keys.sqlite*"):
        file.unlink()
    (site.home / "api_keys.sqlite").write_bytes(b"not a database" * 1000)
    for path, body in (("/mcp", message), ("/v1/read", {}), ("/v1/proposals", PROPOSAL)):
        answer = post(site, path, body, key, **accepted)
        assert answer.status_code == 503, (path, answer.text)
        assert answer.headers["content-type"] == "application/problem+json", path
        assert answer.json()["detail"], path
    assert post(site, "/mcp", message, "no-key-at-all", **accepted).status_code == 401

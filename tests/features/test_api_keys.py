"""API keys for services without an OAuth issuer: issued, scoped, rotated, revoked (G180 ff.)."""

import asyncio
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from tests.features.conftest import _run, prepared
from tests.features.loopback import PLAIN
from tests.features.served import PATIENCE_S, Site, done, pause, sovereign
from tests.features.test_killed_reads import gate_alone

SCENE, SERVICE, ME = "recommendation", "recommender", "c00007"
BODY = {"scene": SCENE, "customer": ME, "fields": ["age"]}
OTHER = {"scene": "segmentation", "customer": ME, "fields": ["age"]}
QUESTION = {
    "subject": {"type": "service", "id": SERVICE},
    "action": {"name": "read"},
    "resource": {"type": "customer", "id": ME},
    "context": {"scene": SCENE, "fields": ["age"]},
}


@pytest.fixture(scope="module", params=["files", "postgres"])
def site(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    if request.param == "postgres":
        yield request.getfixturevalue("site_on_postgres")
        return
    folder = tmp_path_factory.mktemp("keys")
    home = shutil.copytree(prepared(_run(tmp_path_factory)), folder / "data")
    with Site(home, folder / "log").serving() as served:
        yield served


def command(site: Site, *words: str) -> str:
    return done("keys", *words, "--data-dir", site.home).strip()


def issue(site: Site, *words: str, service: str = SERVICE) -> str:
    return command(site, "issue", service, *words)


def name(key: str) -> str:
    return key.split("_")[2]


def ask(address: str, key: str, body: Any = BODY, path: str = "/v1/read") -> httpx.Response:
    headers = {"Authorization": f"Bearer {key}", "Accept": "application/x-ndjson, application/json"}
    return httpx.post(
        f"{address}{path}", json=body, headers=headers, timeout=PATIENCE_S, verify=PLAIN
    )


def test_g180_a_key_is_accepted_as_its_service_and_stored_as_a_hash(site: Site) -> None:
    key = issue(site)
    assert key.startswith("sovereign_sk_")
    answer = ask(site.address, key)
    assert answer.status_code == 200, answer.text
    assert ask(site.address, key, OTHER).json()["reason"] == "unknown-service"
    assert ask(site.address, key[:-1] + ("A" if key[-1] != "A" else "B")).status_code == 401
    listed = command(site, "list")
    assert name(key) in listed
    assert key not in listed
    stored = b"".join(p.read_bytes() for p in site.home.glob("api_keys*"))
    assert key.rpartition("_")[2].encode() not in stored


def test_g181_a_key_is_for_its_scenes_and_endpoints_alone(site: Site) -> None:
    of_scene = issue(site, "--scope", SCENE)
    assert ask(site.address, of_scene).status_code == 200
    outside: list[tuple[str, Any]] = [
        ("/v1/read", OTHER),
        ("/v1/named", {"scene": "segmentation", "ids": [ME], "fields": ["age"]}),
        ("/access/v1/evaluation", QUESTION | {"context": {"scene": "segmentation"}}),
        ("/access/v1/evaluation", {**QUESTION, "context": {}}),
        ("/access/v1/evaluations", QUESTION | {"evaluations": [{}, {"context": OTHER}]}),
    ]
    for path, body in outside:
        answer = ask(site.address, of_scene, body, path)
        assert (answer.status_code, answer.json()["type"]) == (
            403,
            "urn:sovereign:problem:key-scope",
        )
    header = {"Authorization": f"Bearer {of_scene}"}
    for path in ("/v1/changes", "/v1/usage"):
        polled = httpx.get(f"{site.address}{path}", headers=header, verify=PLAIN)
        assert polled.status_code == 403, "it is about every scene"
    of_path = issue(site, "--scope", "/access/v1/evaluation")
    assert ask(site.address, of_path, QUESTION, "/access/v1/evaluation").status_code == 200
    assert ask(site.address, of_path).status_code == 403


def test_g182_a_revocation_and_the_end_of_an_overlap_are_obeyed_at_every_gate(site: Site) -> None:
    with gate_alone(site) as (address, _):
        old = issue(site)
        new = command(site, "rotate", name(old), "--overlap", "2h")
        gates = (site.address, address)
        assert [ask(each, key).status_code for each in gates for key in (old, new)] == [200] * 4
        command(site, "revoke", name(old))
        assert [ask(each, old).status_code for each in gates] == [401, 401], "at once"
        assert [ask(each, new).status_code for each in gates] == [200, 200]
    twice = sovereign("keys", "revoke", name(old), "--data-dir", site.home)
    assert (twice.returncode, "over already" in twice.stderr) == (2, True)


def test_g182_a_poll_that_waits_is_not_answered_after_its_key_was_revoked(site: Site) -> None:
    person = site.customer("c00019")
    person.switch(SCENE, "allow")
    key = issue(site)
    assert ask(site.address, key, BODY | {"customer": person.subject}).status_code == 200

    def polled(query: str) -> httpx.Response:
        headers = {"Authorization": f"Bearer {key}"}
        address = f"{site.address}/v1/changes{query}"
        return httpx.get(address, headers=headers, timeout=PATIENCE_S, verify=PLAIN)

    page = polled("").json()
    while page["more"]:
        page = polled(f"?since={page['token']}").json()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(polled, f"?since={page['token']}&wait=20")
        pause(1)
        assert not waiting.done()
        command(site, "revoke", name(key))
        person.switch(SCENE, "withdraw")
        answer = waiting.result()
    assert (answer.status_code, person.subject in answer.text) == (401, False)


SAY_HELLO = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}


def called(site: Site, key: str, tool: str, **arguments: Any) -> dict[str, Any]:
    """The answer of a tool of /mcp, or its named error."""

    async def conversation() -> dict[str, Any]:
        sent = {"Authorization": f"Bearer {key}"}
        async with httpx2.AsyncClient(headers=sent, verify=PLAIN, timeout=PATIENCE_S) as http:
            transport = streamable_http_client(f"{site.address}/mcp", http_client=http)
            async with Client(transport, read_timeout_seconds=PATIENCE_S) as client:
                facts: dict[str, Any] = (await client.call_tool(tool, arguments)).structured_content
                return facts

    return asyncio.run(conversation())


def test_g181_a_key_for_agents_is_for_all_tools_and_for_its_scenes_alone(site: Site) -> None:
    other = issue(site, "--scope", "/v1/read")
    refused = ask(site.address, other, SAY_HELLO, "/mcp")
    assert (refused.status_code, refused.json()["type"]) == (
        403,
        "urn:sovereign:problem:key-scope",
    )
    key = issue(site, "--scope", "/mcp", "--scope", SCENE)
    assert ask(site.address, key).status_code == 403, "its tools may ask there, and nothing else"
    assert [each["scene"] for each in called(site, key, "list_uses")["uses"]] == [SCENE]
    person = site.customer("c00020")
    person.switch(SCENE, "allow")
    about = {"customer": person.subject, "on_behalf_of": "e.mueller"}
    stated = about | {"fields": ["age"], "purpose": "ProvidePersonalisedRecommendations"}
    read = called(site, key, "read_customer", scene=SCENE, **stated)
    assert read["all_personal"] is True, read
    outside = called(site, key, "read_customer", scene="segmentation", **stated)
    assert outside["error"] == "key-scope", outside
    proposed = called(
        site, key, "propose_action", text="We refund it.", operations=["refund"], **about
    )
    assert proposed["waits"] is True, proposed


def test_g181_a_key_for_scenes_asks_about_no_resource_that_is_no_customers(site: Site) -> None:
    key = issue(site, "--scope", SCENE)
    record = QUESTION | {"resource": {"type": "record", "id": "101"}}
    bodies: list[tuple[str, Any]] = [
        ("/access/v1/evaluation", record),
        ("/access/v1/evaluations", QUESTION | {"evaluations": [{}, record]}),
        ("/access/v1/search/subject", record | {"subject": {"type": "user"}}),
        ("/access/v1/search/resource", record | {"resource": {"type": "record"}}),
        ("/access/v1/search/action", record),
    ]
    for path, body in bodies:
        answer = ask(site.address, key, body, path)
        assert (answer.status_code, answer.json()["type"]) == (
            403,
            "urn:sovereign:problem:key-scope",
        ), path


def test_g183_which_key_asked_is_known_of_each_entry(site: Site) -> None:
    key = issue(site)
    answers = [ask(site.address, key) for _ in range(2)]
    entries = [answer.json()["entry"] for answer in answers]
    rows = ask(site.address, key, {"scene": SCENE, "fields": ["age"]}, "/v1/rows")
    entries.append(int(rows.headers["sovereign-evidence"].partition("entry=")[2].partition(";")[0]))
    refused = ask(site.address, key, {**BODY, "purpose": "dpv:Other"})
    entries.append(refused.json()["entry"])
    log = answers[0].json()["read_log"]
    used = command(site, "uses", name(key)).splitlines()
    assert sorted(used) == sorted(f"{log}#{entry}" for entry in entries)
    assert f"{len(entries)} entries" in command(site, "list")


REFUSED = {
    "an unknown service": (["issue", "nobody"], "no service 'nobody'"),
    "a scene of others": (["issue", SERVICE, "--scope", "segmentation"], "these scenes"),
    "no endpoint": (["issue", SERVICE, "--scope", "/v1/everything"], "no endpoint"),
    "a past end": (["issue", SERVICE, "--expires", "2020-01-01T00:00:00Z"], "over already"),
    "no span": (["issue", SERVICE, "--expires", "for ever"], "no span and no time"),
    "an unknown key": (["revoke", "0" * 12], "no key has the id"),
}


@pytest.mark.parametrize("why", REFUSED)
def test_g180_what_is_not_understood_is_refused(site: Site, why: str) -> None:
    words, said = REFUSED[why]
    ran = sovereign("keys", *words, "--data-dir", site.home)
    assert (ran.returncode, said in ran.stderr) == (2, True), ran.stdout + ran.stderr


def test_g180_a_key_ends(tmp_path: Path) -> None:
    """The clock is the store's argument: nobody waits for an hour."""
    from datetime import UTC, datetime, timedelta

    from gate.storage.api_keys import ApiKeyStore

    at = datetime(2026, 1, 1, tzinfo=UTC)
    store = ApiKeyStore(tmp_path)
    made, text = store.issue(SERVICE, at, at + timedelta(hours=1))
    assert store.of(text, at + timedelta(minutes=59)) == made
    assert store.of(text, at + timedelta(hours=1)) is None

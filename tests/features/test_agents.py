"""M35: an agent reads through a Model Context Protocol server, over stdio and over HTTP."""

import asyncio
import os
import shutil
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp import Client
from mcp.client.stdio import StdioServerParameters
from mcp.client.streamable_http import streamable_http_client

from tests.features.catalogue import feature
from tests.features.loopback import PLAIN
from tests.features.served import PATIENCE_S, ROOT, Person, Site, wait_for

REFUND = "We refund the fee."
AGENT, SCENE, PURPOSE = "branch-finder", "nearest-branch", "ServicePersonalisation"
TOOLS = [
    "list_uses",
    "read_customer",
    "read_customers",
    "propose_action",
    "review_of_action",
    "explain_decision",
]
Connected = Callable[[Site], AbstractAsyncContextManager[Client]]


@asynccontextmanager
async def over_stdio(site: Site, *more: str) -> AsyncIterator[Client]:
    """`sovereign mcp` as an agent's program starts it."""
    given = {} if more else {"SOVEREIGN_GATE_TOKEN": f"demo-{AGENT}"}
    command = StdioServerParameters(
        command=sys.executable,
        args=["-m", "portal.cli", "mcp", "--gate", site.address, *more],
        env={**os.environ, **given},
        cwd=ROOT,
    )
    async with Client(command, read_timeout_seconds=PATIENCE_S) as client:
        yield client


@asynccontextmanager
async def over_http(site: Site) -> AsyncIterator[Client]:
    """`/mcp` of `sovereign serve`."""
    headers = {"Authorization": f"Bearer demo-{AGENT}"}
    async with httpx2.AsyncClient(headers=headers, verify=PLAIN, timeout=PATIENCE_S) as sent:
        transport = streamable_http_client(f"{site.address}/mcp", http_client=sent)
        async with Client(transport, read_timeout_seconds=PATIENCE_S) as client:
            yield client


WAYS: dict[str, Connected] = {"stdio": over_stdio, "http": over_http}


async def called(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    answer = await client.call_tool(tool, arguments)
    facts: dict[str, Any] = answer.structured_content
    assert answer.is_error is False, facts
    return facts


def asked(customer: Person) -> dict[str, Any]:
    use = {"scene": SCENE, "fields": ["location", "postcode_area"], "purpose": PURPOSE}
    return use | {"customer": customer.subject, "on_behalf_of": "e.mueller"}


@feature("M35")
@pytest.mark.parametrize("way", WAYS)
def test_an_agent_calls_every_tool_and_the_customer_sees_it(
    way: str, site: Site, customer: Person
) -> None:
    customer.switch(SCENE, "allow")

    async def conversation() -> dict[str, Any]:
        async with WAYS[way](site) as client:
            assert [each.name for each in (await client.list_tools()).tools] == TOOLS
            (use,) = (await called(client, "list_uses"))["uses"]
            assert (use["scene"], use["purpose"]) == (SCENE, PURPOSE)
            read = await called(client, "read_customer", **asked(customer))
            several = asked(customer) | {"customers": [customer.subject, "nobody"]}
            del several["customer"]
            (mine, other) = (await called(client, "read_customers", **several))["answers"]
            assert mine["fields"] == read["fields"]
            assert other["all_personal"] is False
            about = {"customer": customer.subject, "on_behalf_of": "e.mueller"}
            proposed = await called(
                client, "propose_action", text=REFUND, operations=["refund"], **about
            )
            assert proposed["waits"] is True
            number = proposed["number"]
            ruling = await called(
                client, "review_of_action", customer=customer.subject, number=number
            )
            assert ruling["decided"] is False
            await called(client, "explain_decision", **about, **explained(read))
            return read

    read = asyncio.run(conversation())
    assert read["all_personal"] is True
    area = read["fields"]["postcode_area"]
    assert area["view"] == "personal"
    page = customer.page("/customer/reads").html
    assert page.count("on behalf of e.mueller, as the service states") == 3
    for part in (f"offered branches in {area['value']}", "assistant 3 12", "812 tokens"):
        assert part in page
    review = site.steward().page("/desk/reviews").html
    assert "on behalf of e.mueller" in review


def explained(read: dict[str, Any]) -> dict[str, Any]:
    area = read["fields"]["postcode_area"]["value"]
    return {
        "outcome": f"offered branches in {area}",
        "inputs": {"postcode_area": area},
        "reasons": ["they lie there"],
        "model": "assistant",
        "model_version": "3",
        "prompt_version": "12",
        "tokens": 812,
        "read_log": read["read_log"],
        "entry": read["entry"],
    }


@feature("M35")
@pytest.mark.parametrize("way", WAYS)
def test_after_a_withdrawal_the_next_call_gives_no_personal_value(
    way: str, site: Site, customer: Person
) -> None:
    customer.switch(SCENE, "allow")

    async def conversation() -> tuple[dict[str, Any], dict[str, Any]]:
        async with WAYS[way](site) as client:
            before = await called(client, "read_customer", **asked(customer))
            await asyncio.to_thread(customer.switch, SCENE, "withdraw")
            return before, await called(client, "read_customer", **asked(customer))

    before, after = asyncio.run(conversation())
    given = {each["value"] for each in before["fields"].values()}
    assert len(given) == 2
    assert (after["reason"], after["all_personal"]) == ("withdrawn", False)
    assert not [each for each in after["fields"].values() if "value" in each]
    assert not [value for value in given if value in str(after)]


@feature("M35")
def test_the_customer_alone_finds_in_the_published_log_on_whose_behalf(
    unserved: Path, tmp_path: Path
) -> None:
    home, keys, token = tmp_path / "data", tmp_path / "keys", tmp_path / "token"
    shutil.copytree(unserved, home)
    token.write_text(f"demo-{AGENT}\n")
    settings = {"SOVEREIGN_JOB_EVERY_S": '{"publication": 0.5, "anchoring": 0.5}'}
    with Site(home, tmp_path / "log", settings=settings).serving() as site:
        customer = site.customer("c00050")
        customer.switch(SCENE, "allow")

        async def once() -> None:
            async with over_stdio(site, "--token-file", str(token)) as client:
                await called(client, "read_customer", **asked(customer))

        asyncio.run(once())
        chinese = site.visitor(**{"Accept-Language": "zh-CN"})
        chinese.client.post("/login", data={"customer": customer.subject})
        assert "代 e.mueller 查询（据该服务所称）" in chinese.page("/customer/reads").html
        keys.write_bytes(customer.client.get("/customer/reads/keys").content)
        wait_for(lambda: found(site, keys), "entry in the published log")
    assert not [each for each in (home / "log").rglob("*") if b"e.mueller" in contents(each)]


def found(site: Site, keys: Path) -> bool:
    log = site.home / "log"
    words: list[str | Path] = [keys, *log.glob("reads-*"), "--consent", log / "consent"]
    said = site.installed.run("own-reads", *words, "--policy", site.home / "consent.policy").stdout
    return f" by {AGENT} on behalf of e.mueller for {SCENE}: " in said


def contents(path: Path) -> bytes:
    return path.read_bytes() if path.is_file() else b""


@feature("M35")
def test_without_a_token_the_command_says_what_it_wants(tmp_path: Path, site: Site) -> None:
    ran = site.installed.run("mcp", "--gate", site.address, "--token-file", tmp_path / "none")
    assert ran.returncode == 2
    assert "name a file with the token" in ran.stderr
    (tmp_path / "bad").write_text("two words")
    ran = site.installed.run("mcp", "--gate", site.address, "--token-file", tmp_path / "bad")
    assert ran.returncode == 2
    assert "want an access token" in ran.stderr
    assert "two words" not in ran.stderr
    ran = site.installed.run("mcp", "--gate", "gate.example", "--token-file", tmp_path / "bad")
    assert (ran.returncode, "not an http or https address" in ran.stderr) == (2, True)
